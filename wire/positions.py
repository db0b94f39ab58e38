"""Where a watcher stands in a group, and where each change of a reply stands. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from wire.messages import WatchEvent, WatchReply


class Position(NamedTuple):
    """Every change of the entries up to `through`, and the first `taken` of the entry after it.

    Positions of a group compare as they follow one another.
    """

    through: int
    taken: int = 0


def place(asked: Position, reply: WatchReply) -> Iterator[tuple[Position, WatchEvent]]:
    """The changes of a reply, each with the position right after it; `asked` is the position that was asked from."""
    entry, taken = asked.through + 1, asked.taken
    last = len(reply.events) - 1
    for number, event in enumerate(reply.events):
        if event.revision != entry:
            entry, taken = event.revision, 0
        taken += 1
        is_whole = reply.events[number + 1].revision != entry if number < last else reply.index >= entry
        yield (Position(entry) if is_whole else Position(entry - 1, taken)), event
