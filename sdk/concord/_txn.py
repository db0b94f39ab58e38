"""Transactions: comparisons, and what is done when all of them hold, or when not. Keys of one slot, one revision."""

from typing import Any, Literal, TypeAlias

import msgspec

from concord import _calls, _values
from concord._calls import Call
from concord._errors import InvalidRequest, Timeout, UnknownOutcome
from concord._responses import Found, body_decoder, parsed
from concord._store import Store
from concord._transports import Response

Relation: TypeAlias = Literal["==", "!=", "<", ">"]


class StepResult(msgspec.Struct, frozen=True):
    """What one step did.

    Attributes:
        key: of the step.
        found: whether the key was there; for a put and an increment always.
        value: of a get and an increment; of a get bytes, if it is that.
        revision: of the key, for a get and an increment; else 0.
    """

    key: str
    found: bool
    value: Any
    revision: int


class TxnResult(msgspec.Struct, frozen=True):
    """What a transaction did: whether the comparisons held, and the results of the steps that were taken for that."""

    succeeded: bool
    results: list[StepResult]
    revision: int


class Steps:
    """Steps in order. Each method adds one and returns this object."""

    def __init__(self) -> None:
        self.rendered: list[dict[str, Any]] = []

    def put(self, key: str, value: object, *, ttl: int | None = None, if_fence: int | None = None) -> "Steps":
        """Set a key to JSON, `value`, with `ttl` seconds to live, None for ever; `if_fence` as of `Concord.put`."""
        return self._add("put", key, value=value, **({} if ttl is None else {"ttl": ttl}), **_fenced(if_fence))

    def get(self, key: str) -> "Steps":
        """Read a key as the steps before left it."""
        return self._add("get", key)

    def delete(self, key: str, *, if_fence: int | None = None) -> "Steps":
        """Delete a key, which need not be there; `if_fence` as of `Concord.delete`."""
        return self._add("delete", key, **_fenced(if_fence))

    def touch(self, key: str, ttl: int, *, if_fence: int | None = None) -> "Steps":
        """Set the time to live of a key to `ttl` seconds; `if_fence` as of `Concord.touch`."""
        return self._add("touch", key, ttl=ttl, **_fenced(if_fence))

    def increment(self, key: str, by: int = 1, *, initial: int = 0, if_fence: int | None = None) -> "Steps":
        """Add `by` to the number of a key, which counts as `initial` when it is not there; `if_fence` as of `Concord.increment`."""
        return self._add("increment", key, by=by, initial=initial, **_fenced(if_fence))

    def _add(self, op: str, key: str, **members: Any) -> "Steps":
        self.rendered.append({"op": op, "key": key, **members})
        return self


def _fenced(fence: int | None) -> dict[str, int]:
    return {} if fence is None else {"if_fence": fence}


class Txn:
    """A transaction in the making; `client.commit(txn)` does it. All keys need a common `{tag}`.

    Attributes:
        then: the steps if all comparisons hold.
        otherwise: the steps if not.
    """

    then: Steps
    otherwise: Steps

    def __init__(self) -> None:
        self.then = Steps()
        self.otherwise = Steps()
        self._compare: list[dict[str, Any]] = []

    def if_exists(self, key: str, exists: bool = True) -> "Txn":  # noqa: FBT001, FBT002 - reads well
        """The key is there (`exists`), or is not."""
        return self._when(key, exists=exists)

    def if_value(self, key: str, value: object, op: Relation = "==") -> "Txn":
        """The key's value is equal (or `op`) to `value` as JSON."""
        return self._when(key, value=value, op=op)

    def if_revision(self, key: str, revision: int, op: Relation = "==") -> "Txn":
        """The key's revision is (or `op`) this one; 0 of a key that is not there."""
        return self._when(key, revision=revision, op=op)

    def call(self) -> Call[TxnResult]:
        """The operation. One that only reads is no write, so its outcome is never unknown."""
        steps = [*self.then.rendered, *self.otherwise.rendered]
        body = {"compare": self._compare, "success": self.then.rendered, "failure": self.otherwise.rendered}
        is_write = any(step["op"] != "get" for step in steps)
        keys = [step["key"] for step in steps] if is_write else ()
        decode = _decode if is_write else _decode_read

        def local(store: Store, timeout: float) -> TxnResult:
            return store.commit(self._compare, self.then.rendered, self.otherwise.rendered, timeout)

        try:
            return _calls.post(f"{_calls.API}/txn", body, decode, is_write=is_write, keys=keys, local=local)
        except InvalidRequest:
            for part in (*self._compare, *steps):  # to tell whose value it is
                _values.encode(part.get("value"), part["key"])
            raise

    def _when(self, key: str, **members: Any) -> "Txn":
        self._compare.append({"key": key, **members})
        return self


class _Data(msgspec.Struct, frozen=True):
    succeeded: bool
    results: list[Found]
    revision: int


_data = body_decoder(_Data)


def _decode(response: Response) -> TxnResult:
    data = parsed(_data, response).data
    results = [_result(item) for item in data.results]
    return TxnResult(data.succeeded, results, data.revision)


def _decode_read(response: Response) -> TxnResult:
    try:
        return _decode(response)
    except UnknownOutcome as error:  # a gateway says so of every transaction
        raise Timeout(error.message, retryable=error.retryable, status=error.status) from error


def _result(item: Found) -> StepResult:
    is_there = item.status == "ok" and item.deleted is not False
    value = _values.decode(item.value, item.encoding, Any) if is_there else None
    return StepResult(item.key, is_there, value, item.revision)
