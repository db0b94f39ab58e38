"""What waits to be sent to one watcher: chunks up to a limit, and why it ends."""

import asyncio
from collections import deque


class Buffer:
    """Filled by the hub, emptied by the watcher's stream. All on one event loop.

    Args:
        bytes_max: one more chunk over it ends the buffer, unless it is empty.
    """

    def __init__(self, bytes_max: int) -> None:
        self.ended: str | None = None
        self.size_bytes = 0
        self._bytes_max = bytes_max
        self._chunks: deque[bytes] = deque()
        self._news = asyncio.Event()

    def push(self, chunk: bytes) -> bool:
        """Add a chunk; False when the buffer has ended or ends now, because nobody takes out what is in it."""
        if self.ended is not None:
            return False
        if self._chunks and self.size_bytes + len(chunk) > self._bytes_max:
            self.discard()
            self.end(SLOW)
            return False
        self._chunks.append(chunk)
        self.size_bytes += len(chunk)
        self._news.set()
        return True

    def discard(self) -> None:
        """Let go of what waits."""
        self._chunks.clear()
        self.size_bytes = 0

    def end(self, reason: str) -> None:
        """Nothing more is added; what is in it may still be taken. The first reason counts."""
        if self.ended is None:
            self.ended = reason
            self._news.set()

    async def take(self) -> bytes:
        """Everything that waits, as soon as there is something; empty when it has ended and nothing is left."""
        while not self._chunks and self.ended is None:
            self._news.clear()
            await self._news.wait()
        chunks = b"".join(self._chunks)
        self._chunks.clear()
        self.size_bytes = 0
        return chunks


SLOW = "slow"
SHUTDOWN = "shutdown"
UNAVAILABLE = "unavailable"
RESYNC = "resync"
GONE = "gone"
FORBIDDEN = "forbidden"
