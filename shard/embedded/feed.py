"""What entries change, for those in this process who watch.

The machine tells of each entry while it is applied. From the first watch on the newest changes are kept, in the bounded memory that a
node has for its watchers; who is too slow for it is told `HistoryLostError` and reads the state anew. Every method but
`changed` wants the engine's `state` lock to be held, which it is while `changed` is called.
"""

from collections.abc import Callable

from shard.embedded.trouble import Trouble, TroubleError
from shard.history import History
from shard.machine import Change, Machine
from shard.seams import GroupLimits
from wire.messages import LIMIT_WATCH_BYTES, WatchEvent, WatchReply
from wire.positions import Position, place

_LIMITS = GroupLimits()


class HistoryLostError(Exception):
    """The changes after a position are not known any more, or never were."""


class Feed:
    """The changes of one machine. Implements `shard.machine.machine.Audience`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._history: History | None = None
        self._listeners: dict[object, Callable[[], object]] = {}

    def listen(self, index: int, wake: Callable[[], object]) -> object:
        """Have `wake` called after each entry that changes something, from the thread that applies it; it must not block.

        Args:
            index: of the last entry that was applied.
            wake: called also at the end.

        Returns:
            What `leave` wants.

        Raises:
            TroubleError: OVERLOADED: as many listen as may.
        """
        if len(self._listeners) >= _LIMITS.watchers_max:
            raise TroubleError(Trouble.OVERLOADED, f"{_LIMITS.watchers_max} watch already")
        if self._history is None:
            self._history = History(index, _LIMITS.history_events_max, _LIMITS.history_bytes_max)
            self._machine.tell(self)
        token = object()
        self._listeners[token] = wake
        return token

    def leave(self, token: object) -> None:
        """Call it no more; twice is harmless."""
        self._listeners.pop(token, None)

    def after(self, asked: Position, index: int) -> tuple[list[tuple[Position, WatchEvent]], Position]:
        """Changes after a position, each with the position right after it, and the position after all of them.

        Args:
            asked: the position.
            index: of the last entry that was applied.

        Raises:
            HistoryLostError: some of them are not known.
        """
        history = self._history
        found = None if history is None else history.after(asked.through, asked.taken, index, LIMIT_WATCH_BYTES)
        if found is None:
            raise HistoryLostError
        placed = list(place(asked, WatchReply(found.events, found.index, found.taken)))
        return placed, Position(found.index, found.taken)

    def wake_all(self) -> None:
        """There is something to see: a change, or the end."""
        for wake in list(self._listeners.values()):
            wake()

    def changed(self, index: int, changes: list[Change]) -> None:
        """See Audience."""
        if self._history is not None:
            self._history.add(index, changes)
        self.wake_all()

    def restored(self) -> None:
        """See Audience; a state is restored only before anybody listens."""
