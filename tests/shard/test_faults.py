"""The limits of requests: at the limit nothing is wrong, past it one sentence says what is."""

import pytest

from shard import faults
from shard.faults import TTL_MS_MIN
from wire.messages import (
    LIMIT_BULK_ITEMS,
    LIMIT_KEY_BYTES,
    LIMIT_LOCK_MS,
    LIMIT_QUOTA,
    LIMIT_TTL_MS,
    LIMIT_VALUE_BYTES,
    LIMIT_WAIT_MS,
    LIMIT_WINDOW_MS,
    AcquireLock,
    AwaitLockRequest,
    Comparison,
    Condition,
    Delete,
    Fetch,
    Increment,
    IncrementItem,
    LeaveQueue,
    Operation,
    OperationId,
    Put,
    PutItem,
    Relation,
    ReleaseLock,
    RenewLock,
    Step,
    TakeQuota,
    Touch,
    TouchItem,
    Transaction,
)

TOP, BOTTOM = 2**63 - 1, -(2**63)
LONG_KEY = "é" * (LIMIT_KEY_BYTES // 2)
LONG_NAME = "é" * 510  # 1,020 bytes
LONG_ID = "é" * 127 + "a"  # 255 bytes
LARGE = bytes(LIMIT_VALUE_BYTES)
FULL = Condition(exists=True, revision=TOP, value=LARGE, fence=TOP)
BAD_KEYS = ["", LONG_KEY + "a"]
BAD_CONDITIONS = [
    Condition(revision=-1),
    Condition(revision=2**63),
    Condition(fence=-1),
    Condition(fence=2**63),
    Condition(value=LARGE + b"1"),
]
PUT = Put([PutItem("{t}k", b"1")])


def transaction(*steps: Step, compare: tuple[Comparison, ...] = ()) -> Transaction:
    return Transaction([*compare], [*steps])


GOOD: list[Operation] = [
    Put([PutItem(LONG_KEY, LARGE, condition=FULL)]),
    Put([PutItem("k", b"", condition=Condition())]),
    Put([PutItem("k", b"", condition=Condition(revision=0, fence=0))]),
    Touch([TouchItem("k", TTL_MS_MIN, FULL)]),
    Delete(["a", "b"]),
    Delete(["a", "b"], [None, FULL]),
    Increment([IncrementItem(LONG_KEY, TOP, BOTTOM, 0, BOTTOM, TOP, FULL)]),
    Increment([IncrementItem("k", BOTTOM, TOP, LIMIT_TTL_MS)]),
    Increment([IncrementItem("k")] * LIMIT_BULK_ITEMS),
    transaction(PUT),
    transaction(compare=(Comparison("k", exists=False),)),
    transaction(compare=(Comparison("k", exists=False, relation=Relation.NOT_EQUAL),)),
    transaction(compare=(Comparison("k", revision=TOP, relation=Relation.LESS),)),
    transaction(compare=(Comparison("k", value=LARGE, relation=Relation.GREATER),)),
    Transaction([Comparison("{t}a", revision=0)], [PUT, Fetch(["{t}b"])], [Delete(["{t}c"])]),
    Transaction([Comparison("k", exists=True)] * 250, [Delete(["k"] * 125)], [Fetch(["k"] * 125)]),
    TakeQuota(LONG_KEY, LIMIT_QUOTA, LIMIT_WINDOW_MS, LIMIT_QUOTA),
    TakeQuota("n", 1, TTL_MS_MIN),
    AcquireLock(LONG_KEY, LONG_NAME, LIMIT_LOCK_MS, LIMIT_WAIT_MS),
    AcquireLock("l", "o", TTL_MS_MIN),
    RenewLock("l", "o", TOP, LIMIT_LOCK_MS),
    ReleaseLock("l", "o", 0),
    LeaveQueue(LONG_KEY, LONG_NAME),
    AcquireLock("l", "o", 1_000, request="ä" * 32),
    LeaveQueue("l", "o", "ä" * 32, gives_back=True),
]

BAD: list[Operation] = [
    *[Put([PutItem("k", b"", condition=condition)]) for condition in BAD_CONDITIONS],
    *[Touch([TouchItem("k", 5_000, condition)]) for condition in BAD_CONDITIONS],
    *[Increment([IncrementItem("k", condition=condition)]) for condition in BAD_CONDITIONS],
    *[Delete(["a", "b"], [None, condition]) for condition in BAD_CONDITIONS],
    *[transaction(Delete(["k"], [condition])) for condition in BAD_CONDITIONS],
    Delete(["a", "b"], [None]),
    Delete(["a"], [None, None]),
    Increment([]),
    Increment([IncrementItem("k")] * (LIMIT_BULK_ITEMS + 1)),
    *[Increment([IncrementItem(key)]) for key in BAD_KEYS],
    *[Increment([IncrementItem("k", number)]) for number in (TOP + 1, BOTTOM - 1)],
    *[Increment([IncrementItem("k", 1, number)]) for number in (TOP + 1, BOTTOM - 1)],
    *[Increment([IncrementItem("k", minimum=number)]) for number in (TOP + 1, BOTTOM - 1)],
    *[Increment([IncrementItem("k", maximum=number)]) for number in (TOP + 1, BOTTOM - 1)],
    *[Increment([IncrementItem("k", ttl_ms=ttl)]) for ttl in (-1, TTL_MS_MIN - 1, LIMIT_TTL_MS + 1)],
    Transaction([], []),
    transaction(Put([])),
    transaction(PUT, Fetch([])),
    transaction(PUT, Delete([])),
    transaction(PUT, Touch([])),
    transaction(PUT, Increment([])),
    *[transaction(Fetch([key])) for key in BAD_KEYS],
    *[transaction(compare=(Comparison(key, exists=True),)) for key in BAD_KEYS],
    transaction(Put([PutItem("k", LARGE + b"1")])),
    transaction(Put([PutItem("k", b"", "", 1)])),
    Transaction([], [], [Touch([TouchItem("k", 0)])]),
    transaction(Fetch(["k"] * LIMIT_BULK_ITEMS), PUT),
    Transaction([Comparison("k", exists=True)] * 250, [Delete(["k"] * 126)], [Fetch(["k"] * 125)]),
    transaction(Fetch(["a", "b"])),
    transaction(Fetch(["a"]), compare=(Comparison("b", exists=True),)),
    Transaction([], [Fetch(["a"])], [Fetch(["b"])]),
    transaction(compare=(Comparison("k"),)),
    transaction(compare=(Comparison("k", exists=True, revision=1),)),
    transaction(compare=(Comparison("k", exists=True, value=b"1"),)),
    transaction(compare=(Comparison("k", revision=0, value=b"1"),)),
    transaction(compare=(Comparison("k", exists=True, relation=Relation.LESS),)),
    transaction(compare=(Comparison("k", exists=True, relation=Relation.GREATER),)),
    transaction(compare=(Comparison("k", revision=-1),)),
    transaction(compare=(Comparison("k", revision=2**63),)),
    transaction(compare=(Comparison("k", value=LARGE + b"1"),)),
    *[TakeQuota(name, 1, 1_000) for name in BAD_KEYS],
    *[TakeQuota("n", limit, 1_000) for limit in (-1, 0, LIMIT_QUOTA + 1)],
    *[TakeQuota("n", 5, window_ms) for window_ms in (-1, 0, TTL_MS_MIN - 1, LIMIT_WINDOW_MS + 1)],
    *[TakeQuota("n", 5, 1_000, cost) for cost in (-1, 0, 6)],
    *[AcquireLock(name, "o", 1_000) for name in BAD_KEYS],
    *[RenewLock(name, "o", 1, 1_000) for name in BAD_KEYS],
    *[ReleaseLock(name, "o", 1) for name in BAD_KEYS],
    *[LeaveQueue(name, "o") for name in BAD_KEYS],
    *[AcquireLock("l", owner, 1_000) for owner in ("", LONG_NAME + "a")],
    *[RenewLock("l", owner, 1, 1_000) for owner in ("", LONG_NAME + "a")],
    *[ReleaseLock("l", owner, 1) for owner in ("", LONG_NAME + "a")],
    *[LeaveQueue("l", owner) for owner in ("", LONG_NAME + "a")],
    *[AcquireLock("l", "o", ttl) for ttl in (-1, 0, TTL_MS_MIN - 1, LIMIT_LOCK_MS + 1)],
    *[RenewLock("l", "o", 1, ttl) for ttl in (-1, 0, TTL_MS_MIN - 1, LIMIT_LOCK_MS + 1)],
    *[AcquireLock("l", "o", 1_000, wait) for wait in (-1, LIMIT_WAIT_MS + 1)],
    *[AcquireLock("l", "o", 1_000, 0, request) for request in ("x" * 65, "ä" * 33)],
    *[LeaveQueue("l", "o", request) for request in ("x" * 65, "ä" * 33)],
    *[RenewLock("l", "o", fence, 1_000) for fence in (-1, 2**63)],
    *[ReleaseLock("l", "o", fence) for fence in (-1, 2**63)],
]


@pytest.mark.parametrize("operation", GOOD, ids=lambda operation: repr(operation)[:60])
def test_nothing_is_wrong_with_an_operation_at_the_limits(operation: Operation) -> None:
    assert faults.of_operation(operation) == ""


@pytest.mark.parametrize("operation", BAD, ids=lambda operation: repr(operation)[:60])
def test_an_operation_past_a_limit_is_told_so(operation: Operation) -> None:
    fault = faults.of_operation(operation)
    assert fault
    assert len(fault) < 120


@pytest.mark.parametrize(
    ("identity", "good"),
    [
        (OperationId(1, 5, 5, LONG_ID, bytes(255)), True),
        (OperationId(1, 5, 5), True),
        (OperationId(1, 5, 5, LONG_ID + "a"), False),
        (OperationId(1, 5, 5, "k", bytes(256)), False),
        (OperationId(1, 5, 6, "k", b""), False),
        (OperationId(1, 5, -1, "k", b""), False),
    ],
)
def test_an_idempotency_key_has_a_limited_length(identity: OperationId, good: bool) -> None:  # noqa: FBT001 - a column of the table
    assert (faults.of_identity(identity) == "") == good


@pytest.mark.parametrize(
    ("request_", "good"),
    [
        (AwaitLockRequest(1, LONG_KEY, LONG_NAME, LIMIT_WAIT_MS), True),
        (AwaitLockRequest(1, "l", "o", 0), True),
        (AwaitLockRequest(1, "l", "o", 0, "x" * 64), True),
        (AwaitLockRequest(1, "l", "o", 0, "x" * 65), False),
        (AwaitLockRequest(1, "l", "o", -1), False),
        (AwaitLockRequest(1, "l", "o", LIMIT_WAIT_MS + 1), False),
        (AwaitLockRequest(1, "", "o", 0), False),
        (AwaitLockRequest(1, LONG_KEY + "a", "o", 0), False),
        (AwaitLockRequest(1, "l", "", 0), False),
        (AwaitLockRequest(1, "l", LONG_NAME + "a", 0), False),
    ],
)
def test_waiting_for_a_lock_has_its_limits(request_: AwaitLockRequest, good: bool) -> None:  # noqa: FBT001 - a column of the table
    assert (faults.of_await(request_) == "") == good
