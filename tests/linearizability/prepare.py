"""One key's history, made ready for the search: what is implied is made explicit, and what cannot matter is taken out.

An order gives every operation an instant between its call and its return. What must come before what narrows these
intervals without losing any order:

- revisions: the lower of two comes first, and of two that are equal the write before the get;
- values: when just one operation can have written a value, it comes before all that found it. That also closes a write
  whose outcome is unknown: it took effect, and before its first reader was answered.

The narrower the intervals, the fewer operations are open at once, and the fewer orders are left to try.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.linearizability import model
from tests.linearizability.model import KEEP, NEVER, OTHER, Effect
from tests.linearizability.operation import Answer, Kind, Operation, Scalar

_MANY = -1  # instead of the one operation that can have written a value


class ContradictionError(Exception):
    """No order can exist, for a reason that needs no search."""

    def __init__(self, stuck: Operation, reason: str) -> None:
        super().__init__(reason)
        self.stuck = stuck
        self.reason = reason


@dataclass(slots=True)
class Optional:
    """Operations with an unknown outcome that do the same, by their calls: the earlier serves wherever a later does."""

    effects: tuple[Effect, ...]
    starts: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Prepared:
    """What the search needs, by position in order of `starts`.

    Attributes:
        operations: those that took effect.
        starts: the earliest instant of each.
        ends: the latest.
        effects: what each does.
        passive: whether it leaves everything as it is.
        revisions: of each, 0 when not told.
        optional: those that may have taken effect.
        needed: value that has one writer → its readers, as the lowest position and a bit set from there.
        timed: whether there is any time to live.
    """

    operations: list[Operation] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    effects: list[tuple[Effect, ...]] = field(default_factory=list)
    passive: list[bool] = field(default_factory=list)
    revisions: list[int] = field(default_factory=list)
    optional: list[Optional] = field(default_factory=list)
    needed: dict[Scalar, tuple[int, int]] = field(default_factory=dict)
    timed: bool = False


@dataclass(slots=True)
class _Values:
    """Who can have written a value, who found it, and which are looked at by anybody."""

    writers: dict[Scalar, int] = field(default_factory=dict)
    readers: dict[Scalar, list[int]] = field(default_factory=dict)
    seen: set[Scalar] = field(default_factory=set)
    counted: bool = False  # by increments, so that every number is looked at
    open_counts: bool = False  # by increments with an unknown result, which can have written any number

    def wrote(self, value: Scalar, at: int) -> None:
        self.writers[value] = _MANY if value in self.writers else at

    def found(self, value: Scalar, at: int) -> None:
        self.readers.setdefault(value, []).append(at)

    def take(self, at: int, operation: Operation) -> None:
        kind, result, known = operation.kind, operation.result, operation.returned_ns is not None
        if kind is Kind.GET:
            if result is not None:
                self.found(result, at)
        elif kind is Kind.PUT:
            assert not isinstance(operation.argument, tuple)
            self.wrote(operation.argument, at)
        elif kind is Kind.CAS:
            assert isinstance(operation.argument, tuple)
            self._take_cas(at, *operation.argument, done=result if known else None)
        elif kind is Kind.INCREMENT:
            assert isinstance(operation.argument, int)
            self._take_increment(at, operation.argument, result if known else None)

    def _take_cas(self, at: int, expected: Scalar, new: Scalar, *, done: Answer) -> None:
        self.seen.add(expected)
        if done is None or done:
            self.wrote(new, at)
        if done and expected is not None:
            self.found(expected, at)

    def _take_increment(self, at: int, by: int, result: Answer) -> None:
        self.counted = True
        if not isinstance(result, int):
            self.open_counts = True
            return
        self.wrote(result, at)
        if result != by:
            self.found(result - by, at)

    def only_writer(self, value: Scalar) -> int | None:
        """The operation that wrote a value if anybody did; None when there is more than one that can have."""
        if self.open_counts and isinstance(value, int):
            return None
        at = self.writers.get(value)
        return None if at == _MANY else at

    def is_unseen(self, value: Scalar) -> bool:
        """Whether nobody is told that the key holds this value."""
        if value is None or (self.counted and isinstance(value, int)):
            return False
        return value not in self.readers and value not in self.seen


def prepare(operations: Iterable[Operation]) -> Prepared:
    """Make one key's history ready; `ContradictionError` when it is seen to be wrong on the way."""
    history = [one for one in operations if one.returned_ns is not None or one.kind is not Kind.GET]
    values = _Values()
    for at, operation in enumerate(history):
        values.take(at, operation)
    starts = [one.called_ns for one in history]
    ends = [NEVER if one.returned_ns is None else one.returned_ns for one in history]
    _narrow_by_revision(history, starts, ends)
    took_effect = _narrow_by_value(history, values, starts, ends)
    return _arrange(history, values, took_effect, starts, ends)


def _narrow_by_revision(history: list[Operation], starts: list[int], ends: list[int]) -> None:
    ranked = sorted(
        (revision, one.kind is Kind.GET, at) for at, one in enumerate(history) if (revision := one.own_revision)
    )
    _refuse_one_entry_for_two(history, ranked)
    _raise_starts(ranked, starts)
    _lower_ends(ranked, ends)
    for _, _, at in ranked:
        if starts[at] > ends[at]:
            raise ContradictionError(history[at], "its revision contradicts the order of calls and returns")


def _refuse_one_entry_for_two(history: list[Operation], ranked: list[tuple[int, bool, int]]) -> None:
    """Writes share a revision only when they travelled together, so none was called after another had returned."""
    returned: dict[int, int] = {}
    writes = [(revision, history[at]) for revision, is_get, at in ranked if not is_get]
    for revision, one in writes:
        returned[revision] = min(one.returned_ns or NEVER, returned.get(revision, NEVER))
    for revision, one in writes:
        if one.called_ns > returned[revision]:
            raise ContradictionError(one, "it has the revision of a write that had returned before it was called")


def _raise_starts(ranked: list[tuple[int, bool, int]], starts: list[int]) -> None:
    before = highest = 0
    rank = (0, False)
    for revision, is_get, at in ranked:
        if (revision, is_get) != rank:
            rank, before = (revision, is_get), highest
        highest = max(highest, starts[at])
        starts[at] = max(starts[at], before)


def _lower_ends(ranked: list[tuple[int, bool, int]], ends: list[int]) -> None:
    after = lowest = NEVER
    rank = (0, False)
    for revision, is_get, at in reversed(ranked):
        if (revision, is_get) != rank:
            rank, after = (revision, is_get), lowest
        lowest = min(lowest, ends[at])
        ends[at] = min(ends[at], after)


def _narrow_by_value(history: list[Operation], values: _Values, starts: list[int], ends: list[int]) -> set[int]:
    """Narrow, and return who took effect: whoever was answered, and who alone can have written what was found."""
    took_effect = {at for at, one in enumerate(history) if one.returned_ns is not None}
    for value, readers in values.readers.items():
        if value not in values.writers and not (values.open_counts and isinstance(value, int)):
            raise ContradictionError(history[readers[0]], f"it found {value!r}, which was never written")
        writer = values.only_writer(value)
        if writer is None:
            continue
        took_effect.add(writer)
        ends[writer] = min(ends[writer], *(ends[reader] for reader in readers))
        for reader in readers:
            starts[reader] = max(starts[reader], starts[writer])
            if starts[reader] > ends[reader]:
                raise ContradictionError(history[reader], f"it found {value!r}, which was written only later")
        if starts[writer] > ends[writer]:
            raise ContradictionError(history[writer], f"it wrote {value!r}, which was found before")
    return took_effect


def _arrange(
    history: list[Operation], values: _Values, took_effect: set[int], starts: list[int], ends: list[int]
) -> Prepared:
    made = Prepared(timed=any(one.ttl_s is not None for one in history))
    order = sorted(range(len(history)), key=starts.__getitem__)
    classes: dict[tuple[Effect, ...], Optional] = {}
    position: dict[int, int] = {}
    for at in order:
        one = history[at]
        known = one.returned_ns is not None
        effects = model.effects_of(one) if known else model.changes_of(one)
        effects = _without_unseen(effects, values)
        if at not in took_effect:
            classes.setdefault(effects, Optional(effects)).starts.append(starts[at])
            continue
        position[at] = len(made.starts)
        made.operations.append(one)
        made.starts.append(starts[at])
        made.ends.append(ends[at])
        made.effects.append(effects)
        made.passive.append(model.is_passive(effects))
        made.revisions.append(one.own_revision)
    made.optional = list(classes.values())
    for value, readers in values.readers.items():
        if values.only_writer(value) is not None:
            places = [position[at] for at in readers]
            base = min(places)
            made.needed[value] = (base, sum(1 << (place - base) for place in places))
    return made


def _without_unseen(effects: tuple[Effect, ...], values: _Values) -> tuple[Effect, ...]:
    need, operand, new, life = effects[0]
    if new is KEEP or len(effects) > 1 or not values.is_unseen(new):
        return effects
    return ((need, operand, OTHER, life),)
