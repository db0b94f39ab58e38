from typing import Any

from raft.interface import Refused, Unknown
from shard.machine import Entry, encode
from shard.machine.machine import EXPIRE_PER_ENTRY
from tests.shard.build import portions
from tests.shard.fakes import Listing, Read, Write
from tests.shard.house import House
from wire.errors import Applied, Code
from wire.messages import Put, PutItem, Status


def house_with(*items: PutItem, **limits: Any) -> House:
    house = House(**limits)
    for part in portions(items):
        house.group.write(Write(Put(part)).call)
    house.scheduler.turn()
    house.replica.commit()
    house.scheduler.turn()
    return house


def test_reads_of_one_turn_share_one_question_to_the_replica() -> None:
    house = house_with(PutItem("a", b"1", "text/plain"))
    reads = [Read("a", "b"), Read("b")]
    for read in reads:
        house.group.read(read.call)
    listing = Listing()
    house.group.page(listing.call)
    house.scheduler.turn()
    assert len(house.replica.asked) == 1
    assert reads[0].pending
    house.replica.grant()
    found, missing = reads[0].reply.results
    assert (found.status, found.value, found.content_type, found.ttl_ms) == (Status.OK, b"1", "text/plain", 0)
    assert (missing.status, missing.revision) == (Status.NOT_FOUND, 0)
    assert (reads[0].reply.revision, reads[0].reply.age_ms) == (2, 0)
    assert [entry.key for entry in listing.reply.entries] == ["a"]
    assert (house.group.figures.reads, house.group.figures.lease_reads) == (3, 3)


def test_a_read_never_joins_a_question_that_was_asked_before_it_came() -> None:
    house = house_with(PutItem("a", b"1"))
    first, second = Read("a"), Read("a")
    house.group.read(first.call)
    house.scheduler.turn()
    house.group.read(second.call)
    house.replica.grant()
    assert (first.pending, second.pending) == (False, True)
    house.scheduler.turn()
    house.replica.grant(by_lease=False)
    assert second.reply.results[0].value == b"1"
    assert house.group.figures.lease_reads == 1


def test_a_refused_read_says_who_leads() -> None:
    house = house_with(PutItem("a", b"1"))
    read, other = Read("a"), Read("a")
    house.group.read(read.call)
    house.scheduler.turn()
    house.replica.asked.pop()(Refused("n3"))
    assert (read.failure.code, read.failure.leader, read.failure.applied) == (Code.NOT_LEADER, "n3", Applied.NO)
    house.replica.lead(leading=False)
    house.group.read(other.call)
    assert other.failure.code == Code.NOT_LEADER


def test_a_read_past_its_deadline_is_answered_once() -> None:
    house = house_with(PutItem("a", b"1"))
    read = Read("a", deadline=house.scheduler.now + 1)
    house.group.read(read.call)
    house.scheduler.advance(1.2)
    assert (read.failure.code, read.failure.applied) == (Code.TIMEOUT, Applied.NO)
    house.replica.grant()
    assert house.group.waiting_reads == 0


def test_too_many_waiting_reads_are_refused_at_once() -> None:
    house = house_with(PutItem("a", b"1"), waiting_reads_max=1)
    first, second = Read("a"), Listing()
    house.group.read(first.call)
    house.group.page(second.call)
    assert second.failure.code == Code.OVERLOADED
    assert first.pending


def test_a_stale_read_is_answered_by_any_replica_at_once_with_its_age() -> None:
    house = House(lead=False)
    house.machine.apply(1, 1, encode(Entry(0)))
    house.replica.age = 40
    read = Read("a", stale=True)
    house.group.read(read.call)
    assert read.failure.code == Code.WRONG_GROUP
    house = house_with(PutItem("a", b"1", "", 9_000))
    house.replica.lead(leading=False)
    house.replica.age = 40
    read, listing = Read("a", stale=True), Listing(stale=True)
    house.group.read(read.call)
    house.group.page(listing.call)
    assert (read.reply.results[0].value, read.reply.results[0].ttl_ms, read.reply.age_ms) == (b"1", 9_000, 40)
    assert (listing.reply.entries[0].key, listing.reply.age_ms) == ("a", 40)


def test_a_linearizable_page_has_no_age() -> None:
    house, listing = house_with(PutItem("a", b"1")), Listing()
    house.replica.age = 40
    house.group.page(listing.call)
    house.scheduler.turn()
    house.replica.grant()
    assert (listing.reply.entries[0].key, listing.reply.age_ms) == ("a", 0)


def test_the_time_to_live_told_is_what_is_left_and_never_nothing() -> None:
    house = house_with(PutItem("a", b"1", "", 9_000))
    house.scheduler.advance(0.5)
    read = Read("a")
    house.group.read(read.call)
    house.scheduler.now += 8.4994
    house.scheduler.turn()
    house.replica.grant()
    assert read.reply.results[0].ttl_ms == 1


def test_an_expired_key_is_hidden_only_once_an_entry_says_so() -> None:
    house = house_with(PutItem("a", b"1", "", 500), PutItem("b", b"1"))
    house.scheduler.now += 0.75
    reads = [Read("a"), Read("b")]
    listing = Listing()
    for read in reads:
        house.group.read(read.call)
    house.group.page(listing.call)
    house.scheduler.turn()
    house.replica.grant()
    assert (reads[0].pending, reads[1].pending, listing.pending) == (True, False, True)
    house.scheduler.turn()
    entry = house.replica.entry()
    assert (entry.time_ms, entry.operations) == (750, [])
    house.scheduler.now += 5
    house.replica.commit()
    assert reads[0].reply.results[0].status == Status.NOT_FOUND
    assert [item.key for item in listing.reply.entries] == ["b"]


def test_a_read_that_waits_for_an_entry_shares_it_with_writes() -> None:
    house = house_with(PutItem("a", b"1", "", 500))
    house.scheduler.now += 0.75
    read = Read("a")
    house.group.read(read.call)
    house.scheduler.turn()
    house.write("c")
    house.replica.grant()
    house.scheduler.turn()
    assert house.entries() == [1]
    house.replica.commit()
    assert read.reply.results[0].status == Status.NOT_FOUND


def test_a_read_whose_entry_fails_was_not_answered_from_the_leaders_clock() -> None:
    for outcome in (Refused("n3"), Unknown("n3")):
        house = house_with(PutItem("a", b"1", "", 500))
        house.scheduler.now += 0.75
        read = Read("a")
        house.group.read(read.call)
        house.scheduler.turn()
        house.replica.grant()
        house.scheduler.turn()
        house.replica.finish(outcome)
        assert (read.failure.code, read.failure.applied, read.failure.leader) == (Code.NOT_LEADER, Applied.NO, "n3")


def test_a_waiting_read_is_failed_when_leadership_is_lost() -> None:
    house = house_with(PutItem("a", b"1"))
    read = Read("a")
    house.group.read(read.call)
    house.replica.lead(leading=False)
    assert read.failure.code == Code.NOT_LEADER


def test_a_read_of_other_groups_keys_only_fails_and_a_mixed_one_says_which() -> None:
    house = House()
    house.group.assign([], 9)
    house.scheduler.turn()
    house.replica.commit()
    read = Read("a", "b")
    house.group.read(read.call)
    house.scheduler.turn()
    house.replica.grant()
    assert (read.failure.code, read.failure.epoch) == (Code.WRONG_GROUP, 9)


def test_the_leader_expires_due_keys_by_itself_at_most_once_a_second() -> None:
    house = house_with(PutItem("a", b"1", "", 500), PutItem("b", b"1", "", 2_700))
    house.scheduler.advance(0.9)
    assert house.entries() == []
    house.scheduler.advance(0.2)
    assert house.entries() == [0]
    house.replica.commit()
    assert house.machine.keys == 1
    house.scheduler.advance(1.5)
    assert house.entries() == []
    house.scheduler.advance(1)
    house.replica.commit()
    assert house.machine.keys == 0
    house.scheduler.advance(10)
    assert (house.entries(), house.scheduler.timers) == ([], [])


def test_a_follower_never_stamps_a_time() -> None:
    house = house_with(PutItem("a", b"1", "", 500))
    house.replica.lead(leading=False)
    house.scheduler.advance(10)
    assert house.entries() == []
    house.replica.lead()
    house.scheduler.advance(1.1)
    assert house.entries() == [0]


def test_a_backlog_of_due_keys_is_worked_off_quickly() -> None:
    count = EXPIRE_PER_ENTRY * 3
    house = house_with(*(PutItem(f"{number}", b"", "", 500) for number in range(count)))
    house.scheduler.advance(1.1)
    steps = 0
    while house.entries():
        house.replica.commit()
        house.scheduler.advance(0.1)
        steps += 1
    assert (steps, house.machine.keys) == (3, 0)


def test_closing_fails_waiting_reads() -> None:
    house = house_with(PutItem("a", b"1"))
    read = Read("a")
    house.group.read(read.call)
    house.scheduler.turn()
    house.group.close()
    house.replica.grant()
    assert read.failure.code == Code.UNAVAILABLE
