"""The store inside this process, for programs with threads, or with none."""

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from concord import _calls, _values
from concord._calls import LINEARIZABLE, UNSET, Call, Consistency, Freshness
from concord._client import Concord
from concord._driver import Runner
from concord._errors import ConcordError, InvalidValue
from concord._many import Read, Written
from concord._responses import Entry
from concord._store import Poll, Store
from concord._watch import Watch
from concord._watching import Event, told

T = TypeVar("T")

TIMEOUT_S_DEFAULT = 10.0
FIRST_PLAIN = "\1"  # keys before it are kept under other names
_decode_any = msgspec.json.Decoder().decode


class LocalRunner(Runner):
    """Does calls in a store in this process."""

    def __init__(self, store: Store) -> None:
        super().__init__(TIMEOUT_S_DEFAULT, time.monotonic)
        self.store = store

    def run(self, call: Call[T], timeout: float | None = None) -> T:
        """Do a call."""
        assert call.local is not None, "what goes in bulk has methods of its own"  # noqa: S101 - a defect of ours
        return call.local(self.store, self.timeout_s if timeout is None else timeout)


class LocalWatch(Watch[T]):
    """A watch of a store in this process. It needs no connection, so it is never behind for longer than its reader is."""

    def __init__(self, store: Store, prefix: str, kind: Any, after: str) -> None:
        self._closed = threading.Event()
        self._wake = threading.Event()
        self._ready: deque[Event[T] | InvalidValue] = deque()
        self._poll: Poll = store.watching(prefix, kind, after, self._wake.set)

    def __next__(self) -> Event[T]:
        while not self._closed.is_set():
            if self._ready:
                return told(self._ready.popleft())
            self._wake.clear()
            try:
                self._ready.extend(self._poll.poll())
            except ConcordError:
                self.close()
                raise
            if not self._ready:
                self._wake.wait()
        raise StopIteration

    def age_s(self) -> float:
        """Always 0: there is nobody to be heard."""
        return 0.0

    def close(self) -> None:
        """End the watch: its iteration stops."""
        self._closed.set()
        self._poll.close()
        self._wake.set()


class Embedded(Concord):
    """A store in this process; see `concord.open`. Threads may share it.

    The same methods with the same arguments, results and exceptions as `Concord`, without a network: nothing is retried, and a
    write that raises `UnknownOutcome` failed on its way to the disk. Every read is linearizable, whatever `consistency` and
    `max_age_ms` say. Every method can raise StoreFailed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runner = LocalRunner(store)
        self._readings = store.readings

    def __repr__(self) -> str:
        return f"<{type(self).__name__} store in this process>"

    def close(self) -> None:
        """Release the data directory; nothing may be called afterwards. Twice is harmless."""
        self._store.close()

    def _get(self, key: str, **asked: Any) -> Any:
        """See `Concord.get`: a look-up in a dictionary."""
        try:  # a keyword that has a name here would cost each call, by whom it is not given, as much as the look-up
            plain = self._readings.plain[key]
            if not (plain.expires_ms or plain.content_type or key < FIRST_PLAIN):
                if not asked:
                    return _decode_any(plain.value)
                if len(asked) == 1 and "type" in asked:
                    return _values.decode_json(plain.value, asked["type"])
        except (KeyError, TypeError):
            pass
        except InvalidValue as error:
            raise error.of(key)  # noqa: B904 - the same
        return self._get_as(key, **asked)

    def _get_as(
        self,
        key: Any,
        *,
        type: Any = Any,
        default: Any = None,
        consistency: Consistency | None = None,  # noqa: ARG002 - there is one
        max_age_ms: int | None = None,  # noqa: ARG002 - it is as new as can be
        timeout: float | None = None,  # noqa: ARG002 - it does not wait
    ) -> Any:
        """The same for bytes, keys that expire and values of a type: without the store's lock, too, where there is no doubt."""
        readings = self._readings
        found = readings.plain.get(key) if isinstance(key, str) and key >= FIRST_PLAIN else None
        if found is None or (found.expires_ms and found.expires_ms <= readings.now_ms()):
            found = self._store.peek(key)
        try:
            return default if found is None else _values.decode_stored(found.value, found.content_type, type)
        except InvalidValue as error:
            raise error.of(key)  # noqa: B904 - the same

    def _entry(
        self,
        key: str,
        *,
        type: Any = Any,
        consistency: Consistency | None = None,  # noqa: ARG002 - there is one
        max_age_ms: int | None = None,  # noqa: ARG002 - it is as new as can be
        timeout: float | None = None,  # noqa: ARG002 - it does not wait
    ) -> Entry[Any] | None:
        """See `Concord.entry`."""
        return self._store.entry(key, type)

    def put(
        self,
        key: str,
        value: object,
        *,
        ttl: int | None = None,
        content_type: str | None = None,
        if_absent: bool | None = None,
        if_revision: int | None = None,
        if_value: object = UNSET,
        if_fence: int | None = None,
        timeout: float | None = None,
    ) -> int:
        """See `Concord.put`; it is durable when this returns."""
        condition = _calls.conditions(if_absent, if_revision, if_value, if_fence)
        wait_s = TIMEOUT_S_DEFAULT if timeout is None else timeout
        return self._store.put(key, value, ttl=ttl, condition=condition, content_type=content_type, timeout=wait_s)

    def _get_many(
        self,
        keys: Iterable[str],
        *,
        type: Any = Any,
        consistency: Consistency | None = None,  # noqa: ARG002 - there is one
        max_age_ms: int | None = None,  # noqa: ARG002 - it is as new as can be
        timeout: float | None = None,  # noqa: ARG002 - it does not wait
    ) -> Read[Any]:
        """See `Concord.get_many`: 500 keys at a time as of one moment."""
        return self._store.get_many(keys, type)

    def put_many(
        self,
        items: Mapping[str, object],
        *,
        ttl: int | None = None,
        if_fence: int | None = None,
        timeout: float | None = None,
    ) -> Written:
        """See `Concord.put_many`: 500 keys at a time are durable together."""
        return self._store.put_many(
            items, ttl, _calls.fenced(if_fence), TIMEOUT_S_DEFAULT if timeout is None else timeout
        )

    def delete_many(self, keys: Iterable[str], *, if_fence: int | None = None, timeout: float | None = None) -> Written:
        """See `Concord.delete_many`."""
        return self._store.delete_many(keys, _calls.fenced(if_fence), TIMEOUT_S_DEFAULT if timeout is None else timeout)

    def touch_many(
        self, keys: Iterable[str], ttl: int, *, if_fence: int | None = None, timeout: float | None = None
    ) -> Written:
        """See `Concord.touch_many`."""
        return self._store.touch_many(
            keys, ttl, _calls.fenced(if_fence), TIMEOUT_S_DEFAULT if timeout is None else timeout
        )

    def _watch(
        self,
        prefix: str = "",
        *,
        type: Any = Any,
        after: str = "",
        patience: float | None = None,  # noqa: ARG002 - there is no connection to wait for
    ) -> Watch[Any]:
        """See `Concord.watch`; an id is good as `after` while the store is open."""
        return LocalWatch(self._store, prefix, type, after)

    def _fresh(self, consistency: Consistency | None, max_age_ms: int | None) -> Freshness:  # noqa: ARG002 - there is one
        return LINEARIZABLE

    if not TYPE_CHECKING:  # their overloads are those of Concord
        get = _get
        get.__wrapped__ = _get_as  # whose arguments are its own
        entry = _entry
        get_many = _get_many
        watch = _watch
