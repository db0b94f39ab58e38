"""The register: which states an operation allows, and what it leaves behind.

Every operation becomes one or two effects of one form: what the key must hold, what it holds afterwards, and what happens
to its time to live. Operations that have the same effects are interchangeable, and the search looks at no more than that.
"""

import enum

from tests.linearizability.operation import Kind, Operation, Scalar, lifetime_ns

NEVER = 1 << 62
KEEP_LIFE = -1
# What the key holds when nobody is ever told what it is: all such values are one. No client can write it.
OTHER = "\0 some value that nobody looks at"


class Need(enum.IntEnum):
    """What the key must hold for an effect."""

    ANYTHING = 0
    IS = 1  # the operand; None: absent
    PRESENT = 2
    IS_NOT = 3  # the operand
    NUMBER = 4  # the operand is added to it


class Keep(enum.Enum):
    """Stands for the value that is there already."""

    VALUE = 0


# What is needed, its operand, what the key holds afterwards, and for how long: ns from the call, NEVER or KEEP_LIFE.
Effect = tuple[int, Scalar, Scalar | Keep, int]
# The value, when it may be gone (NEVER), twice the highest revision seen and one more when a get has found it, whether
# that is the value's own, and the earliest time that it can be now; time stands still on keys without a time to live.
# Sooner is better in both times. A get closes a revision: what shares it has been done together, before.
State = tuple[Scalar, int, int, bool, int]

START: State = (None, NEVER, 0, False, 0)
ANYTHING, IS, PRESENT, IS_NOT, NUMBER = (int(need) for need in Need)
KEEP = Keep.VALUE
_FOUND_NOTHING: Effect = (IS, None, KEEP, KEEP_LIFE)


def _life(operation: Operation) -> int:
    return NEVER if operation.ttl_s is None else lifetime_ns(operation.ttl_s)


def changes_of(operation: Operation) -> tuple[Effect, ...]:
    """What the operation does when it changes anything, whatever was answered."""
    match operation.kind, operation.argument:
        case Kind.PUT, str() | int() | None as value:
            return ((ANYTHING, None, value, _life(operation)),)
        case Kind.DELETE, _:
            return ((PRESENT, None, None, NEVER),)
        case Kind.TOUCH, _:
            return ((PRESENT, None, KEEP, _life(operation)),)
        case Kind.CAS, (expected, new):
            return ((IS, expected, new, _life(operation)),)
        case Kind.INCREMENT, int(by):
            return ((NUMBER, by, KEEP, KEEP_LIFE), (IS, None, by, _life(operation)))
    raise ValueError(f"not an operation that changes a key: {operation}")


def effects_of(operation: Operation) -> tuple[Effect, ...]:
    """What an operation that was answered did: one effect, or two when the answer leaves that open."""
    result, argument = operation.result, operation.argument
    match operation.kind:
        case Kind.PUT:
            return changes_of(operation)
        case Kind.GET:
            return ((IS, result, KEEP, KEEP_LIFE),)
        case Kind.INCREMENT:
            return _increments(operation)
        case Kind.DELETE if result is None:
            return ((ANYTHING, None, None, NEVER),)
    not_done = (IS_NOT, argument[0], KEEP, KEEP_LIFE) if isinstance(argument, tuple) else _FOUND_NOTHING
    done = () if result is False else changes_of(operation)
    return done if result else (*done, not_done)


def _increments(operation: Operation) -> tuple[Effect, ...]:
    result, by = operation.result, operation.argument
    if not isinstance(result, int) or not isinstance(by, int):
        return changes_of(operation)
    added: Effect = (IS, result - by, result, KEEP_LIFE)
    return (added, (IS, None, result, _life(operation))) if result == by else (added,)


def is_passive(effects: tuple[Effect, ...]) -> bool:
    """Whether an operation leaves everything as it is."""
    return all(new is KEEP and life == KEEP_LIFE and need != NUMBER for need, _, new, life in effects)


def _allows(value: Scalar, need: int, operand: Scalar) -> bool:
    if need == IS:
        return value == operand
    if need == PRESENT:
        return value is not None
    if need == IS_NOT:
        return value != operand
    return need == ANYTHING or isinstance(value, int)


def follow(state: State, effect: Effect, revision: int, called: int, latest: int, *, since: int = -1) -> State | None:
    """The state after an effect, None when the state does not allow it.

    A key whose time has come may be found gone, whenever it helps: expiry may be late without bound. Its time counts from the
    call: the leader stamps a write when it takes it in, which may be long before the write is on the disks of a majority.

    Args:
        state: before.
        effect: what happens.
        revision: of the operation, 0 when not told.
        called: the earliest instant at which it can have happened, 0 on keys without a time to live.
        latest: the last instant at which it can.
        since: when the time to live begins to count, if not when it was called.
    """
    value, deadline, seen, exact, now = state
    need, operand, new, life = effect
    now = max(now, called)
    if not _allows(value, need, operand):
        absence_helps = need == IS_NOT or (need == IS and operand is None)
        now = max(now, deadline)
        if not absence_helps or now > latest:
            return None
        value, deadline, exact = None, NEVER, False
    if new is KEEP and life == KEEP_LIFE and need != NUMBER:
        if not revision:
            return value, deadline, seen, exact, now
        if revision != seen >> 1 if exact else 2 * revision < seen:
            return None
        return value, deadline, 2 * revision + 1, True, now
    if revision and 2 * revision < seen:
        return None
    if need == NUMBER:
        assert isinstance(value, int)
        assert isinstance(operand, int)
        value += operand
    elif new is not KEEP:
        value = new
    if life != KEEP_LIFE:
        deadline = NEVER if life == NEVER or value is None else (called if since < 0 else since) + life
    return value, deadline, 2 * revision or seen, bool(revision) and value is not None, now


def is_timed(effects: tuple[Effect, ...]) -> bool:
    """Whether an operation gives a time to live: then it matters which of several that do the same comes last."""
    return any(0 < life < NEVER for _, _, _, life in effects)
