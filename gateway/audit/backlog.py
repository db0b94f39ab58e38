"""The lines that wait to be written: bounded in bytes, with room that can be reserved. Pure."""

from collections import deque

from gateway.audit.lines import LINE_BYTES_MAX


class Backlog:
    """First in, first out; a line for which there is no room is counted as dropped.

    Args:
        bytes_max: of all lines, and of the room that is reserved for lines to come.
    """

    def __init__(self, bytes_max: int) -> None:
        self.dropped = 0  # since the last `take_dropped`
        self.size = 0
        self.reserved = 0
        self._bytes_max = bytes_max
        self._lines: deque[bytes] = deque()

    def __len__(self) -> int:
        """How many lines wait."""
        return len(self._lines)

    def reserve(self) -> bool:
        """Keep room for one line; `add` or `release` must follow. False when there is none."""
        if self.size + self.reserved + LINE_BYTES_MAX > self._bytes_max:
            return False
        self.reserved += LINE_BYTES_MAX
        return True

    def release(self) -> None:
        """The room that was reserved is not needed."""
        self.reserved -= LINE_BYTES_MAX

    def add(self, line: bytes, *, was_reserved: bool) -> bool:
        """Add a line; False when it is dropped, which never happens to one that room was reserved for."""
        if was_reserved:
            self.release()
        elif self.size + self.reserved + len(line) > self._bytes_max:
            self.dropped += 1
            return False
        self._lines.append(line)
        self.size += len(line)
        return True

    def take(self, bytes_max: int) -> list[bytes]:
        """The oldest lines, up to so many bytes; at least one when there is any."""
        taken, size = list[bytes](), 0
        while self._lines and (not taken or size + len(self._lines[0]) <= bytes_max):
            taken.append(self._lines.popleft())
            size += len(taken[-1])
        self.size -= size
        return taken

    def take_dropped(self) -> int:
        """How many lines were dropped; from now on they count as told."""
        dropped, self.dropped = self.dropped, 0
        return dropped
