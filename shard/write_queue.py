"""Writes that wait for the next entry: a queue with a limit on number and bytes."""

from collections import deque
from typing import TypeAlias

from wire.messages import WriteReply, WriteRequest
from wire.rpc import Call

WriteCall: TypeAlias = Call[WriteRequest, WriteReply]


class WriteQueue:
    """First come, first served."""

    def __init__(self, count_max: int, bytes_max: int) -> None:
        self._count_max = count_max
        self._bytes_max = bytes_max
        self._calls: deque[WriteCall] = deque()
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._calls)

    def offer(self, call: WriteCall) -> bool:
        """Take the call in; False when the queue is full."""
        if len(self._calls) >= self._count_max or self.size_bytes + call.size > self._bytes_max:
            return False
        self._calls.append(call)
        self.size_bytes += call.size
        return True

    def take(self, count_max: int, bytes_max: int) -> list[WriteCall]:
        """Remove the first calls, as many as fit in an entry; one that is too large for any goes alone."""
        taken: list[WriteCall] = []
        room = bytes_max
        while self._calls and len(taken) < count_max and (self._calls[0].size <= room or not taken):
            call = self._calls.popleft()
            room -= call.size
            self.size_bytes -= call.size
            taken.append(call)
        return taken

    def take_expired(self, now_s: float) -> list[WriteCall]:
        """Remove the calls whose deadline passed."""
        expired = [call for call in self._calls if call.deadline <= now_s]
        if expired:
            self._calls = deque(call for call in self._calls if call.deadline > now_s)
            self.size_bytes -= sum(call.size for call in expired)
        return expired

    def take_all(self) -> list[WriteCall]:
        """Remove all calls."""
        taken = list(self._calls)
        self._calls.clear()
        self.size_bytes = 0
        return taken
