"""What all connections of a server keep in memory because their peers are slow, and who goes when it is too much.

A peer may take its time over half a frame, or over an answer that it does not read, and the limits of one connection allow
that for a while. A thousand such peers would still fill the memory, so there is a limit on their sum. When it is passed, the
connection whose age is greatest is cut off: an honest peer finishes a frame within milliseconds, and each time it
does, its age starts again. One that is alone is left to its own limits.
"""

from typing import Protocol

import msgspec


class Holder(Protocol):
    """A connection that keeps bytes in memory."""

    def abort(self) -> None:
        """Cut the peer off."""


class Holdings(msgspec.Struct, eq=False):
    """Bytes by holder, those that began first in front.

    Attributes:
        bytes_max: what all may hold together.
        total: what they hold.
    """

    bytes_max: int
    total: int = 0
    _held: dict[Holder, int] = msgspec.field(default_factory=dict)

    def note(self, holder: Holder, size: int, *, progress: bool) -> int:
        """Take down what a connection holds now; `progress`: the peer has finished something, so its age starts again.

        Returns:
            How many others were cut off to make room.
        """
        before = self._held.pop(holder, 0) if progress or not size else self._held.get(holder, 0)
        if size:
            self._held[holder] = size
        self.total += size - before
        cut = 0
        while self.total > self.bytes_max and len(self._held) > 1:
            oldest = next(iter(self._held))
            self.total -= self._held.pop(oldest)
            oldest.abort()
            cut += 1
        return cut
