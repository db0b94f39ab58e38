"""Histories written by hand, in milliseconds."""

from tests.linearizability.generate import MS
from tests.linearizability.operation import Answer, Kind, Operation, Scalar


class Story:
    """Operations of one key, in the order of the calls; each gets a client of its own."""

    def __init__(self, key: str = "k") -> None:
        self.key = key
        self.operations: list[Operation] = []

    def _add(
        self,
        kind: Kind,
        when: tuple[float, float | None],
        argument: Scalar | tuple[Scalar, Scalar],
        result: Answer,
        *,
        ttl_s: int | None = None,
        revision: int | None = None,
    ) -> "Story":
        called, returned = int(when[0] * MS), None if when[1] is None else int(when[1] * MS)
        client = len(self.operations)
        self.operations.append(Operation(client, self.key, kind, called, returned, argument, ttl_s, result, revision))
        return self

    def put(
        self,
        value: Scalar,
        called: float,
        returned: float | None,
        *,
        ttl_s: int | None = None,
        revision: int | None = None,
    ) -> "Story":
        return self._add(Kind.PUT, (called, returned), value, None, ttl_s=ttl_s, revision=revision)

    def get(self, value: Scalar, called: float, returned: float | None, *, revision: int | None = None) -> "Story":
        return self._add(Kind.GET, (called, returned), None, value, revision=revision)

    def delete(self, called: float, returned: float | None, *, found: bool | None = None) -> "Story":
        return self._add(Kind.DELETE, (called, returned), None, found)

    def touch(self, called: float, returned: float | None, ttl_s: int, *, found: bool | None = None) -> "Story":
        return self._add(Kind.TOUCH, (called, returned), None, found, ttl_s=ttl_s)

    def cas(
        self, expected: Scalar, new: Scalar, called: float, returned: float | None, *, done: bool | None = None
    ) -> "Story":
        return self._add(Kind.CAS, (called, returned), (expected, new), done)

    def increment(self, by: int, called: float, returned: float | None, *, result: int | None = None) -> "Story":
        return self._add(Kind.INCREMENT, (called, returned), by, result)
