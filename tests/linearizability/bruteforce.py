"""The definition, tried out: every order of every choice of unknown outcomes. For histories of a handful of operations.

It shares nothing with the search but `Operation`: the register is written down a second time, as plainly as can be.
"""

from collections.abc import Iterator, Sequence

from tests.linearizability.operation import Answer, Kind, Operation, Scalar, lifetime_ns

_FOR_EVER = 1 << 62


class _Register:
    """What one order makes of a key; every operation is done as early as it can be, since late is never better."""

    def __init__(self) -> None:
        self.value: Scalar = None
        self.due = _FOR_EVER
        self.now = 0
        self.revision = 0
        self.own = False
        self.read_at = 0

    def copy(self) -> "_Register":
        other = _Register()
        other.__dict__.update(self.__dict__)
        return other

    def expire(self) -> bool:
        if self.due == _FOR_EVER:
            return False
        self.now, self.value, self.due, self.own = max(self.now, self.due), None, _FOR_EVER, False
        return True

    def set(self, value: Scalar, one: Operation | None) -> None:
        self.value = value
        self.due = _FOR_EVER
        if one is not None and one.ttl_s is not None and value is not None:
            self.due = one.called_ns + lifetime_ns(one.ttl_s)

    def do(self, one: Operation) -> Answer:
        """Do the operation and return what the answer is."""
        there = self.value is not None
        match one.kind, one.argument:
            case Kind.PUT, str() | int() as value:
                self.set(value, one)
            case Kind.DELETE, _:
                self.set(None, None)
            case Kind.TOUCH, _ if there:
                self.set(self.value, one)
            case Kind.CAS, (expected, new):
                done = self.value == expected
                if done:
                    self.set(new, one)
                return done
            case Kind.INCREMENT, int(by) if isinstance(self.value, int):
                self.value += by
            case Kind.INCREMENT, int(by) if not there:
                self.set(by, one)
            case Kind.INCREMENT, _:
                raise TypeError
        return there if one.kind in {Kind.DELETE, Kind.TOUCH} else self.value

    def agrees(self, one: Operation, answer: Answer) -> bool:
        if one.returned_ns is None or one.kind is Kind.PUT:
            return True
        if one.kind is not Kind.GET and one.result is None:
            return True
        return answer == one.result

    def take_revision(self, one: Operation, answer: Answer) -> bool:
        """Whether revisions grow with the order, and a get finds that of the last change."""
        told = one.own_revision
        if one.kind is Kind.GET:
            if not told:
                return True
            newer = told > self.read_at and told >= self.revision
            fits = told == self.revision if self.own else newer
            self.revision, self.own, self.read_at = told, True, told
            return fits
        if answer is False:
            return True
        if not told:
            self.own = False
            return True
        fits = told > self.read_at and told >= self.revision
        self.revision, self.own = told, self.value is not None
        return fits


def has_order(operations: Sequence[Operation]) -> bool:
    """Whether the operations of one key can be put in an order that explains every answer."""
    told = [one for one in operations if one.returned_ns is not None or one.kind is not Kind.GET]
    changes = [one for one in told if one.own_revision and one.kind is not Kind.GET]
    if any(
        a.own_revision == b.own_revision and (a.returned_ns or _FOR_EVER) < b.called_ns
        for a in changes
        for b in changes
    ):
        return False
    return _explains(_Register(), told)


def _explains(register: _Register, left: list[Operation]) -> bool:
    if all(one.returned_ns is None for one in left):
        return True
    return any(
        _explains(after, [*left[:at], *left[at + 1 :]])
        for at, one in enumerate(left)
        for after in _after(register, one)
    )


def _after(register: _Register, one: Operation) -> Iterator[_Register]:
    for expires in (False, True):
        tried = register.copy()
        if expires and not tried.expire():
            continue
        tried.now = max(tried.now, one.called_ns)
        if tried.now > (_FOR_EVER if one.returned_ns is None else one.returned_ns):
            continue
        try:
            answer = tried.do(one)
        except TypeError:
            continue
        if tried.agrees(one, answer) and tried.take_revision(one, answer):
            yield tried
