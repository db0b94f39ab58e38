"""Cluster time, as a leader stamps entries with it, never ends a time to live early."""

from hypothesis import given
from hypothesis import strategies as st

from shard.cluster_time import ClusterClock
from tests.shard.build import Log, value_of


@given(
    put_at_s=st.floats(0, 5, allow_nan=False),
    looked_after_s=st.floats(0, 3, allow_nan=False),
    ttl_ms=st.integers(1, 2_000),
)
def test_a_key_is_there_at_least_for_its_time_to_live(put_at_s: float, looked_after_s: float, ttl_ms: int) -> None:
    log, now_s = Log(), [0.0]
    clock = ClusterClock(log.machine, lambda: now_s[0])
    clock.start()
    now_s[0] = put_at_s
    log.put(clock.now_ms(), "k", ttl_ms=ttl_ms)
    now_s[0] = put_at_s + looked_after_s
    log.tick(clock.now_ms())
    if value_of(log.machine, "k") is None:
        assert looked_after_s * 1000 >= ttl_ms


def test_a_key_put_late_in_a_millisecond_gets_the_rest_of_it_back() -> None:
    log, now_s = Log(), [0.0]
    clock = ClusterClock(log.machine, lambda: now_s[0])
    clock.start()
    now_s[0] = 0.0009
    log.put(clock.now_ms(), "k", ttl_ms=1_000)
    now_s[0] = 1.0005
    log.tick(clock.now_ms())
    assert value_of(log.machine, "k") == b"1"
    now_s[0] = 1.0011
    log.tick(clock.now_ms())
    assert value_of(log.machine, "k") is None
