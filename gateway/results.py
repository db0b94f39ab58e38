"""From the result of an item to an answer or an error: what each status means to an HTTP client."""

from gateway.answers import etag
from gateway.errors import ApiCode, ApiError, from_failure
from gateway.fanout import Outcome
from wire.errors import Failure
from wire.messages import ItemResult, Status

_REFUSALS: dict[Status, tuple[ApiCode, str]] = {
    Status.NOT_FOUND: (ApiCode.NOT_FOUND, "there is no such key"),
    Status.PRECONDITION_FAILED: (ApiCode.PRECONDITION_FAILED, "the key is not as the request expects"),
    Status.NOT_A_NUMBER: (ApiCode.CONFLICT, "the value is not a whole number of 64 bits"),
    Status.OUT_OF_RANGE: (ApiCode.CONFLICT, "the sum would be out of range"),
    Status.REUSED_KEY: (ApiCode.CONFLICT, "the idempotency key was used for another request"),
    Status.TOO_LARGE: (ApiCode.BATCH_TOO_LARGE, "the transaction reads more than 4 MiB"),
    Status.LOCKED: (ApiCode.CONFLICT, "another holds the lock"),
    Status.NOT_HOLDER: (ApiCode.CONFLICT, "the lock is not held by this owner under this fence"),
    Status.QUEUE_FULL: (ApiCode.TOO_MANY_REQUESTS, "as many wait for the lock as may"),
}


def result_of(outcome: Outcome) -> ItemResult:
    """The result in an outcome.

    Raises:
        ApiError: it is a failure.
    """
    if isinstance(outcome, Failure):
        raise from_failure(outcome)
    return outcome


def granted(result: ItemResult, where: str = "") -> ItemResult:
    """A result of something that was done; `where` names the item that is meant, with a colon and a blank behind.

    Raises:
        ApiError: it was refused. Says the key's present revision as its ETag when it has one.
    """
    if result.status is Status.OK:
        return result
    code, message = _REFUSALS[result.status]
    headers = (etag(result.revision),) if code is ApiCode.PRECONDITION_FAILED and result.revision else ()
    raise ApiError(code, where + message, headers=headers)


def code_of(result: ItemResult) -> str:
    """What an item of a bulk request says that was refused."""
    return "not_found" if result.status is Status.NOT_FOUND else _REFUSALS[result.status][0].value
