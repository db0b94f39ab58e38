"""From what came of an operation to a result or an exception, with the codes that a gateway would give. Pure."""

from typing import Any

import msgspec

from concord import _errors as errors
from concord._coordination import Instance, Permit
from concord._errors import ConcordError, Holder
from concord._responses import BY_CODE
from concord._txn import StepResult, TxnResult
from concord._values import decode_stored
from shard.embedded import Trouble, TroubleError
from wire.messages import Fetch, Increment, ItemResult, ListEntry, LockInfo, QuotaInfo, Status, Step, WriteReply
from wire.operations import keys_of_step
from wire.refusals import REFUSALS

RETRY_AFTER_S = 1.0


class _Registered(msgspec.Struct, frozen=True):
    """The value of an instance's key."""

    address: str = ""
    port: int = 0
    metadata: Any = None


_registered = msgspec.json.Decoder(_Registered)
_lock_info = msgspec.msgpack.Decoder(LockInfo)
_quota_info = msgspec.msgpack.Decoder(QuotaInfo)
_TROUBLES: dict[Trouble, type[ConcordError]] = {
    Trouble.TIMEOUT: errors.Timeout,
    Trouble.OVERLOADED: errors.Unavailable,
    Trouble.UNKNOWN: errors.UnknownOutcome,
}


def failure(trouble: TroubleError) -> ConcordError:
    """The exception for an engine's trouble."""
    kind = _TROUBLES.get(trouble.trouble, errors.StoreFailed)
    return kind(trouble.message, code=trouble.trouble.value)


def granted(result: ItemResult, where: str = "") -> ItemResult:
    """A result of something that was done; raises what its refusal means."""
    if result.status is Status.OK:
        return result
    raise refusal(result, where)


def refusal(result: ItemResult, where: str = "") -> ConcordError:
    """What it means that an item was refused."""
    code, message = REFUSALS[result.status]
    error = BY_CODE[code](where + message, code=code)
    if isinstance(error, errors.PreconditionFailed):
        error.revision = result.revision or None
    elif isinstance(error, errors.TooManyRequests):
        error.retry_after_s = RETRY_AFTER_S
    elif isinstance(error, errors.Conflict) and result.status is Status.LOCKED:
        info = lock_info(result)
        error.holder = Holder(info.owner, info.fence, seconds(info.ttl_ms))
    return error


def lock_info(result: ItemResult) -> LockInfo:
    """Who holds a lock."""
    return _lock_info.decode(result.value) if result.value else LockInfo()


def permit(result: ItemResult) -> Permit:
    """What a rate limit said."""
    allowed = result.status is not Status.QUOTA_EXCEEDED
    info = _quota_info.decode(granted(result).value if allowed else result.value)
    return Permit(allowed, info.remaining, info.reset_ms, 0 if allowed else info.retry_ms)


def seconds(milliseconds: int) -> int:
    """Whole seconds, rounded up."""
    return -(-milliseconds // 1000)


def ttl(milliseconds: int) -> int | None:
    """A time to live; None for ever."""
    return seconds(milliseconds) if milliseconds else None


def txn_result(reply: WriteReply, success: list[Step], failed: list[Step]) -> TxnResult:
    """What a transaction did; raises the refusal that undid it."""
    chosen, *results = reply.results
    if chosen.status is Status.ABORTED:
        for position, result in enumerate(results):
            if result.status is not Status.ABORTED:
                raise refusal(result, f"item {position}: ")
    succeeded = chosen.status is Status.OK
    steps = success if succeeded else failed
    shown = [_step_result(step, result) for step, result in zip(steps, results, strict=True)]
    return TxnResult(succeeded, shown, reply.revision)


def instance(entry: ListEntry, name_at: int) -> Instance:
    """An instance as it is listed; what somebody else put under its name has no address."""
    name, left = entry.key[name_at:], ttl(entry.ttl_ms)
    try:
        said = _registered.decode(b"" if entry.content_type else entry.value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = _Registered()
    return Instance(name, said.address, said.port, said.metadata, left, entry.revision)


def _step_result(step: Step, result: ItemResult) -> StepResult:
    [key] = keys_of_step(step)
    is_there = result.status is Status.OK
    shows = is_there and isinstance(step, Fetch | Increment)
    value: Any = decode_stored(result.value, result.content_type, Any) if shows else None
    return StepResult(key, is_there, value, result.revision if shows else 0)
