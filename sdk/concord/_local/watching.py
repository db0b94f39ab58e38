"""A watch of a store in this process: the state page by page, `synced`, then the changes that the state did not hold.

What is told is what the clients tell: keys that are gone after missed changes are told as deleted, and an id stands only where
one can go on. An id is good while the store is open and its history reaches so far.
"""

from collections.abc import Callable, Iterator
from typing import Any

from concord._errors import InvalidRequest, InvalidValue
from concord._local import answers
from concord._values import decode_stored
from concord._watching import Event, Kind
from shard.embedded import Engine, HistoryLostError, TroubleError
from wire.coverage import Coverage
from wire.messages import ChangeKind, ListEntry, WatchEvent
from wire.positions import Position

PAGE_ITEMS = 500
_KINDS: dict[ChangeKind, Kind] = {
    ChangeKind.PUT: "put",
    ChangeKind.DELETE: "delete",
    ChangeKind.EXPIRED: "expired",
}


class LocalWatching:
    """See `concord._store.Poll`."""

    def __init__(self, engine: Engine, prefix: str, kind: Any, after: str, wake: Callable[[], object]) -> None:
        self._engine = engine
        self._prefix = prefix
        self._kind = kind
        self._keys: set[str] = set()
        try:
            self._token, now = engine.listen(wake)
        except TroubleError as trouble:
            raise answers.failure(trouble) from trouble
        start = self._position(after) if after else None
        self._at = start or now
        self._listed_to = ""
        self._coverage: Coverage | None = None
        self._restated: set[str] | None = None
        self._is_synced = False
        self._is_listing = self._tells_synced = False
        if start is None:
            self._begin()
        else:
            self._tells_synced = True

    def poll(self) -> list[Event[Any] | InvalidValue]:
        """See Poll."""
        try:
            while True:
                was_listing, before = self._is_listing, self._at
                events = self._step()
                if events or (self._at == before and not (was_listing or self._is_listing)):
                    return events
        except TroubleError as trouble:
            raise answers.failure(trouble) from trouble

    def _step(self) -> list[Event[Any] | InvalidValue]:
        try:
            return list(self._page() if self._is_listing else self._changes())
        except HistoryLostError:
            self._begin()
            return []

    def close(self) -> None:
        """See Poll."""
        self._engine.leave(self._token)

    def _begin(self) -> None:
        """Tell the state, anew if need be."""
        self._is_listing, self._listed_to = True, ""
        self._coverage, self._restated = Coverage(), set()
        self._tells_synced = False

    def _page(self) -> Iterator[Event[Any] | InvalidValue]:
        """The next page of the state; at its end what is gone, and `synced`."""
        page, index = self._engine.page(self._prefix, self._listed_to, PAGE_ITEMS, with_values=True)
        coverage, restated = self._coverage or Coverage(), self._restated or set()
        self._coverage, self._restated = coverage, restated
        last = page.entries[-1].key if page.entries else self._listed_to
        coverage.add_page(last if page.more else None, index)
        self._listed_to = last
        self._is_listing = page.more
        for entry in page.entries:
            self._keys.add(entry.key)
            restated.add(entry.key)
            yield self._valued("state", entry, "")
        if not page.more:
            self._at = coverage.first
            yield from self._end_of_state(coverage, restated)

    def _end_of_state(self, coverage: Coverage, restated: set[str]) -> Iterator[Event[Any]]:
        gone = sorted(self._keys - restated)
        self._keys.intersection_update(restated)
        self._restated = None
        for key in gone:
            yield Event("delete", key)
        if coverage.first == coverage.last:
            self._coverage = None
        if not self._is_synced:
            self._is_synced = True
            yield Event("synced", id="" if self._coverage else self._id(self._at))

    def _changes(self) -> Iterator[Event[Any] | InvalidValue]:
        """What came since."""
        if self._tells_synced:
            self._tells_synced = False
            self._engine.changes(self._at)  # whether it is known what follows
            self._is_synced = True
            yield Event("synced", id=self._id(self._at))
        placed, self._at = self._engine.changes(self._at)
        for position, event in placed:
            coverage = self._coverage
            if coverage is not None and position > coverage.last:
                coverage = self._coverage = None
            if event.key.startswith(self._prefix) and not (coverage and coverage.holds(event.key, event.revision)):
                yield self._change(event, "" if coverage else self._id(position))
        if self._coverage is not None and self._at >= self._coverage.last:
            self._coverage = None

    def _change(self, event: WatchEvent, place: str) -> Event[Any] | InvalidValue:
        kind = _KINDS[event.kind]
        if kind != "put":
            self._keys.discard(event.key)
            return Event(kind, event.key, None, event.revision, place)
        self._keys.add(event.key)
        return self._valued(kind, event, place)

    def _valued(self, kind: Kind, told: ListEntry | WatchEvent, place: str) -> Event[Any] | InvalidValue:
        try:
            value = decode_stored(told.value, told.content_type, self._kind)
        except InvalidValue as error:
            return error.of(told.key, place)
        return Event(kind, told.key, value, told.revision, place)

    def _id(self, position: Position) -> str:
        return f"{self._engine.name}:{position.through}:{position.taken}"

    def _position(self, after: str) -> Position | None:
        """The place of an id; None when it is of another opening, whose changes nobody knows."""
        try:
            name, through, taken = after.split(":")
            position = Position(int(through), int(taken))
        except ValueError as error:
            raise InvalidRequest("after: not an id that a watch gave") from error
        return position if name == self._engine.name else None
