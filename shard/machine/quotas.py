"""Rate limits, exact because every answer is an entry of the log. Pure; whole numbers only.

What was taken is kept by the limit's name, algorithm and window, and is gone when it means nothing any more. A limit that
is raised or lowered while it is used goes on with what was taken. What is out of range counts as the nearest in it.

- FIXED: windows follow one another in cluster time, `[n * window, (n + 1) * window)`, and each has `limit`.
- GCRA, the leaky bucket of ATM's cells: one theoretical arrival time says all. With what was asked for it must not pass now by
  more than a window. So `limit` may be taken at once, and in a stretch of time t never more than limit * (1 + t / window); a
  count of each stretch as long as a window would have to remember all that was taken. It is kept exactly, and rounded, up, only
  when the limit is changed.
"""

import msgspec

from shard.machine.keyspace import GRAIN_MS
from shard.machine.names import kept_name
from shard.machine.store import Store
from wire.messages import LIMIT_QUOTA, LIMIT_WINDOW_MS, Algorithm, ItemResult, QuotaInfo, Status, TakeQuota
from wire.slots import slot_of

_WRONG_GROUP = ItemResult(Status.WRONG_GROUP)
_encode = msgspec.msgpack.Encoder().encode


def take_quota(store: Store, asked: TakeQuota) -> ItemResult:
    """Take what was asked for, or nothing."""
    if not store.owns(asked.name):
        return _WRONG_GROUP
    take = _take_fixed if asked.algorithm is Algorithm.FIXED else _take_gcra
    granted, info = take(store, _in_range(asked))
    return ItemResult(Status.OK if granted else Status.QUOTA_EXCEEDED, store.index, _encode(info))


def _take_fixed(store: Store, asked: TakeQuota) -> tuple[bool, QuotaInfo]:
    name = _name(asked)
    used = _number(store, name)
    end_ms = (store.now_ms // asked.window_ms + 1) * asked.window_ms
    reset_ms = end_ms - store.now_ms
    granted = used + asked.cost <= asked.limit
    if granted:
        used += asked.cost
        store.put_kept(name, b"%d" % used, end_ms)
    return granted, QuotaInfo(max(0, asked.limit - used), reset_ms, 0 if granted else reset_ms)


def _take_gcra(store: Store, asked: TakeQuota) -> tuple[bool, QuotaInfo]:
    """Times are counted in parts of a millisecond, as many as the limit is: then each request takes a whole number of them."""
    name, parts = _name(asked), asked.limit
    now, window = store.now_ms * parts, asked.window_ms * parts
    arrival = max(_arrival(store, name, parts), now)
    after = arrival + asked.cost * asked.window_ms
    late = after - now - window
    if late <= 0:
        arrival = after
        store.put_kept(name, b"%d/%d" % (arrival, parts), _rounded_up(arrival, parts) + GRAIN_MS)
    taken = arrival - now
    remaining = max(0, window - taken) // asked.window_ms
    return late <= 0, QuotaInfo(remaining, _rounded_up(taken, parts), max(0, _rounded_up(late, parts)))


def _arrival(store: Store, name: str, parts: int) -> int:
    """The theoretical arrival time that is kept, in these parts; 0 when there is none."""
    record = store.get_kept(name)
    if record is None or record.expired(store.now_ms):
        return 0
    arrival, kept_parts = map(int, record.value.split(b"/"))
    return _rounded_up(arrival * parts, kept_parts)


def _in_range(asked: TakeQuota) -> TakeQuota:
    limit = min(max(asked.limit, 1), LIMIT_QUOTA)
    window_ms = min(max(asked.window_ms, 1), LIMIT_WINDOW_MS)
    return TakeQuota(asked.name, limit, window_ms, min(max(asked.cost, 1), limit), asked.algorithm)


def _name(asked: TakeQuota) -> str:
    return kept_name("q", slot_of(asked.name), f"{asked.algorithm:d}/{asked.window_ms}/{asked.name}")


def _number(store: Store, name: str) -> int:
    record = store.get_kept(name)
    return 0 if record is None or record.expired(store.now_ms) else int(record.value)


def _rounded_up(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
