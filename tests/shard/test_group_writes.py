from typing import Any

import pytest

from raft.interface import Committed, Refused, Unknown
from tests.shard.fakes import Write
from tests.shard.house import House
from wire.errors import Applied, Code
from wire.messages import Put, PutItem, Status
from wire.slots import slot_of


def test_all_writes_of_a_loop_turn_share_one_entry() -> None:
    house = House()
    house.write("a", "b", "c")
    assert house.entries() == []
    house.scheduler.turn()
    assert house.entries() == [3]


def test_writes_that_arrive_while_an_entry_is_on_its_way_form_the_next_one() -> None:
    house = House()
    first = house.write("a")
    house.scheduler.turn()
    second = house.write("b") + house.write("c")
    house.scheduler.turn()
    assert house.entries() == [1]
    house.replica.commit()
    house.scheduler.turn()
    assert house.entries() == [2]
    assert [first[0].reply.revision, second[0].pending] == [2, True]
    house.replica.commit()
    assert [write.reply.revision for write in second] == [3, 3]


def test_writes_are_applied_in_the_order_of_their_arrival() -> None:
    house = House()
    for value in (b"1", b"2", b"3"):
        house.group.write(Write(Put([PutItem("k", value)])).call)
    house.scheduler.turn()
    house.replica.commit()
    record = house.machine.get("k")
    assert record is not None
    assert record.value == b"3"


def test_an_entry_holds_a_limited_number_of_operations_and_bytes() -> None:
    house = House(entry_operations_max=2, entry_bytes_max=1_000, entries_in_flight_max=10)
    house.write("a", "b", "c")
    house.write("d", size=950)
    house.write("e", size=5_000)
    house.write("f", size=10)
    house.scheduler.turn()
    assert house.entries() == [2, 1, 1, 1, 1]


def test_no_more_entries_are_on_their_way_than_the_limit_says() -> None:
    house = House(entry_operations_max=1, entries_in_flight_max=2)
    house.write("a", "b", "c")
    house.scheduler.turn()
    assert len(house.entries()) == 2
    house.replica.commit()
    house.scheduler.turn()
    assert len(house.entries()) == 2


@pytest.mark.parametrize("limits", [{"queued_writes_max": 2}, {"queued_bytes_max": 250}])
def test_a_full_queue_answers_at_once_that_it_is_overloaded(limits: dict[str, Any]) -> None:
    house = House(**limits)
    writes = house.write("a", "b", "c")
    failure = writes[2].failure
    assert (failure.code, failure.applied) == (Code.OVERLOADED, Applied.NO)
    assert failure.retry_after_ms > 0
    assert writes[0].pending
    house.scheduler.turn()
    assert house.write("d")[0].pending


def test_a_replica_that_does_not_lead_says_who_does() -> None:
    house = House(lead=False)
    failure = house.write("a")[0].failure
    assert (failure.code, failure.applied, failure.leader) == (Code.NOT_LEADER, Applied.NO, "n2")
    house.replica.leader = ""
    failure = house.write("a")[0].failure
    assert (failure.code, failure.leader, failure.retry_after_ms > 0) == (Code.NOT_LEADER, "", True)


def test_losing_leadership_fails_what_was_not_proposed_as_not_applied() -> None:
    house = House()
    [proposed] = house.write("a")
    house.scheduler.turn()
    [queued] = house.write("b")
    house.replica.lead(leading=False)
    assert (queued.failure.code, queued.failure.applied) == (Code.NOT_LEADER, Applied.NO)
    assert proposed.pending
    house.replica.finish(Unknown("n3"))
    house.scheduler.turn()
    failure = proposed.failure
    assert (failure.code, failure.applied, failure.leader) == (Code.UNKNOWN, Applied.UNKNOWN, "n3")


def test_a_refused_entry_was_not_applied() -> None:
    house = House()
    [write] = house.write("a")
    house.scheduler.turn()
    house.replica.finish(Refused("n3"))
    assert (write.failure.code, write.failure.applied, write.failure.leader) == (Code.NOT_LEADER, Applied.NO, "n3")
    house.replica.refuse = Refused("n1", overloaded=True)  # called back before propose returns
    [write] = house.write("b")
    house.scheduler.turn()
    assert (write.failure.code, write.failure.applied) == (Code.OVERLOADED, Applied.NO)


def test_a_queued_write_past_its_deadline_was_not_applied_and_never_is() -> None:
    house = House()
    house.write("a")
    house.scheduler.turn()
    [late] = house.write("late", deadline=house.scheduler.now + 1)
    house.scheduler.advance(1.2)
    assert (late.failure.code, late.failure.applied) == (Code.TIMEOUT, Applied.NO)
    house.replica.commit()
    house.scheduler.turn()
    assert house.entries() == []


def test_a_write_that_expired_between_two_sweeps_is_not_proposed() -> None:
    house = House()
    house.write("a")
    house.scheduler.turn()
    [late] = house.write("late", deadline=house.scheduler.now + 0.001)
    house.scheduler.now += 0.002
    house.replica.commit()
    house.scheduler.turn()
    assert (late.failure.code, late.failure.applied, house.entries()) == (Code.TIMEOUT, Applied.NO, [])


def test_a_proposed_write_past_its_deadline_may_have_been_applied_and_is_answered_once() -> None:
    house = House()
    late, other = house.write("a", deadline=house.scheduler.now + 1) + house.write("b")
    house.scheduler.turn()
    house.scheduler.advance(1.2)
    assert (late.failure.code, late.failure.applied) == (Code.TIMEOUT, Applied.UNKNOWN)
    house.replica.commit()
    assert other.reply.results[0].status == Status.OK
    assert house.group.figures.timed_out == 1


def test_a_write_of_other_groups_keys_only_fails_with_the_maps_epoch() -> None:
    house = House()
    slot = slot_of("mine")
    house.group.assign([(slot, slot)], 7)
    house.scheduler.turn()
    house.replica.commit()
    other, mixed = Write("other"), Write(Put([PutItem("mine", b"1"), PutItem("other", b"1")]))
    house.group.write(other.call)
    house.group.write(mixed.call)
    house.scheduler.turn()
    house.replica.commit()
    failure = other.failure
    assert (failure.code, failure.applied, failure.epoch) == (Code.WRONG_GROUP, Applied.NO, 7)
    assert [item.status for item in mixed.reply.results] == [Status.OK, Status.WRONG_GROUP]


def test_an_answer_that_does_not_fit_the_entry_leaves_the_outcome_open() -> None:
    house = House()
    [write] = house.write("a")
    house.scheduler.turn()
    house.replica.finish(Committed(5, 1, []))
    assert (write.failure.code, write.failure.applied) == (Code.INTERNAL, Applied.UNKNOWN)


def test_the_leader_logs_the_slots_of_the_map_once() -> None:
    house = House(lead=False)
    house.group.assign([(0, 9)], 3)
    house.scheduler.advance(5)
    assert house.entries() == []
    assert house.scheduler.timers == []  # a follower waits without waking up
    house.replica.lead()
    house.scheduler.turn()
    house.replica.commit()
    house.scheduler.advance(5)
    assert (house.machine.ranges, house.machine.epoch) == ([(0, 9)], 3)
    assert house.entries() == []
    house.group.assign([(0, 1)], 2)  # an old map
    house.scheduler.advance(5)
    assert (house.entries(), house.machine.ranges) == ([], [(0, 9)])
    house.group.assign([(0, 4), (5, 9)], 4)  # the same slots: their epoch is news, a leader with an older map must lose
    house.scheduler.turn()
    house.replica.commit()
    house.scheduler.advance(5)
    assert (house.entries(), house.machine.ranges, house.machine.epoch) == ([], [(0, 9)], 4)


def test_slots_that_could_not_be_logged_are_tried_again() -> None:
    house = House()
    house.group.assign([(0, 9)], 3)
    house.scheduler.turn()
    house.replica.finish(Refused("", overloaded=True))
    house.scheduler.advance(1)
    house.replica.commit()
    assert house.machine.ranges == [(0, 9)]


def test_entries_carry_the_leaders_time_counted_on_from_the_machines() -> None:
    house = House()
    house.scheduler.advance(2.5)
    house.write("a")
    house.scheduler.turn()
    assert house.replica.entry().time_ms == 2_500
    house.replica.commit()
    house.replica.lead(leading=False)
    house.scheduler.advance(1_000)
    house.replica.lead()
    house.scheduler.advance(1)
    house.write("b")
    house.scheduler.turn()
    assert house.replica.entry().time_ms == 3_500


def test_closing_answers_everybody_once() -> None:
    house = House()
    [proposed] = house.write("a")
    house.scheduler.turn()
    [queued] = house.write("b")
    house.group.close()
    assert (queued.failure.code, queued.failure.applied) == (Code.UNAVAILABLE, Applied.NO)
    assert (proposed.failure.code, proposed.failure.applied) == (Code.UNKNOWN, Applied.UNKNOWN)
    [after] = house.write("c")
    assert (after.failure.code, after.failure.applied) == (Code.UNAVAILABLE, Applied.NO)
    house.replica.finish(Unknown(""))
    house.scheduler.advance(10)
    assert house.scheduler.timers == []


def test_an_idle_group_keeps_no_timer() -> None:
    house = House()
    house.write("a")
    house.scheduler.turn()
    house.replica.commit()
    house.scheduler.advance(1)
    assert house.scheduler.timers == []


def test_figures_tell_how_well_writes_share_entries() -> None:
    house = House()
    house.write("a", "b", "c")
    house.scheduler.turn()
    house.replica.commit()
    figures = house.group.figures
    assert (figures.operations, figures.entries, figures.time_entries) == (3, 2, 1)
    assert figures.entry_sizes[:3] == [1, 0, 1]
