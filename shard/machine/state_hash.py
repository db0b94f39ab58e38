"""A hash of the state, equal on all replicas that applied the same entries, taken piece by piece while the state goes on.

Canonical means that nothing shows but the state: not the order in which keys came into a dict, not how a snapshot was
cut, not whether the state was built by entries or from a snapshot. So the hashes of a slot's records are added up (a sum
does not depend on their order), those of a session's answers likewise, and slots come by number. The order of the
sessions is state: it decides which is forgotten first.

Every value is read again each time. A sum kept up to date by each write would cost nothing here, but would vouch for
what was written, not for what is in memory.
"""

from collections.abc import Generator

import msgspec
import xxhash

from shard.machine.keyspace import Capture, Keyspace
from shard.machine.sessions import SessionPicture, Sessions

HASH_VERSION = 3
"""Replicas compare hashes of one version only; whatever changes a hash of the same state raises it."""

_MASK = (1 << 64) - 1
_PIECE_BYTES = 32 * 1024
_ITEM_BYTES = 160  # what a record or answer costs beside its bytes, in bytes of hashing
_encode = msgspec.msgpack.Encoder().encode
_hash = xxhash.xxh3_64_intdigest


class StateHash:
    """Takes the hash of the state as it was at its creation. Copy on write goes on until `finish` or `abandon`."""

    def __init__(self, head: object, sessions: Sessions, keyspace: Keyspace) -> None:
        """`head` is what belongs to the state beside sessions and keys."""
        self._digest = xxhash.xxh3_64(_encode(head))
        self._pieces = self._take(sessions.capture(), keyspace)
        next(self._pieces)  # the picture is taken now

    def step(self) -> bool:
        """Take a piece, some 0.1 ms of work; False when there was none left."""
        return next(self._pieces, None) is not None

    def finish(self) -> int:
        """Take what is left and return the hash."""
        while self.step():
            pass
        return self._digest.intdigest()

    def abandon(self) -> None:
        """The hash is not wanted any more."""
        self._pieces.close()

    def _take(self, pictures: list[SessionPicture], keyspace: Keyspace) -> Generator[bool, None, None]:
        capture = keyspace.begin_capture()
        try:
            yield True
            yield from self._take_sessions(pictures)
            yield from self._take_slots(capture)
        finally:
            keyspace.end_capture(capture)

    def _take_sessions(self, pictures: list[SessionPicture]) -> Generator[bool, None, None]:
        work = 0
        for session, floor, last_ms, answers in pictures:
            total = 0
            for item in answers.items():
                total += _hash(_encode(item))
                work += _ITEM_BYTES
                if work >= _PIECE_BYTES:
                    work = 0
                    yield True
            self._digest.update(_encode((session, floor, last_ms, total & _MASK)))
            work += _ITEM_BYTES

    def _take_slots(self, capture: Capture) -> Generator[bool, None, None]:
        work = 0
        for slot in capture.order:
            total = 0
            for item in capture.take(slot).items():
                encoded = _encode(item)
                total += _hash(encoded)
                work += _ITEM_BYTES + len(encoded)
                if work >= _PIECE_BYTES:
                    work = 0
                    yield True
            self._digest.update(_encode((slot, total & _MASK)))
