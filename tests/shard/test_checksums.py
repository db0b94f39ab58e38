"""One group's checks, with the replica, the clock and the other nodes in the test's hands."""

import logging
from itertools import pairwise

import pytest
from msgspec.structs import replace

from raft.interface import Refused
from shard.machine import HASH_VERSION, Entry, Verdict, encode
from shard.seams import ChecksumPace
from tests.shard.fakes import FakeMarks, Listing, Read
from tests.shard.house import House
from wire.messages import ChecksumReply, ChecksumRequest, HashState

PACE = ChecksumPace(entries=5, pause_s=0.01, ask_interval_s=0.5, gather_s=10.0, retry_s=3.0)
WRONG = 99


def checked(entries_in_flight_max: int = 1) -> House:
    """A leader that has just logged a request, which is applied, and whose own hash is taken."""
    house = House(pace=PACE, entries_in_flight_max=entries_in_flight_max)
    house.group.checksums.begin()
    house.scheduler.turn()
    assert house.replica.entry().checksum == HASH_VERSION
    house.replica.commit()
    house.scheduler.advance(0.6)
    return house


def own_hash(house: House) -> int:
    reply = house.checksums.answer(ChecksumRequest(1, 0))
    assert reply.state is HashState.KNOWN
    return reply.hash


def verdict_of(house: House) -> Verdict:
    house.scheduler.turn()
    verdict = house.replica.entry().verdict
    assert verdict is not None
    return verdict


def test_a_leader_logs_a_request_after_so_many_entries_and_not_before() -> None:
    house = House(pace=PACE)
    indexes = []
    for _ in range(20):
        house.write("key")
        house.scheduler.advance(PACE.ask_interval_s)
        for node in sorted(house.colleagues.asked):
            house.colleagues.answer(node, own_hash(house))
        while house.replica.proposed:
            if house.replica.entry().checksum:
                indexes.append(house.replica.applied_index + 1)
            house.replica.commit()
            house.scheduler.turn()
    assert len(indexes) > 2
    assert {later - earlier for earlier, later in pairwise([0, *indexes])} == {PACE.entries + 1}


def test_with_more_keys_than_that_it_waits_for_as_many_entries_as_there_are_keys() -> None:
    house = House(pace=PACE)
    house.write(*(f"key/{number}" for number in range(30)))
    house.scheduler.turn()
    house.replica.commit()
    for _ in range(20):
        house.write("key/1")
        house.scheduler.turn()
        assert not house.replica.entry().checksum
        house.replica.commit()
        house.scheduler.turn()


def test_zero_entries_mean_never() -> None:
    house = House(pace=ChecksumPace(entries=0))
    for _ in range(20):
        house.write("key")
        house.scheduler.turn()
        assert not house.replica.entry().checksum
        house.replica.commit()
        house.scheduler.turn()


def test_a_request_travels_with_the_writes_that_wait() -> None:
    house = House(pace=PACE)
    [write] = house.write("key")
    house.group.checksums.begin()
    house.scheduler.turn()
    assert (house.replica.entry().checksum, len(house.replica.entry().operations)) == (HASH_VERSION, 1)
    house.replica.commit()
    assert write.reply.revision == house.replica.applied_index
    assert len(house.replica.proposed) == 0


def test_a_hash_is_taken_a_little_at_a_time_while_writes_go_on() -> None:
    house = House(pace=ChecksumPace(entries=0, slice_s=0.0, pause_s=0.01))
    for number in range(20):
        house.write(*(f"key/{number}/{item}" for item in range(50)))
        house.scheduler.turn()
        house.replica.commit()
        house.scheduler.turn()
    house.group.checksums.begin()
    house.scheduler.turn()
    house.replica.commit()
    index, expected = house.replica.applied_index, house.machine.checksum()
    pauses = 0
    while house.checksums.answer(ChecksumRequest(1, index)).state is HashState.PENDING:
        house.scheduler.advance(0.01)
        house.write(f"key/{pauses}/1")
        house.scheduler.turn()
        house.replica.commit()
        pauses += 1
    assert pauses > 3
    reply = house.checksums.answer(ChecksumRequest(1, index))
    assert (reply.state, reply.hash) == (HashState.KNOWN, expected)
    assert house.machine.checksum() != expected


def test_the_leader_asks_every_other_replica_and_logs_what_they_found() -> None:
    house = checked()
    assert set(house.colleagues.asked) == {"n2", "n3"}
    house.colleagues.answer("n3", own_hash(house))
    house.colleagues.answer("n2", None)
    assert verdict_of(house).hashes == [("n1", own_hash(house)), ("n3", own_hash(house))]
    house.replica.commit()
    reply = house.checksums.answer(ChecksumRequest(1, 0))
    assert (reply.checked_index, reply.diverged, reply.fenced) == (reply.index, False, False)


def test_a_replica_that_does_not_answer_is_asked_again_and_in_the_end_left_out() -> None:
    house = checked()
    house.colleagues.answer("n2", own_hash(house))
    for _ in range(3):
        house.colleagues.asked.clear()
        house.scheduler.advance(0.5)
        assert set(house.colleagues.asked) == {"n3"}
    house.scheduler.advance(PACE.gather_s)
    assert dict(verdict_of(house).hashes).keys() == {"n1", "n2"}


def test_a_replica_that_is_still_at_it_is_waited_for() -> None:
    house = checked()
    request, take = house.colleagues.asked.pop("n2")
    take(ChecksumReply(HashState.PENDING, request.index))
    house.colleagues.answer("n3", own_hash(house))
    house.scheduler.advance(PACE.ask_interval_s)
    assert not house.replica.proposed
    house.colleagues.answer("n2", own_hash(house))
    assert len(verdict_of(house).hashes) == 3


def test_nothing_is_left_behind_when_the_group_closes() -> None:
    house = House(pace=PACE)
    house.group.checksums.begin()
    house.scheduler.turn()
    house.replica.commit()
    assert house.machine._keyspace._captures
    house.group.close()
    house.scheduler.advance(PACE.gather_s)
    assert not house.machine._keyspace._captures
    assert not house.colleagues.asked


def test_no_second_request_is_logged_before_the_verdict_on_the_first() -> None:
    house = checked()
    house.group.checksums.begin()
    for _ in range(20):
        house.write("key")
        house.scheduler.turn()
        assert not house.replica.entry().checksum
        house.replica.commit()
        house.scheduler.turn()


def test_a_new_leader_goes_on_with_an_open_request() -> None:
    house = House(lead=False, pace=PACE)
    house.machine.apply(1, 1, encode(Entry(0, checksum=HASH_VERSION)))
    house.replica.applied_index = 1
    house.scheduler.advance(0.6)
    assert not house.colleagues.asked
    house.replica.lead()
    house.scheduler.advance(0.6)
    assert set(house.colleagues.asked) == {"n2", "n3"}
    for node in ("n2", "n3"):
        house.colleagues.answer(node, own_hash(house))
    assert len(verdict_of(house).hashes) == 3


def test_a_refused_entry_is_proposed_again_after_a_while_and_not_at_once() -> None:
    house = House(pace=PACE)
    house.group.checksums.begin()
    house.scheduler.turn()
    house.replica.finish(Refused("", overloaded=True))
    house.scheduler.turn()
    assert not house.replica.proposed
    house.scheduler.advance(PACE.ask_interval_s)
    assert house.replica.entry().checksum == HASH_VERSION


def fence_leader(caplog: pytest.LogCaptureFixture) -> House:
    house = checked()
    with caplog.at_level(logging.ERROR):
        for node in ("n2", "n3"):
            house.colleagues.answer(node, WRONG)
        house.scheduler.turn()
        house.replica.commit()
    return house


def test_a_replica_in_the_minority_is_fenced_for_good_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    house = fence_leader(caplog)
    assert house.replica.is_fenced
    assert house.marks.mark is not None
    assert house.marks.mark.index == house.replica.applied_index
    assert "group 1: the state of this replica is WRONG and it is fenced" in caplog.text
    assert "n1" in caplog.text
    again = House(lead=False, pace=PACE, marks=house.marks)
    assert again.replica.is_fenced
    assert again.checksums.fence.is_up


def test_a_fenced_replica_serves_neither_reads_nor_writes_and_tells_no_hash(caplog: pytest.LogCaptureFixture) -> None:
    house = fence_leader(caplog)
    index = house.checksums.answer(ChecksumRequest(1, 0)).index
    calls = [Read("key"), Read("key", stale=True)]
    for call in calls:
        house.group.read(call.call)
    listing = Listing(stale=True)
    house.group.page(listing.call)
    assert listing.failure.code.value == "UNAVAILABLE"
    [write] = house.write("key")
    house.scheduler.turn()
    assert [call.failure.code.value for call in calls] == ["NOT_LEADER", "UNAVAILABLE"]
    assert write.failure.code.value == "NOT_LEADER"
    assert house.checksums.answer(ChecksumRequest(1, index)).state is HashState.UNABLE
    assert not house.replica.proposed


def test_reads_and_writes_on_their_way_are_not_answered_from_a_wrong_state(caplog: pytest.LogCaptureFixture) -> None:
    house = checked(entries_in_flight_max=3)
    for node in ("n2", "n3"):
        house.colleagues.answer(node, WRONG)
    [write] = house.write("key")
    read = Read("key")
    house.group.read(read.call)
    house.scheduler.turn()
    with caplog.at_level(logging.ERROR):
        while house.replica.proposed:
            house.replica.commit()
    house.replica.grant()
    assert write.failure.code.value == "UNKNOWN"
    assert read.failure.code.value == "UNAVAILABLE"


def test_the_majority_goes_on_and_does_not_hand_over_to_the_fenced_one() -> None:
    house = checked()
    house.colleagues.answer("n2", own_hash(house))
    house.colleagues.answer("n3", WRONG)
    house.scheduler.turn()
    house.replica.commit()
    assert not house.replica.is_fenced
    assert house.checksums.diverged
    for node in ("n2", "n3"):
        house.group.hand_over(node)
    assert house.replica.transferred_to == "n2"


def test_without_a_majority_it_asks_again_soon_and_goes_on_with_the_alarm() -> None:
    house = checked()
    house.colleagues.answer("n2", WRONG)
    house.colleagues.answer("n3", None)
    house.scheduler.turn()
    house.replica.commit()
    assert house.checksums.diverged
    assert not house.replica.is_fenced
    house.scheduler.advance(PACE.retry_s)
    assert house.replica.entry().checksum == HASH_VERSION


def test_when_no_majority_is_possible_it_fences_itself_whatever_it_found() -> None:
    house = House(lead=False, pace=PACE)
    house.checksums.verdict_reached(Verdict(1, [("n1", 1), ("n2", 2), ("n3", 3)]))
    assert house.replica.is_fenced


def test_a_hash_that_comes_too_late_for_the_verdict_is_compared_all_the_same() -> None:
    for right, fenced in ((WRONG, True), (None, False)):
        house = House(lead=False, pace=PACE)
        expected = house.machine.checksum() if right is None else right
        house.checksums.checksum_requested(1, HASH_VERSION)
        house.checksums.verdict_reached(Verdict(1, [("n2", expected), ("n3", expected)]))
        assert not house.replica.is_fenced
        house.scheduler.advance(1.0)
        assert house.replica.is_fenced == fenced


def test_a_hash_of_an_unknown_version_is_not_taken() -> None:
    house = House(lead=False, pace=PACE)
    house.replica.applied_index = 1
    house.checksums.checksum_requested(1, HASH_VERSION + 1)
    house.scheduler.advance(1.0)
    assert house.checksums.answer(ChecksumRequest(1, 1)).state is HashState.UNABLE


def test_what_it_can_tell_of_a_hash() -> None:
    house = checked()
    index = house.checksums.answer(ChecksumRequest(1, 0)).index
    states = [house.checksums.answer(ChecksumRequest(1, asked)).state for asked in (index, index + 1, index - 1)]
    assert states == [HashState.KNOWN, HashState.PENDING, HashState.UNABLE]


def test_a_newer_snapshot_of_the_leader_makes_it_well(caplog: pytest.LogCaptureFixture) -> None:
    house = fence_leader(caplog)
    house.replica.lead(leading=False)
    house.replica.snapshot_index = house.replica.applied_index + 5
    house.checksums.restored()
    house.scheduler.turn()
    assert house.marks.mark is None
    read = Read("key", stale=True)
    house.group.read(read.call)
    assert read.reply.results


def test_an_operator_can_overrule_what_was_found_and_only_that(caplog: pytest.LogCaptureFixture) -> None:
    marks: FakeMarks = fence_leader(caplog).marks
    assert marks.mark is not None
    marks.mark = replace(marks.mark, trusted=True)
    house = House(lead=False, pace=PACE, marks=marks)
    assert not house.replica.is_fenced
    verdict = Verdict(1, [("n1", 1), ("n2", 2), ("n3", 2)])
    house.replica.applied_index = marks.mark.index  # the log is read again
    house.checksums.verdict_reached(verdict)
    assert not house.replica.is_fenced
    house.replica.applied_index += 1
    house.checksums.verdict_reached(verdict)
    assert house.replica.is_fenced
