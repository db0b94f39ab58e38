"""Rate limits, exact because every answer is an entry of the log. Pure; whole numbers only.

What was taken is kept by the limit's name, algorithm and window, and is gone when it means nothing any more. A limit that is raised or lowered while it is used goes on with what was taken.

- FIXED: windows follow one another in cluster time, `[n * window, (n + 1) * window)`, and each has `limit`.
- GCRA, the leaky bucket of ATM's cells: one theoretical arrival time says all. With what was asked for it must not pass now by
  more than a window. It is kept in nanoseconds and rounded up, so that a limit is never passed by rounding.
"""

import msgspec

from shard.machine.keyspace import GRAIN_MS
from shard.machine.names import kept_name
from shard.machine.store import Store
from wire.messages import Algorithm, ItemResult, QuotaInfo, Status, TakeQuota
from wire.slots import slot_of

_NS_PER_MS = 1_000_000
_WRONG_GROUP = ItemResult(Status.WRONG_GROUP)
_encode = msgspec.msgpack.Encoder().encode


def take_quota(store: Store, asked: TakeQuota) -> ItemResult:
    """Take what was asked for, or nothing."""
    if not store.owns(asked.name):
        return _WRONG_GROUP
    take = _take_fixed if asked.algorithm is Algorithm.FIXED else _take_gcra
    granted, info = take(store, asked)
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
    name = _name(asked)
    now_ns, window_ns = store.now_ms * _NS_PER_MS, asked.window_ms * _NS_PER_MS
    arrival_ns = max(_number(store, name), now_ns)
    after_ns = arrival_ns + -(-asked.cost * window_ns // asked.limit)
    late_ns = after_ns - now_ns - window_ns
    if late_ns <= 0:
        arrival_ns = after_ns
        store.put_kept(name, b"%d" % arrival_ns, _milliseconds(arrival_ns) + GRAIN_MS)
    taken_ns = arrival_ns - now_ns
    remaining = max(0, window_ns - taken_ns) * asked.limit // window_ns
    return late_ns <= 0, QuotaInfo(remaining, _milliseconds(taken_ns), max(0, _milliseconds(late_ns)))


def _name(asked: TakeQuota) -> str:
    return kept_name("q", slot_of(asked.name), f"{asked.algorithm:d}/{asked.window_ms}/{asked.name}")


def _number(store: Store, name: str) -> int:
    record = store.get_kept(name)
    return 0 if record is None or record.expired(store.now_ms) else int(record.value)


def _milliseconds(nanoseconds: int) -> int:
    return -(-nanoseconds // _NS_PER_MS)
