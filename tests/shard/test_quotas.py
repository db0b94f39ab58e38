"""Rate limits: what was granted is counted and held against what the limit says."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shard.build import Log, copy_by_snapshot, quota_info, replayed
from wire.messages import LIMIT_QUOTA, LIMIT_WINDOW_MS, Algorithm, ItemResult, PutItem, QuotaInfo, Status, TakeQuota

FIXED, GCRA = Algorithm.FIXED, Algorithm.GCRA
WINDOW_MS = 1_000
asks = st.lists(st.tuples(st.sampled_from([0, 0, 1, 30, 99, 250, 999, 1_000]), st.integers(1, 4)), max_size=60)


class Limit:
    """One rate limit under test."""

    def __init__(self, limit: int, algorithm: Algorithm, window_ms: int = WINDOW_MS) -> None:
        self.log = Log()
        self.limit = limit
        self.algorithm = algorithm
        self.window_ms = window_ms
        self.now_ms = 0

    def take(self, cost: int = 1) -> tuple[bool, QuotaInfo]:
        asked = TakeQuota("{api}/x", self.limit, self.window_ms, cost, self.algorithm)
        [result] = self.log.write(self.now_ms, asked)
        assert result.status in {Status.OK, Status.QUOTA_EXCEEDED}
        return result.status is Status.OK, quota_info(result)

    def copy(self) -> "Limit":
        """The same limit at another replica, from a snapshot."""
        twin = Limit(self.limit, self.algorithm, self.window_ms)
        twin.log.machine, twin.log.index, twin.log.sequence = copy_by_snapshot(self.log.machine), self.log.index, 10**6
        twin.now_ms = self.now_ms
        return twin

    def could_take(self, cost: int, after_ms: int = 0) -> bool:
        twin = self.copy()
        twin.now_ms += after_ms
        return cost > 0 and twin.take(cost)[0]


@settings(max_examples=80)
@given(st.integers(4, 9), asks)
def test_each_fixed_window_gives_its_limit_and_nothing_more(limit: int, history: list[tuple[int, int]]) -> None:
    under_test, taken = Limit(limit, FIXED), dict[int, int]()
    for step_ms, cost in history:
        under_test.now_ms += step_ms
        window, into_ms = divmod(under_test.now_ms, WINDOW_MS)
        left = limit - taken.get(window, 0)
        granted, info = under_test.take(cost)
        assert granted == (cost <= left)
        left -= cost * granted
        taken[window] = limit - left
        wait_ms = WINDOW_MS - into_ms
        assert info == QuotaInfo(left, wait_ms, 0 if granted else wait_ms)
    assert replayed(under_test.log).checksum() == under_test.log.machine.checksum()


@settings(max_examples=100)
@given(st.integers(4, 9), asks, st.integers(1, 9))
def test_gcra_gives_no_more_than_its_limit_at_once_and_what_came_back_since(
    limit: int, history: list[tuple[int, int]], window_ms: int
) -> None:
    under_test = Limit(limit, GCRA, window_ms * 333)
    taken: list[tuple[int, int]] = []
    level = Fraction(0)  # of a bucket that holds the limit and leaks it in a window
    for step_ms, cost in history:
        under_test.now_ms += step_ms
        level = max(Fraction(0), level - Fraction(step_ms * limit, under_test.window_ms))
        granted, info = under_test.take(cost)
        assert granted == (level + cost <= limit)
        if granted:
            level += cost
            taken.append((under_test.now_ms, cost))
        assert info.remaining == int(limit - level)
    for at, (begin_ms, _) in enumerate(taken):
        total = 0
        for now_ms, cost in taken[at:]:
            total += cost
            assert total * under_test.window_ms <= limit * (under_test.window_ms + now_ms - begin_ms)
    assert replayed(under_test.log).checksum() == under_test.log.machine.checksum()


@settings(max_examples=60)
@given(st.integers(4, 9), asks.map(lambda history: history[:25]), st.sampled_from(Algorithm))
def test_what_a_limit_says_of_itself_is_true(limit: int, history: list[tuple[int, int]], algorithm: Algorithm) -> None:
    under_test = Limit(limit, algorithm, 777)
    for step_ms, cost in history:
        under_test.now_ms += step_ms
        granted, info = under_test.take(cost)
        assert (info.retry_ms == 0) == granted
        assert 0 <= info.remaining < limit or not granted
        assert 0 < info.reset_ms <= under_test.window_ms
        if info.remaining:
            assert under_test.could_take(info.remaining)
        assert not under_test.could_take(info.remaining + 1) or info.remaining == limit
        if not granted:
            assert info.remaining < cost
            assert under_test.could_take(cost, info.retry_ms)
            assert not under_test.could_take(cost, info.retry_ms - 1)
        assert under_test.could_take(limit, info.reset_ms)
        assert not under_test.could_take(limit, info.reset_ms - 1)


def test_gcra_gives_back_one_by_one() -> None:
    limit = Limit(10, GCRA)
    assert [limit.take()[0] for _ in range(11)] == [True] * 10 + [False]
    granted = []
    for limit.now_ms in range(0, 2_001, 50):
        if limit.take()[0]:
            granted.append(limit.now_ms)
    assert granted == list(range(100, 2_001, 100))


def test_gcra_whose_share_is_no_whole_number_is_never_passed_by_rounding() -> None:
    limit = Limit(7, GCRA)
    granted = 0
    for limit.now_ms in range(7_001):
        while limit.take()[0]:
            granted += 1
    assert granted == 7 + 7 * 7


@pytest.mark.parametrize("limit", [3, 7, 60, 999, 999_983])
def test_gcra_gives_all_of_its_limit_at_once_in_whatever_parts(limit: int) -> None:
    under_test = Limit(limit, GCRA)
    for taken in range(1, min(limit, 1_000)):
        assert under_test.take() == (True, QuotaInfo(limit - taken, -(-taken * WINDOW_MS // limit), 0))
    assert under_test.take(max(limit - 999, 1))[0]
    assert not under_test.take()[0]


def test_gcra_gives_nothing_early_whatever_the_parts() -> None:
    """What `late` takes is there again a millionth of a millisecond after a whole one."""
    limit = Limit(999_983, GCRA)
    late = pow(1_000, -1, limit.limit)
    assert limit.take(1)[0]
    assert limit.take(limit.limit - 1)[0]
    limit.now_ms = late * 1_000 // limit.limit
    assert not limit.take(late)[0]
    limit.now_ms += 1
    assert limit.take(late)[0]


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_refused_request_takes_nothing(algorithm: Algorithm) -> None:
    limit = Limit(5, algorithm)
    assert limit.take(3)[0]
    before = [limit.take(3) for _ in range(3)]
    assert before == [(False, before[0][1])] * 3
    assert before[0][1].remaining == 2
    assert limit.take(2)[0]
    assert limit.take(1)[1].remaining == 0


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_limit_that_is_changed_goes_on_with_what_was_taken(algorithm: Algorithm) -> None:
    limit = Limit(10, algorithm)
    assert limit.take(6)[0]
    limit.limit = 5
    granted, info = limit.take(5)
    assert (granted, info.remaining < 5) == (False, True)
    limit.limit = 20
    assert limit.take(8)[0]
    assert not limit.take(10)[0]


@pytest.mark.parametrize("algorithm", Algorithm)
def test_windows_algorithms_and_names_count_apart(algorithm: Algorithm) -> None:
    log = Log()
    other = FIXED if algorithm is GCRA else GCRA
    for asked in (
        TakeQuota("a", 3, 1_000, 3, algorithm),
        TakeQuota("a", 3, 1_001, 3, algorithm),
        TakeQuota("a", 3, 1_000, 3, other),
        TakeQuota("b", 3, 1_000, 3, algorithm),
        TakeQuota("/1000/a", 3, 1_000, 3, algorithm),
    ):
        assert log.write(5, asked)[0].status is Status.OK
        assert log.write(5, asked)[0].status is Status.QUOTA_EXCEEDED


@pytest.mark.parametrize("algorithm", Algorithm)
def test_a_limit_that_is_whole_again_takes_no_room(algorithm: Algorithm) -> None:
    limit = Limit(10, algorithm)
    limit.take(10)
    assert limit.log.machine.keys == 1
    limit.log.tick(limit.now_ms + WINDOW_MS + 1)
    assert limit.log.machine.keys == 0


@pytest.mark.parametrize("algorithm", Algorithm)
def test_what_was_taken_counts_no_more_when_only_its_removal_is_late(algorithm: Algorithm) -> None:
    limit = Limit(10, algorithm)
    limit.log.fill(0, (PutItem(f"k{number}", b"", "", 500) for number in range(2_500)))
    limit.take(10)
    limit.now_ms = WINDOW_MS + 1
    assert limit.take(10)[0]


def test_a_limit_of_a_slot_that_is_not_owned_belongs_to_another_group() -> None:
    log = Log(own=False)
    assert log.write(1, TakeQuota("a", 1, 1_000)) == [ItemResult(Status.WRONG_GROUP)]
    assert log.machine.keys == 0


@pytest.mark.parametrize("algorithm", Algorithm)
def test_the_largest_limits_are_exact(algorithm: Algorithm) -> None:
    limit = Limit(LIMIT_QUOTA, algorithm, LIMIT_WINDOW_MS)
    limit.now_ms = 1 << 61
    assert limit.take(LIMIT_QUOTA - 1)[0]
    granted, info = limit.take(1)
    assert (granted, info.remaining) == (True, 0)
    granted, info = limit.take(LIMIT_QUOTA)
    assert not granted
    assert not limit.could_take(LIMIT_QUOTA, info.retry_ms - 1)
    assert copy_by_snapshot(limit.log.machine).checksum() == limit.log.machine.checksum()


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize(
    ("limit", "window_ms", "cost"),
    [(0, 1_000, 1), (-5, 1_000, 1), (5, 0, 1), (5, -7, 1), (5, 1_000, -3), (5, 1_000, 6), (2**64 - 1,) * 3],
)
def test_what_is_out_of_range_counts_as_the_nearest_in_it(
    algorithm: Algorithm, limit: int, window_ms: int, cost: int
) -> None:
    log = Log()
    [result] = log.write(1 << 62, TakeQuota("a", limit, window_ms, cost, algorithm))
    assert result.status is Status.OK
    info = quota_info(result)
    assert info.remaining == min(max(limit, 1), LIMIT_QUOTA) - min(max(cost, 1), max(limit, 1), LIMIT_QUOTA)
    assert 0 < info.reset_ms <= min(max(window_ms, 1), LIMIT_WINDOW_MS)
    assert copy_by_snapshot(log.machine).checksum() == log.machine.checksum()
