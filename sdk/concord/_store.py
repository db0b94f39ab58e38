"""What a store in this process does for the calls of `Concord`: the same operations, asked for without HTTP.

Each `Call` says twice what it means: as a request and what is made of its answer, and as one of these methods. Arguments are
as the user gave them; results and exceptions are those of the client, and `timeout` is in seconds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from concord._responses import Entry

if TYPE_CHECKING:
    from concord._calls import Conditions, Page, Told
    from concord._coordination import Algorithm, Instance, Permit
    from concord._errors import InvalidValue
    from concord._many import Read, Written
    from concord._txn import TxnResult
    from concord._watching import Event


class Stored(Protocol):
    """A value as it is kept: JSON text when there is no content type."""

    @property
    def value(self) -> bytes:
        """Its bytes."""

    @property
    def content_type(self) -> str:
        """Of bytes; "" for JSON."""

    @property
    def expires_ms(self) -> int:
        """0 when it never expires; else whether it is there is for the store to say."""


class Readings(Protocol):
    """Where a read may find a key without asking the store."""

    @property
    def plain(self) -> Mapping[str, Stored]:
        """Keys, to be asked for anew each time; of what is not found, is due or begins with NUL the store knows."""

    def now_ms(self) -> int:
        """The time by which a key with `expires_ms` up to it is due."""


class Store(Protocol):
    """Threads may share it."""

    @property
    def readings(self) -> Readings:
        """Where a read looks first."""

    def peek(self, key: str) -> Stored | None:
        """The value of a key, None when it is not there."""

    def at_once(self, key: str) -> bool:
        """Whether a read of this key answers without waiting for the disk."""

    def entry(self, key: str, kind: Any) -> Entry[Any] | None:
        """A key with all that is known of it."""

    def ttl(self, key: str) -> int | None:
        """The seconds that a key has left; raises NotFound."""

    def put(
        self,
        key: str,
        value: object,
        *,
        ttl: int | None,
        condition: "Conditions",
        content_type: str | None,
        timeout: float,
    ) -> int:
        """Set a key; its revision."""

    def delete(self, key: str, condition: "Conditions", timeout: float) -> bool:
        """Delete a key; whether it was there."""

    def touch(self, key: str, ttl: int, condition: "Conditions", timeout: float) -> int:
        """Set the time to live of a key; its revision."""

    def increment(
        self,
        key: str,
        *,
        by: int,
        initial: int,
        ttl: int | None,
        minimum: int | None,
        maximum: int | None,
        condition: "Conditions",
        timeout: float,
    ) -> int:
        """Add to a number; the new one."""

    def get_many(self, keys: Iterable[str], kind: Any) -> "Read[Any]":
        """Read any number of keys."""

    def put_many(
        self, items: Mapping[str, object], ttl: int | None, condition: "Conditions", timeout: float
    ) -> "Written":
        """Set any number of keys; the condition is a fence or none, here and below."""

    def delete_many(self, keys: Iterable[str], condition: "Conditions", timeout: float) -> "Written":
        """Delete any number of keys."""

    def touch_many(self, keys: Iterable[str], ttl: int, condition: "Conditions", timeout: float) -> "Written":
        """Set the time to live of any number of keys."""

    def list_keys(self, prefix: str, after: str, limit: int) -> "Page[str]":
        """A page of keys; the cursor is the last of them."""

    def list_entries(self, prefix: str, kind: Any, after: str, limit: int) -> "Page[Told]":
        """A page of keys with all that is known of them, or why a value is not of the type."""

    def commit(
        self,
        compare: Sequence[Mapping[str, Any]],
        success: Sequence[Mapping[str, Any]],
        failure: Sequence[Mapping[str, Any]],
        timeout: float,
    ) -> "TxnResult":
        """Do a transaction, whose parts are as in the body of its request."""

    def acquire_lock(self, name: str, owner: str, ttl: int, wait_s: float, timeout: float) -> int:
        """Take a lock; its fence."""

    def renew_lock(self, name: str, owner: str, fence: int, ttl: int, timeout: float) -> None:
        """Hold a lock for longer."""

    def release_lock(self, name: str, owner: str, fence: int, timeout: float) -> None:
        """Give a lock back."""

    def take(
        self, name: str, *, limit: int, window: int, cost: int, algorithm: "Algorithm", timeout: float
    ) -> "Permit":
        """Take something out of a limit."""

    def register(self, service: str, instance: "Instance", ttl: int, timeout: float) -> None:
        """Set an instance."""

    def touch_instance(self, service: str, instance: str, ttl: int, timeout: float) -> None:
        """Keep an instance; raises NotFound."""

    def deregister(self, service: str, instance: str, timeout: float) -> None:
        """Take an instance out."""

    def instances(self, service: str) -> "list[Instance]":
        """All living instances, in the order of their names."""

    def watching(self, prefix: str, kind: Any, after: str, wake: Callable[[], object]) -> "Poll":
        """A watch of all keys with a prefix; `wake` is called, from any thread, when there may be something new."""

    def close(self) -> None:
        """End it."""


class Poll(Protocol):
    """A watch of a store in this process, without any waiting."""

    def poll(self) -> "list[Event[Any] | InvalidValue]":
        """The next events, in parts, and errors in the place of those whose value is not of the type; [] when there is nothing until `wake` is called."""

    def close(self) -> None:
        """End it; twice is harmless."""
