"""What is wrong with a request, held against the limits of the protocol: one sentence, or "". Pure."""

from collections.abc import Iterable, Sequence

from wire.messages import (
    LIMIT_BULK_ITEMS,
    LIMIT_KEY_BYTES,
    LIMIT_LIST_ITEMS,
    LIMIT_LOCK_MS,
    LIMIT_QUOTA,
    LIMIT_TTL_MS,
    LIMIT_VALUE_BYTES,
    LIMIT_WAIT_MS,
    LIMIT_WINDOW_MS,
    NEVER,
    AcquireLock,
    AwaitLockRequest,
    Comparison,
    Condition,
    Delete,
    Fetch,
    Increment,
    IncrementItem,
    LeaveQueue,
    ListRequest,
    LockOperation,
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
from wire.operations import keys_of_transaction
from wire.slots import slot_of

LIMIT_CONTENT_TYPE_BYTES = 255
LIMIT_OWNER_BYTES = 4 * 255  # gateways let 255 characters pass
LIMIT_REQUEST_BYTES = 64
LIMIT_IDEMPOTENCY_BYTES = 255
TTL_MS_MIN = 1_000
_KEY_CHARACTERS = LIMIT_KEY_BYTES // 4  # so many always fit
_INTEGERS = range(-(1 << 63), 1 << 63)
_REVISIONS = range(1 << 63)
_NO_REVISION = "a revision and a fence are in 0..2^63 - 1"


def of_identity(identity: OperationId) -> str:
    """Of an operation's id."""
    if not 0 <= identity.floor <= identity.sequence:
        return "an operation id has 0 <= floor <= sequence"
    if len(identity.key.encode()) > LIMIT_IDEMPOTENCY_BYTES or len(identity.digest) > LIMIT_IDEMPOTENCY_BYTES:
        return f"an idempotency key has at most {LIMIT_IDEMPOTENCY_BYTES} bytes"
    return ""


def of_operation(operation: Operation) -> str:
    """Of an operation."""
    if isinstance(operation, Put | Delete | Touch | Increment):
        return _of_step(operation)
    if isinstance(operation, Transaction):
        return _of_transaction(operation)
    if isinstance(operation, TakeQuota):
        return _of_quota(operation)
    return _of_lock(operation)


def of_keys(keys: Sequence[str]) -> str:
    """Of the keys of a read or a bulk write."""
    return _of_count(keys) or _first(map(_of_key, keys))


def of_list(request: ListRequest) -> str:
    """Of a listing."""
    if not 1 <= request.limit <= LIMIT_LIST_ITEMS:
        return f"a page has 1 to {LIMIT_LIST_ITEMS} items"
    if any(len(text.encode()) > LIMIT_KEY_BYTES for text in (request.prefix, request.after)):
        return f"a prefix and a cursor have at most {LIMIT_KEY_BYTES} bytes"
    return ""


def of_await(request: AwaitLockRequest) -> str:
    """Of waiting for a lock."""
    return _of_wait(request.wait_ms) or _of_request(request.request) or _of_lock_name(request.name, request.owner)


def _of_lock_name(name: str, owner: str) -> str:
    if not 1 <= len(owner.encode()) <= LIMIT_OWNER_BYTES:
        return f"an owner has 1 to {LIMIT_OWNER_BYTES} bytes"
    return _of_key(name)


def _of_request(request: str) -> str:
    return (
        ""
        if len(request.encode()) <= LIMIT_REQUEST_BYTES
        else f"a request's name has at most {LIMIT_REQUEST_BYTES} bytes"
    )


def _of_step(step: Step) -> str:
    if isinstance(step, Delete):
        if step.conditions and len(step.conditions) != len(step.keys):
            return "there is a condition for each key, or none at all"
        return of_keys(step.keys) or _first(map(_of_condition, step.conditions))
    if isinstance(step, Fetch):
        return of_keys(step.keys)
    if isinstance(step, Touch):
        return _of_count(step.items) or _first(map(_of_touch, step.items))
    if isinstance(step, Increment):
        return _of_count(step.items) or _first(map(_of_increment, step.items))
    return _of_count(step.items) or _first(map(_of_put, step.items))


def _of_transaction(transaction: Transaction) -> str:
    steps = (*transaction.success, *transaction.failure)
    fault = _first(map(_of_step, steps)) or _first(map(_of_comparison, transaction.compare))
    if fault:
        return fault
    keys = list(keys_of_transaction(transaction))
    if not 1 <= len(keys) <= LIMIT_BULK_ITEMS:
        return f"there are 1 to {LIMIT_BULK_ITEMS} comparisons and items in a transaction"
    if len({slot_of(key) for key in keys}) > 1:
        return "the keys of a transaction are in one slot"
    return ""


def _of_quota(asked: TakeQuota) -> str:
    if not 1 <= asked.limit <= LIMIT_QUOTA:
        return f"a limit is in 1..{LIMIT_QUOTA}"
    if not 1 <= asked.cost <= asked.limit:
        return "a cost is at least 1 and at most the limit"
    if not TTL_MS_MIN <= asked.window_ms <= LIMIT_WINDOW_MS:
        return f"a window_ms is in {TTL_MS_MIN}..{LIMIT_WINDOW_MS}"
    return _of_key(asked.name)


def _of_lock(operation: LockOperation) -> str:
    if isinstance(operation, AcquireLock | RenewLock) and not TTL_MS_MIN <= operation.ttl_ms <= LIMIT_LOCK_MS:
        return f"a lock's ttl_ms is in {TTL_MS_MIN}..{LIMIT_LOCK_MS}"
    if isinstance(operation, AcquireLock) and (fault := _of_wait(operation.wait_ms)):
        return fault
    if isinstance(operation, AcquireLock | LeaveQueue) and (fault := _of_request(operation.request)):
        return fault
    if isinstance(operation, RenewLock | ReleaseLock) and operation.fence not in _REVISIONS:
        return _NO_REVISION
    return _of_lock_name(operation.name, operation.owner)


def _of_wait(wait_ms: int) -> str:
    return "" if 0 <= wait_ms <= LIMIT_WAIT_MS else f"a wait_ms is in 0..{LIMIT_WAIT_MS}"


def _of_comparison(comparison: Comparison) -> str:
    given = [comparison.exists, comparison.revision, comparison.value]
    if given.count(None) != len(given) - 1:
        return "a comparison is about one of exists, revision and value"
    if comparison.exists is not None and comparison.relation in {Relation.LESS, Relation.GREATER}:
        return "whether a key exists is equal or not"
    return _of_expected(comparison.revision, comparison.value) or _of_key(comparison.key)


def _of_condition(condition: Condition | None) -> str:
    if condition is None:
        return ""
    if condition.fence is not None and condition.fence not in _REVISIONS:
        return _NO_REVISION
    return _of_expected(condition.revision, condition.value)


def _of_expected(revision: int | None, value: bytes | None) -> str:
    if revision is not None and revision not in _REVISIONS:
        return _NO_REVISION
    return _of_value(value or b"")


def _of_count(items: Sequence[object]) -> str:
    return "" if 1 <= len(items) <= LIMIT_BULK_ITEMS else f"there are 1 to {LIMIT_BULK_ITEMS} items in a request"


def _of_key(key: str) -> str:
    if not key or len(key) > LIMIT_KEY_BYTES or not (key.isascii() or len(key.encode()) <= LIMIT_KEY_BYTES):
        return f"a key has 1 to {LIMIT_KEY_BYTES} bytes"
    return ""


def _of_put(item: PutItem) -> str:
    has_more = item.ttl_ms or item.content_type or item.condition is not None
    if not has_more and 0 < len(item.key) <= _KEY_CHARACTERS and len(item.value) <= LIMIT_VALUE_BYTES:
        return ""  # nearly always, and this is asked of every item
    if len(item.content_type) > LIMIT_CONTENT_TYPE_BYTES:
        return f"a content type has at most {LIMIT_CONTENT_TYPE_BYTES} characters"
    return (
        _of_value(item.value)
        or _of_key(item.key)
        or _of_ttl_or_never(item.ttl_ms)
        or (_of_condition(item.condition) if item.condition is not None else "")
    )


def _of_value(value: bytes) -> str:
    return "" if len(value) <= LIMIT_VALUE_BYTES else f"a value has at most {LIMIT_VALUE_BYTES} bytes"


def _of_touch(item: TouchItem) -> str:
    return _of_key(item.key) or _of_ttl(item.ttl_ms) or _of_condition(item.condition)


def _of_increment(item: IncrementItem) -> str:
    numbers = (item.by, item.initial, item.minimum, item.maximum)
    if any(number is not None and number not in _INTEGERS for number in numbers):
        return "numbers of an increment have 64 bits"
    return _of_key(item.key) or _of_ttl_or_never(item.ttl_ms) or _of_condition(item.condition)


def _of_ttl_or_never(ttl_ms: int) -> str:
    return "" if ttl_ms == NEVER else _of_ttl(ttl_ms)


def _of_ttl(ttl_ms: int) -> str:
    return "" if TTL_MS_MIN <= ttl_ms <= LIMIT_TTL_MS else f"a ttl_ms is in {TTL_MS_MIN}..{LIMIT_TTL_MS}"


def _first(found: Iterable[str]) -> str:
    return next(filter(None, found), "")
