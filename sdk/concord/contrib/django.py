"""A cache for Django: `"BACKEND": "concord.contrib.django.ConcordCache"`.

Values are JSON, or bytes; nothing is pickled, so nobody who can write to the cluster can run code in the application. What would
come back as something else (a tuple, a datetime, a key that is no string) is refused when it is set.
"""

import functools
import math
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, ParamSpec, Protocol, TypeVar

import msgspec
from asgiref.sync import sync_to_async
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.utils.module_loading import import_string

from concord import Concord, Conflict, NotFound, PreconditionFailed, Txn

P = ParamSpec("P")
T = TypeVar("T")

BATCH_KEYS = 10_000
TTL_S_MAX = 10 * 365 * 86_400
"""As long as a gateway keeps anything that expires. `touch` with None sets it to this."""

_HINT = "the cache keeps what JSON keeps, and bytes; OPTIONS may name a serializer"


class Serializer(Protocol):
    """As Django's own: `OPTIONS["serializer"]` is one, its class, or the dotted path to either."""

    def dumps(self, obj: Any) -> bytes | int:
        """The bytes of a value; an int is kept as one, so that it can be counted up."""

    def loads(self, data: bytes) -> Any:
        """The value of the bytes."""


class ConcordCache(BaseCache):  # type: ignore[misc] # Django has no types
    """A Django cache. LOCATION is a URL of a gateway, a list of them, or several with commas between.

    OPTIONS are those of `concord.Concord`, and

    - `namespace`: at the beginning of all keys ("cache/"); `clear` deletes what is below it, and nothing else.
    - `serializer`: for values that are not JSON.
    """

    def __init__(self, server: str | Sequence[str], params: dict[str, Any]) -> None:
        super().__init__(params)
        options = {key: value for key, value in params.get("OPTIONS", {}).items() if key not in _OF_DJANGO}
        self._namespace: str = options.pop("namespace", "cache/")
        self._serializer = _serializer(options.pop("serializer", None))
        urls = re.split(r"[;,]\s*", server) if isinstance(server, str) else server
        self._settings = (tuple(url for url in urls if url), tuple(sorted(options.items())))

    @property
    def _client(self) -> Concord:
        return _shared_client(os.getpid(), *self._settings)

    def get_backend_timeout(self, timeout: Any = DEFAULT_TIMEOUT) -> int | None:
        """Whole seconds, rounded up: 0 for what is not to be there, None for what stays."""
        seconds = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return None if seconds is None else min(TTL_S_MAX, max(0, math.ceil(seconds)))

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Set a key that is not there; whether it was not."""
        name, encoded, ttl = self._name(key, version), self._encoded(value), self.get_backend_timeout(timeout)
        if ttl == 0:
            return not self._is_there(name)
        try:
            self._client.put(name, encoded, ttl=ttl, if_absent=True)
        except PreconditionFailed:
            return False
        return True

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        """The value of a key, or the default."""
        entry = self._client.entry(self._name(key, version))
        return default if entry is None else self._decoded(entry.value)

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        """Set a key."""
        name, encoded, ttl = self._name(key, version), self._encoded(value), self.get_backend_timeout(timeout)
        if ttl == 0:
            self._client.delete(name)
        else:
            self._client.put(name, encoded, ttl=ttl)

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Let the time of a key begin anew; whether it is there. None is for ten years."""
        name, ttl = self._name(key, version), self.get_backend_timeout(timeout)
        if ttl == 0:
            return self._client.delete(name)
        try:
            self._client.touch(name, TTL_S_MAX if ttl is None else ttl)
        except NotFound:
            return False
        return True

    def delete(self, key: Any, version: int | None = None) -> bool:
        """Delete a key; whether it was there."""
        return self._client.delete(self._name(key, version))

    def has_key(self, key: Any, version: int | None = None) -> bool:
        """Whether a key is there."""
        return self._is_there(self._name(key, version))

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Add to a number, atomically; its time goes on.

        Raises:
            ValueError: it is not there.
            TypeError: it is no number, or would leave the range of 64 bits.
        """
        name = self._name(key, version)
        txn = Txn().if_exists(name)
        txn.then.increment(name, delta)
        try:
            done = self._client.commit(txn)
        except Conflict as error:
            raise TypeError(error.message) from error
        if not done.succeeded:
            raise ValueError(f"Key {key!r} not found")
        return int(done.results[0].value)

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """The values of those keys that are there, 500 a request."""
        names = {self._name(key, version): key for key in keys}
        found = self._client.get_many(names).check().entries
        return {key: self._decoded(found[name].value) for name, key in names.items() if name in found}

    def set_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        """Set many keys, 500 a request, each for itself; the keys of which it is not sure that they were set."""
        names = {self._name(key, version): key for key in data}
        items = {name: self._encoded(data[key]) for name, key in names.items()}
        ttl = self.get_backend_timeout(timeout)
        written = self._client.delete_many(items) if ttl == 0 else self._client.put_many(items, ttl=ttl)
        return [names[name] for name in written.errors]

    def delete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        """Delete many keys, 500 a request."""
        self._client.delete_many([self._name(key, version) for key in keys]).check()

    def clear(self) -> None:
        """Delete everything below the namespace, whatever its prefix and version. What is set meanwhile may stay."""
        keys = iter(self._client.keys(self._namespace))
        while batch := list(islice(keys, BATCH_KEYS)):
            self._client.delete_many(batch).check()

    async def aincr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """See `incr`."""
        return await _in_thread(self.incr)(key, delta, version)

    async def aget_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """See `get_many`."""
        return await _in_thread(self.get_many)(keys, version)

    async def aset_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        """See `set_many`."""
        return await _in_thread(self.set_many)(data, timeout, version)

    async def adelete_many(self, keys: Iterable[Any], version: int | None = None) -> None:
        """See `delete_many`."""
        await _in_thread(self.delete_many)(keys, version)

    def _name(self, key: Any, version: int | None) -> str:
        return f"{self._namespace}{self.make_and_validate_key(key, version=version)}"

    def _is_there(self, name: str) -> bool:
        try:
            self._client.ttl(name)
        except NotFound:
            return False
        return True

    def _encoded(self, value: Any) -> Any:
        return _plain(value) if self._serializer is None else self._serializer.dumps(value)

    def _decoded(self, value: Any) -> Any:
        return value if self._serializer is None or not isinstance(value, bytes) else self._serializer.loads(value)


_OF_DJANGO = frozenset({"MAX_ENTRIES", "CULL_FREQUENCY"})  # for caches that have to forget by themselves


@functools.cache
def _shared_client(_: int, urls: tuple[str, ...], options: tuple[tuple[str, Any], ...]) -> Concord:
    """One client for all threads of a process: Django makes a cache for each."""
    return Concord(urls, **dict(options)) if urls else Concord(**dict(options))


def _serializer(named: Any) -> Serializer | None:
    found = import_string(named) if isinstance(named, str) else named
    made: Serializer | None = found() if callable(found) else found
    return made


def _text(value: object) -> str:
    """Of a subclass of str, as what templates render to, the text."""
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


_json = msgspec.json.Encoder(enc_hook=_text)


def _plain(value: Any) -> Any:
    """The value as JSON, or bytes as they are.

    Raises:
        TypeError: it would come back as something else.
    """
    if isinstance(value, bytes):
        return value
    try:
        encoded = _json.encode(value)
        is_same = msgspec.json.decode(encoded) == value
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise TypeError(f"{error}: {_HINT}") from error
    if not is_same:
        raise TypeError(f"a {type(value).__name__} comes back from JSON as something else: {_HINT}")
    return msgspec.Raw(encoded)


def _in_thread(function: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    return sync_to_async(function, thread_sensitive=True)
