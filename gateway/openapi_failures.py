"""The answers of requests that failed: one response for each set of codes that share a status, among the components.

What belongs to no operation stands there, too: a path without a route, a route without the method, and what the HTTP server answers
by itself.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec

from gateway.errors import HTTP_SERVER_ANSWERS, MAYBE_APPLIED, MEANINGS, ApiCode
from gateway.openapi_examples import FAILURES
from gateway.openapi_headers import of_failure
from gateway.openapi_replies import CHECKS
from gateway.routes import ADMITTED, EVERYWHERE, GUARDED, Route

Document: TypeAlias = dict[str, Any]

_BARE_HEADERS: Document = {
    "Connection": {"description": "The connection ends.", "required": True, "schema": {"const": "close"}}
}
_FURTHER_MEMBERS = {
    ("lock_acquire", ApiCode.CONFLICT): "LockConflict",
    ("readyz", ApiCode.CLUSTER_UNAVAILABLE): "NotReady",
    ("root_ready", ApiCode.CLUSTER_UNAVAILABLE): "NotReady",
    ("root_readyz", ApiCode.CLUSTER_UNAVAILABLE): "NotReady",
}
"""Errors that say more than others: by the operation and its code, the schema."""


class _Failure(msgspec.Struct, frozen=True):
    """One response: the codes behind a status, and the schema of its body."""

    status: int
    codes: tuple[ApiCode, ...]
    schema: str = "Error"

    @property
    def component(self) -> str:
        """Its name among the components."""
        further = () if self.schema == "Error" else (self.schema,)
        return ".".join((str(self.status), *self.codes, *further))


def of_route(route: Route) -> Document:
    """The responses of a route that are failures, one for each status."""
    return {str(failure.status): _reference(failure) for failure in _failures(route)}


def components(routes: Iterable[Route]) -> Document:
    """All responses that are failures."""
    failures = {failure for route in routes for failure in _failures(route)}
    shared = {failure.component: _response(failure) for failure in sorted(failures, key=lambda one: one.component)}
    nowhere = {
        "NoSuchRoute": _response(_Failure(404, (ApiCode.NOT_FOUND,))),
        "NoSuchMethod": _response(_Failure(405, (ApiCode.METHOD_NOT_ALLOWED,))),
    }
    bare = {
        f"HttpServer.{status}": {"description": f"Without a body. {text}", "headers": _BARE_HEADERS}
        for status, text in HTTP_SERVER_ANSWERS.items()
    }
    return shared | nowhere | bare


def schemas() -> Document:
    """The bodies of failures."""
    owner = {"type": "string", "description": "Empty when the lock has just become free."}
    count = {"type": "integer", "minimum": 0}
    holder = {
        "type": "object",
        "description": "Who holds the lock, under which fence, and for how many seconds yet.",
        "required": ["owner", "fence", "ttl"],
        "properties": {"owner": owner, "fence": count, "ttl": count},
    }
    described = {
        "Error": _error({}, {}),
        "LockConflict": _error({"holder": holder}, {}),
        "NotReady": _error({}, {"data": {**CHECKS, "description": "With `verbose`."}}),
    }
    return {name: {**schema, "examples": [FAILURES[name]]} for name, schema in described.items()}


def _error(within: Document, beside: Document) -> Document:
    """The shape of every failure, with required members within `error` and optional ones beside it."""
    error = {
        "type": "object",
        "required": ["code", "message", "applied", "retryable", *within],
        "properties": {
            "code": {"type": "string", "enum": [code.value for code in ApiCode]},
            "message": {"type": "string"},
            "applied": {"enum": [False, "unknown"]},
            "retryable": {"type": "boolean"},
            **within,
        },
    }
    return {
        "type": "object",
        "required": ["status", "error"],
        "properties": {"status": {"const": "error"}, "error": error, **beside},
    }


def _failures(route: Route) -> list[_Failure]:
    guarded = () if route.is_open else GUARDED
    admitted = () if route.always else ADMITTED
    slow = () if route.method == "GET" else (ApiCode.REQUEST_TIMEOUT,)
    by_status: dict[int, list[ApiCode]] = defaultdict(list)
    for code in sorted({*route.codes, *EVERYWHERE, *guarded, *admitted, *slow}):
        by_status[MEANINGS[code].status].append(code)
    return [_Failure(status, tuple(codes), _schema(route, codes)) for status, codes in sorted(by_status.items())]


def _schema(route: Route, codes: Iterable[ApiCode]) -> str:
    return next((name for code in codes if (name := _FURTHER_MEMBERS.get((route.id, code)))), "Error")


def _response(failure: _Failure) -> Document:
    meanings = [MEANINGS[code] for code in failure.codes]
    narrowed: Document = {"code": {"enum": [code.value for code in failure.codes]}}
    if len({meaning.retryable for meaning in meanings}) == 1:
        narrowed["retryable"] = {"const": meanings[0].retryable}
    if not MAYBE_APPLIED.intersection(failure.codes):
        narrowed["applied"] = {"const": False}
    whole = {"$ref": f"#/components/schemas/{failure.schema}"}
    schema = {"allOf": [whole, {"properties": {"error": {"properties": narrowed}}}]}
    return {
        "description": " ".join(f"`{code.value}`: {MEANINGS[code].text}" for code in failure.codes),
        "headers": of_failure(failure.codes),
        "content": {"application/json": {"schema": schema}},
    }


def _reference(failure: _Failure) -> Document:
    return {"$ref": f"#/components/responses/{failure.component}"}
