"""What makes a client's own retry harmless: answers by idempotency key, for ten minutes of cluster time.

An answer is kept as a record of the group's own, in the slot of the first key that the write is about: so it expires, is
part of snapshots and hashes, and moves, as that key does. A retry must be split among groups as the first attempt was, and is
while no slot moves: docs/adr/0013 says what comes before that.
"""

import msgspec

from shard.machine.names import kept_name
from shard.machine.sessions import IDLE_MS_MAX, Answer
from shard.machine.store import Store, expires_ms
from wire.messages import ItemResult, Operation, OperationId, Status
from wire.operations import keys_of
from wire.slots import slot_of

KEPT_MS = IDLE_MS_MAX

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[bytes, Answer]).decode


class Once:
    """The answers in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def earlier(self, identity: OperationId, operation: Operation) -> Answer | None:
        """The answer to an earlier write with the same idempotency key; None when there is none."""
        name = _name(identity, operation)
        record = self._store.get_kept(name) if name else None
        if record is None or record.expired(self._store.now_ms):
            return None
        digest, answer = _decode(record.value)
        if digest == identity.digest:
            return answer
        return Answer(0, b"", [ItemResult(Status.REUSED_KEY)] * len(keys_of(operation)))

    def remember(self, identity: OperationId, operation: Operation, answer: Answer) -> None:
        """Keep the answer to a write that was applied."""
        if name := _name(identity, operation):
            self._store.put_kept(name, _encode((identity.digest, answer)), expires_ms(self._store, KEPT_MS))


def _name(identity: OperationId, operation: Operation) -> str:
    """Under which name the answer is kept; "" when the client chose no key, or the write is about nothing."""
    keys = keys_of(operation) if identity.key else []
    return kept_name("i", slot_of(keys[0]), identity.key) if keys else ""
