"""Histories drawn from a seed: of a register that is right, and of ones that break a promise."""

import random
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from tests.linearizability.operation import Answer, Kind, Operation, Scalar

MIXED = (Kind.PUT, Kind.PUT, Kind.GET, Kind.GET, Kind.GET, Kind.DELETE, Kind.CAS)
COUNTED = (Kind.INCREMENT, Kind.INCREMENT, Kind.GET, Kind.PUT, Kind.DELETE)
LIVELY = (Kind.PUT, Kind.PUT, Kind.GET, Kind.GET, Kind.GET, Kind.DELETE, Kind.TOUCH, Kind.CAS)
MS = 1_000_000


class Shape(msgspec.Struct, frozen=True):
    """What a drawn history looks like.

    Attributes:
        operations: how many.
        clients: how many call at once.
        kinds: what they do, each as likely as it is often named.
        values: how many different ones are put; 0: every put has a value of its own.
        unknown: the share of operations without an answer.
        ttl: the share of puts with a time to live of a second, and every touch.
        revisions: whether answers tell them.
        pause_ns: the longest time between an answer and the client's next call; a request takes as long.
    """

    operations: int
    clients: int = 3
    kinds: tuple[Kind, ...] = MIXED
    values: int = 0
    unknown: float = 0.0
    ttl: float = 0.0
    revisions: bool = False
    pause_ns: int = 10 * MS


class _Call(NamedTuple):
    """When a client calls, when that takes effect and when it returns."""

    client: int
    called: int
    at: int
    returned: int


class _Register:
    def __init__(self) -> None:
        self.value: Scalar = None
        self.due_ns = 0
        self.revision = 0

    def do(self, kind: Kind, argument: Scalar | tuple[Scalar, Scalar], ttl_s: int | None, now_ns: int) -> Answer:
        """What is answered at this instant."""
        if 0 < self.due_ns <= now_ns:
            self.value, self.due_ns = None, 0
        before = self.value
        due_ns = now_ns + ttl_s * 1000 * MS if ttl_s else 0
        match kind, argument:
            case Kind.PUT, str() | int() as value:
                self.value, self.due_ns = value, due_ns
                return None
            case Kind.DELETE, _:
                self.value, self.due_ns = None, 0
                return before is not None
            case Kind.TOUCH, _:
                if before is not None:
                    self.due_ns = due_ns
                return before is not None
            case Kind.CAS, (expected, new):
                if before == expected:
                    self.value, self.due_ns = new, due_ns
                return before == expected
            case Kind.INCREMENT, int(by):
                self.value = by + (before if isinstance(before, int) else 0)
                return self.value
        return before


def draw_history(rng: random.Random, shape: Shape, key: str = "k", start_ns: int = 0) -> list[Operation]:
    """A history of a register that is right, in the order in which its operations took effect."""
    register = _Register()
    calls = sorted(_calls(rng, shape, start_ns), key=lambda call: call.at)
    return [_done(rng, shape, register, call, key=key, number=number) for number, call in enumerate(calls)]


def _calls(rng: random.Random, shape: Shape, start_ns: int) -> Iterator[_Call]:
    free = [start_ns + int(rng.random() * shape.pause_ns) for _ in range(shape.clients)]
    for _ in range(shape.operations):
        client = min(range(shape.clients), key=free.__getitem__)
        called = free[client]
        returned = called + 2 + int(rng.random() * shape.pause_ns)
        free[client] = returned + 1 + int(rng.random() * shape.pause_ns)
        at = called + 1 + int(rng.random() * (returned - called - 1))
        yield _Call(client, called, at, returned)


def _done(rng: random.Random, shape: Shape, register: _Register, call: _Call, *, key: str, number: int) -> Operation:
    kind = rng.choice(shape.kinds)
    value = rng.randrange(shape.values) if shape.values else number
    argument: Scalar | tuple[Scalar, Scalar] = None
    if kind is Kind.PUT:
        argument = value if Kind.INCREMENT in shape.kinds else f"v{value}"
    elif kind is Kind.CAS:
        argument = (register.value if rng.random() < 0.7 else f"v{rng.randrange(number + 1)}", f"v{value}")
    elif kind is Kind.INCREMENT:
        argument = rng.choice((1, 1, 2))
    timed = kind is Kind.TOUCH or (kind in {Kind.PUT, Kind.CAS, Kind.INCREMENT} and rng.random() < shape.ttl)
    ttl_s = 1 if timed else None
    unknown = rng.random() < shape.unknown
    if unknown and rng.random() < 0.5:
        return Operation(call.client, key, kind, call.called, None, argument, ttl_s)
    result = register.do(kind, argument, ttl_s, call.at)
    changed = kind is not Kind.GET and result is not False
    register.revision += changed
    if unknown:
        return Operation(call.client, key, kind, call.called, None, argument, ttl_s)
    told = register.revision if shape.revisions and (changed or (kind is Kind.GET and result is not None)) else None
    return Operation(call.client, key, kind, call.called, call.returned, argument, ttl_s, result, told)
