"""From the result of an item to an answer or an error: what each status means to an HTTP client."""

from gateway.answers import etag
from gateway.errors import ApiCode, ApiError, from_failure
from gateway.fanout import Outcome
from wire.errors import Failure
from wire.messages import ItemResult, Status
from wire.refusals import REFUSALS


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
    name, message = REFUSALS[result.status]
    code = ApiCode(name)
    headers = (etag(result.revision),) if code is ApiCode.PRECONDITION_FAILED and result.revision else ()
    raise ApiError(code, where + message, headers=headers)


def code_of(result: ItemResult) -> str:
    """What an item of a bulk request says that was refused."""
    return "not_found" if result.status is Status.NOT_FOUND else REFUSALS[result.status][0]
