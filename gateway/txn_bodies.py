"""The body of `POST /txn`: comparisons and steps on keys of one slot, in JSON."""

from typing import Literal, TypeAlias

import msgspec

from gateway.bodies import IncrementBody, PutBody, TouchBody, check_count, decode, increment_item, put_item, touch_item
from gateway.conditions import Conditional
from gateway.data_limits import DataLimits
from gateway.errors import invalid
from gateway.json_text import json_value
from gateway.paths import check_key
from gateway.whole import Natural, decoder
from wire.messages import Comparison, Delete, Fetch, Increment, Put, Relation, Step, Touch, Transaction

_RELATIONS = {"==": Relation.EQUAL, "!=": Relation.NOT_EQUAL, "<": Relation.LESS, ">": Relation.GREATER}


class CompareBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that must hold; exactly one of `exists`, `revision` and `value` is given."""

    key: str
    exists: bool | msgspec.UnsetType = msgspec.UNSET
    revision: Natural | msgspec.UnsetType = msgspec.UNSET
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    op: Literal["==", "!=", "<", ">"] = "=="


class PutStep(PutBody, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="put", tag_field="op"):
    """Set a key."""

    key: str


class GetStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="get", tag_field="op"):
    """Read a key as the steps before left it."""

    key: str


class DeleteStep(Conditional, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="delete", tag_field="op"):
    """Delete a key, which need not be there."""

    key: str


class TouchStep(TouchBody, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="touch", tag_field="op"):
    """Set the time to live of a key, which must be there."""

    key: str


class IncrementStep(
    IncrementBody, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="increment", tag_field="op"
):
    """Add to a number."""

    key: str


StepBody: TypeAlias = PutStep | GetStep | DeleteStep | TouchStep | IncrementStep


class TxnBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When all comparisons hold the steps of `success` are taken, else those of `failure`; all of them or none."""

    compare: list[CompareBody] = []
    success: list[StepBody] = []
    failure: list[StepBody] = []


_body = decoder(TxnBody)


class Parsed(msgspec.Struct, frozen=True):
    """A transaction, and the steps of its two branches as they were asked for."""

    transaction: Transaction
    success: list[StepBody]
    failure: list[StepBody]

    @property
    def keys(self) -> list[str]:
        """All keys, in the order of the body."""
        compared = [comparison.key for comparison in self.transaction.compare]
        return [*compared, *(step.key for step in (*self.success, *self.failure))]

    @property
    def keys_read(self) -> list[str]:
        """Those whose state shows in the answer: compared or got."""
        compared = [comparison.key for comparison in self.transaction.compare]
        return [*compared, *(step.key for step in (*self.success, *self.failure) if isinstance(step, GetStep))]

    @property
    def keys_written(self) -> list[str]:
        """Those that a step may change."""
        return [step.key for step in (*self.success, *self.failure) if not isinstance(step, GetStep)]


def parse_txn(body: bytes, limits: DataLimits) -> Parsed:
    """The transaction in a body.

    Raises:
        ApiError: INVALID_REQUEST, INVALID_KEY, VALUE_TOO_LARGE, BATCH_TOO_LARGE.
    """
    parsed = decode(_body, body)
    check_count(len(parsed.compare) + len(parsed.success) + len(parsed.failure), "compare, success, failure", limits)
    transaction = Transaction(
        [_comparison(one, f"compare[{index}].", limits) for index, one in enumerate(parsed.compare)],
        [_step(one, f"success[{index}].", limits) for index, one in enumerate(parsed.success)],
        [_step(one, f"failure[{index}].", limits) for index, one in enumerate(parsed.failure)],
    )
    return Parsed(transaction, parsed.success, parsed.failure)


def _comparison(body: CompareBody, where: str, limits: DataLimits) -> Comparison:
    check_key(body.key, where + "key", limits)
    exists = None if isinstance(body.exists, msgspec.UnsetType) else body.exists
    revision = None if isinstance(body.revision, msgspec.UnsetType) else int(body.revision)
    value = None if isinstance(body.value, msgspec.UnsetType) else json_value(body.value, where + "value", limits)
    if sum(operand is not None for operand in (exists, revision, value)) != 1:
        raise invalid(f"{where}key: give exactly one of exists, revision and value beside it")
    if exists is not None and body.op not in ("==", "!="):
        raise invalid(f"{where}op: whether a key exists is compared with == or !=")
    return Comparison(body.key, exists, revision, value, _RELATIONS[body.op])


def _step(body: StepBody, where: str, limits: DataLimits) -> Step:
    check_key(body.key, where + "key", limits)
    if isinstance(body, PutStep):
        return Put([put_item(body.key, where, body, limits)])
    if isinstance(body, GetStep):
        return Fetch([body.key])
    if isinstance(body, IncrementStep):
        return Increment([increment_item(body.key, where, body, limits)])
    if isinstance(body, TouchStep):
        return Touch([touch_item(body.key, where, body, limits)])
    condition = body.condition(where, limits)
    return Delete([body.key], [condition] if condition else [])
