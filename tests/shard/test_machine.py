import pytest

from shard.machine import Entry, Own
from shard.machine.machine import EXPIRE_PER_ENTRY
from tests.shard.build import EVERY_SLOT, Log, names, value_of
from wire.messages import (
    LIMIT_LIST_BYTES,
    NEVER,
    Delete,
    ItemResult,
    Operation,
    OperationId,
    Put,
    PutItem,
    Status,
    Touch,
    TouchItem,
)
from wire.slots import slot_of

OK = Status.OK


def test_a_put_is_read_back_with_its_content_type_and_the_index_of_its_entry() -> None:
    log = Log()
    assert log.write(5, Put([PutItem("k", b"v", "text/plain")])) == [ItemResult(OK, 2)]
    record = log.machine.get("k")
    assert record is not None
    assert (record.value, record.content_type, record.revision, record.expires_ms) == (b"v", "text/plain", 2, NEVER)


def test_operations_of_one_entry_are_applied_in_order_at_one_revision() -> None:
    log = Log()
    operations: list[Operation] = [
        Put([PutItem("k", b"1")]),
        Delete(["k"]),
        Delete(["k"]),
        Put([PutItem("k", b"2"), PutItem("k", b"3")]),
    ]
    replies = log.append(Entry(5, [(log.next_id(), operation) for operation in operations]))
    statuses = [[item.status for item in reply.results] for reply in replies]
    assert statuses == [[OK], [OK], [Status.NOT_FOUND], [OK, OK]]
    assert {reply.revision for reply in replies} == {2}
    assert value_of(log.machine, "k") == b"3"
    assert log.machine.keys == 1


def test_deleting_or_touching_a_key_that_is_not_there_says_so() -> None:
    log = Log()
    assert log.delete(5, "k") == ItemResult(Status.NOT_FOUND)
    assert log.touch(5, "k", 1_000) == ItemResult(Status.NOT_FOUND)


def test_a_key_lives_for_all_of_its_time_and_is_gone_a_millisecond_later() -> None:
    """Times are cut to whole milliseconds: at 1,500 some 499.1 ms may have passed since the put."""
    log = Log()
    log.put(1_000, "k", ttl_ms=500)
    log.tick(1_500)
    assert value_of(log.machine, "k") == b"1"
    log.tick(1_501)
    assert value_of(log.machine, "k") is None
    assert log.machine.keys == 0


def test_touch_sets_the_time_to_live_and_does_not_add_to_it() -> None:
    log = Log()
    log.put(1_000, "k", ttl_ms=60_000)
    assert log.touch(2_000, "k", 100) == ItemResult(OK, log.index)
    log.tick(2_101)
    assert value_of(log.machine, "k") is None


def test_touch_does_not_bring_an_expired_key_back() -> None:
    log = Log()
    log.put(1_000, "k", ttl_ms=500)
    assert log.touch(1_501, "k", 500).status == Status.NOT_FOUND
    assert value_of(log.machine, "k") is None


def test_a_put_without_ttl_makes_a_key_permanent() -> None:
    log = Log()
    log.put(1_000, "k", ttl_ms=500)
    log.put(1_100, "k")
    log.tick(9_000)
    assert value_of(log.machine, "k") == b"1"
    assert log.machine.next_expiry_ms() == NEVER


def test_time_never_runs_back() -> None:
    log = Log()
    log.tick(5_000)
    log.put(10, "k", ttl_ms=100)
    record = log.machine.get("k")
    assert record is not None
    assert (log.machine.now_ms, record.expires_ms) == (5_000, 5_101)


def test_expired_keys_are_invisible_at_once_and_removed_a_bounded_number_at_a_time() -> None:
    log = Log()
    count = EXPIRE_PER_ENTRY * 2 + 10
    log.fill(0, (PutItem(f"{number}", b"v", "", 1_000) for number in range(count)))
    log.put(0, "stays")
    log.tick(1_001)
    machine = log.machine
    assert machine.keys == count + 1 - EXPIRE_PER_ENTRY
    assert names(machine) == ["stays"]
    assert all(machine.get(f"{number}") is None for number in range(count))
    assert machine.next_expiry_ms() <= machine.now_ms
    queued = next(key for key in machine._keyspace.names_after("", inclusive=True) if key != "stays")
    assert [log.delete(1_000, queued).status, log.touch(1_000, queued, 9_000).status] == [Status.NOT_FOUND] * 2
    log.tick(1_001)
    assert (machine.keys, machine.next_expiry_ms()) == (1, NEVER)
    assert machine.size_bytes == len("stays") + 1


def test_a_key_put_anew_over_an_expired_one_lives_on() -> None:
    log = Log()
    log.fill(0, (PutItem(f"{number}", b"v", "", 1_000) for number in range(EXPIRE_PER_ENTRY + 5)))
    waiting = max(str(number) for number in range(EXPIRE_PER_ENTRY + 5))
    log.put(1_001, waiting, b"new", ttl_ms=5_000)
    log.tick(1_500)
    assert value_of(log.machine, waiting) == b"new"
    assert log.machine.keys == 1


@pytest.mark.parametrize("ttl_ms", [-5, -(1 << 63), (1 << 64) - 1])
def test_a_ttl_out_of_range_counts_as_the_nearest_in_range(ttl_ms: int) -> None:
    log = Log()
    log.put(1_000, "k", ttl_ms=ttl_ms)
    record = log.machine.get("k")
    assert record is not None
    assert 1_000 < record.expires_ms < 1 << 62


def test_nothing_is_applied_for_slots_of_other_groups() -> None:
    log = Log(own=False)
    assert log.put(1, "k") == ItemResult(Status.WRONG_GROUP)
    slot = slot_of("k")
    log.append(Entry(1, [], Own([(slot, slot)], 4)))
    other = next(key for key in map(str, range(100)) if slot_of(key) != slot)
    results = log.write(2, Put([PutItem("k", b"1"), PutItem(other, b"1")]))
    assert [item.status for item in results] == [OK, Status.WRONG_GROUP]
    assert [log.delete(3, other).status, log.touch(3, other, 5_000).status] == [Status.WRONG_GROUP] * 2
    assert log.machine.keys == 1


def test_ownership_changes_only_with_a_later_epoch_and_before_the_operations_of_its_entry() -> None:
    log = Log(own=False)
    log.append(Entry(1, [(log.next_id(), Put([PutItem("k", b"1")]))], Own(EVERY_SLOT, 4)))
    assert value_of(log.machine, "k") == b"1"
    log.append(Entry(1, [], Own([], 4)))
    log.append(Entry(1, [], Own([], 3)))
    assert (log.machine.ranges, log.machine.epoch) == (EVERY_SLOT, 4)
    log.append(Entry(1, [], Own([(5, 9), (1, 3), (4, 4), (2, 2)], 5)))
    assert (log.machine.ranges, log.machine.epoch) == ([(1, 9)], 5)


def test_keys_of_slots_that_are_not_owned_any_more_are_not_shown() -> None:
    log = Log()
    log.put(1, "k")
    log.append(Entry(1, [], Own([], 2)))
    assert value_of(log.machine, "k") is None
    assert names(log.machine) == []


def test_a_retry_gets_the_first_answer_and_changes_nothing() -> None:
    log = Log()
    identity = log.next_id()
    operation = Put([PutItem("k", b"1"), PutItem("j", b"1")])
    first = log.append(Entry(1, [(identity, operation)]))
    log.put(2, "k", b"2")
    assert log.append(Entry(3, [(identity, operation)])) == first
    assert value_of(log.machine, "k") == b"2"


def test_a_retry_in_the_same_entry_is_applied_once() -> None:
    log = Log()
    identity = log.next_id()
    log.put(1, "k")
    first, second = log.append(Entry(1, [(identity, Delete(["k", "j"]))] * 2))
    assert first == second
    assert [item.status for item in first.results] == [OK, Status.NOT_FOUND]


def test_a_write_refused_for_its_group_may_be_tried_again_under_the_same_id() -> None:
    log = Log(own=False)
    identity = log.next_id()
    assert log.write(1, Put([PutItem("k", b"1")]), identity)[0].status == Status.WRONG_GROUP
    log.append(Entry(1, [], Own(EVERY_SLOT, 1)))
    assert log.write(1, Put([PutItem("k", b"1")]), identity)[0].status == OK


def test_a_write_below_the_floor_that_is_not_remembered_is_stale() -> None:
    log = Log()
    log.write(1, Put([PutItem("k", b"new")]), OperationId(1, 10, 10))
    late = log.write(1, Put([PutItem("k", b"old"), PutItem("j", b"old")]), OperationId(1, 9, 3))
    assert late == [ItemResult(Status.STALE_OPERATION)] * 2
    assert value_of(log.machine, "k") == b"new"


def test_pages_go_through_all_keys_with_a_prefix_in_order_without_gaps() -> None:
    log = Log()
    keys = [f"a/{number:04d}" for number in range(700)] + ["a", "b", "0", "a/é", "a/\U0001f600", "a/\uffff"]
    log.fill(1, (PutItem(key, b"v") for key in reversed(keys)))
    found: list[str] = []
    while True:
        page = log.machine.page("a/", found[-1] if found else "", 33, 1, with_values=False)
        found += [entry.key for entry in page.entries]
        if not page.more:
            break
    assert found == sorted(key for key in keys if key.startswith("a/"))
    assert names(log.machine, "zzz") == []
    assert names(log.machine, "a/", after="b") == []
    assert names(log.machine, "a", after="0")[0] == "a"


def test_a_page_that_ends_with_the_last_key_says_that_there_is_no_more() -> None:
    log = Log()
    log.write(1, Put([PutItem(key, b"v") for key in "abc"]))
    assert log.machine.page("", "", 3, 1, with_values=False).more is False
    assert log.machine.page("", "", 2, 1, with_values=False).more is True


def test_a_page_stays_below_its_limit_of_bytes_but_holds_one_entry_at_least() -> None:
    log = Log()
    log.write(1, Put([PutItem(f"{number}", bytes(1 << 20)) for number in range(9)]))
    page = log.machine.page("", "", 1000, 1, with_values=True)
    assert sum(len(entry.value) for entry in page.entries) <= LIMIT_LIST_BYTES
    assert (len(page.entries), page.more) == (3, True)
    assert len(log.machine.page("", "", 1000, 1, with_values=False).entries) == 9


@pytest.mark.parametrize(("bytes_max", "keys"), [(0, 5), (-1, 5), (1, 1), (2_500, 2), (1 << 40, 5)])
def test_a_page_may_be_asked_for_that_is_smaller_than_it_could_be(bytes_max: int, keys: int) -> None:
    log = Log()
    log.fill(1, (PutItem(f"k{number}", b"x" * 1_000) for number in range(5)))
    page = log.machine.page("", "", 1000, 1, with_values=True, bytes_max=bytes_max)
    assert (len(page.entries), page.more) == (keys, keys < 5)


def test_a_page_shows_values_and_times_to_live_when_asked() -> None:
    log = Log()
    log.put(1_000, "k", b"v", ttl_ms=5_000)
    [entry] = log.machine.page("", "", 5, 2_000, with_values=True).entries
    assert (entry.value, entry.ttl_ms, entry.revision) == (b"v", 4_000, 2)


def test_a_page_says_that_it_left_out_a_key_whose_time_no_entry_has_brought_yet() -> None:
    log = Log()
    log.put(1_000, "k", ttl_ms=500)
    page = log.machine.page("", "", 5, 1_501, with_values=False)
    assert (page.entries, page.due) == ([], True)
    log.tick(1_501)
    assert log.machine.page("", "", 5, 1_501, with_values=False).due is False


def test_a_page_does_not_walk_through_any_number_of_removed_keys() -> None:
    log = Log()
    for start in range(0, 25_000, 5_000):
        log.fill(0, (PutItem(f"{number:06d}", b"", "", 1_000) for number in range(start, start + 5_000)))
    log.tick(1_001)
    page = log.machine.page("", "", 10, 1_001, with_values=False)
    assert (page.entries, page.more, page.overrun) == ([], True, True)


def test_keys_and_bytes_are_counted() -> None:
    log = Log()
    log.put(1, "ké", b"12345")
    assert (log.machine.keys, log.machine.size_bytes) == (1, 8)
    log.put(1, "ké", b"1")
    assert (log.machine.keys, log.machine.size_bytes) == (1, 4)
    log.delete(1, "ké")
    assert (log.machine.keys, log.machine.size_bytes) == (0, 0)


def test_the_checksum_depends_on_every_part_of_the_state() -> None:
    def checksum(*steps: tuple[str, int]) -> int:
        log = Log()
        for key, ttl_ms in steps:
            log.put(5, key, ttl_ms=ttl_ms)
        return log.machine.checksum()

    assert checksum(("a", 0), ("b", 0)) == checksum(("a", 0), ("b", 0))
    assert (
        len({checksum(), checksum(("a", 0)), checksum(("a", 9)), checksum(("b", 0)), checksum(("b", 0), ("a", 0))}) == 5
    )


def test_touching_counts_as_a_change_of_the_key() -> None:
    log = Log()
    log.put(1, "k", b"v", ttl_ms=5_000)
    log.write(1, Touch([TouchItem("k", 9_000)]))
    record = log.machine.get("k")
    assert record is not None
    assert record.revision == log.index
