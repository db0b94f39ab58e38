"""The client for programs with threads, or with none."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from concord import _calls, _coordination, _many
from concord._calls import UNSET, Call, Consistency, Freshness, Page, Told
from concord._coordination import Algorithm
from concord._driver import Driver, Runner, make_core
from concord._errors import ConcordError
from concord._flags import Flags
from concord._held import Limiter, Lock, Service
from concord._many import Batch, Read, Written
from concord._responses import Entry
from concord._retry import Retry
from concord._sessions import Sessions
from concord._spans import TracerProvider, make_tracing
from concord._transports import Transport
from concord._txn import Txn, TxnResult
from concord._watch import Watch

T = TypeVar("T")
D = TypeVar("D")

TIMEOUT_S_DEFAULT = 10.0
BULK_CONCURRENCY = 8
DEFAULT_URL = "http://127.0.0.1:4000"


class Concord:
    """A client of a Concord cluster. Threads may share it; after a fork, make another.

    Every method that writes sends an idempotency key, the same over all attempts, so a retry never applies twice. What
    each can raise is in `concord.ConcordError`'s tree; every method can raise Unauthorized, Forbidden, InvalidRequest,
    TooManyRequests, Unavailable, ConnectionFailed, Timeout, and a write UnknownOutcome.

    Args:
        endpoints: a URL of a gateway, or several to go round: scheme, host and port, without a path.
        token: see docs/tokens.md.
        timeout: seconds that a call may take, all attempts and waits together, unless it names others.
        consistency: of reads that name none. Stale reads know what this client wrote itself: the newest 10,000 keys.
        retry: when to try again.
        transport: for tests, or another HTTP library.
        tracing: a span of OpenTelemetry for each call: True, or the provider that it is made by. See docs/observability.md.

    Raises:
        ValueError: an argument is wrong.
    """

    def __init__(
        self,
        endpoints: str | Sequence[str] = DEFAULT_URL,
        *,
        token: str = "",
        timeout: float = TIMEOUT_S_DEFAULT,
        consistency: Consistency = "linearizable",
        retry: Retry | None = None,
        transport: Transport | None = None,
        tracing: bool | TracerProvider = False,
    ) -> None:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - loaded with the first client, as the HTTP library is

        core = make_core(endpoints, token=token, timeout_s=timeout, retry=retry)
        self._consistency = consistency
        self._driver = Driver(core, transport or _default_transport(), make_tracing(tracing))
        self._runner: Runner = self._driver
        self._workers = ThreadPoolExecutor(BULK_CONCURRENCY, "concord")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(self._driver.core.endpoints.urls)}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; nothing may be called afterwards."""
        self._workers.shutdown()
        self._driver.transport.close()

    @overload
    def get(
        self,
        key: str,
        *,
        type: type[T],
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> T | None: ...
    @overload
    def get(
        self,
        key: str,
        *,
        type: type[T],
        default: D,
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> T | D: ...
    @overload
    def get(
        self,
        key: str,
        *,
        type: object = ...,
        default: object = ...,
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> Any: ...
    def get(
        self,
        key: str,
        *,
        type: Any = Any,
        default: Any = None,
        consistency: Consistency | None = None,
        max_age_ms: int | None = None,
        timeout: float | None = None,
    ) -> Any:
        """The value of a key, `default` when it is not there.

        Args:
            key: any UTF-8 of 1 to 1024 bytes.
            type: what it has to be: anything that msgspec decodes, or bytes.
            default: for a key that is not there.
            consistency: linearizable, or stale: from any replica.
            max_age_ms: how old a stale answer may be.
            timeout: in seconds.

        Raises:
            InvalidValue: it is not of that type.
        """
        found = self.entry(key, type=type, consistency=consistency, max_age_ms=max_age_ms, timeout=timeout)
        return default if found is None else found.value

    @overload
    def entry(
        self,
        key: str,
        *,
        type: type[T],
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> Entry[T] | None: ...
    @overload
    def entry(
        self,
        key: str,
        *,
        type: object = ...,
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> Entry[Any] | None: ...
    def entry(
        self,
        key: str,
        *,
        type: Any = Any,
        consistency: Consistency | None = None,
        max_age_ms: int | None = None,
        timeout: float | None = None,
    ) -> Entry[Any] | None:
        """A key with its revision and time to live; None when it is not there.

        Args:
            key: any UTF-8 of 1 to 1024 bytes.
            type: what its value has to be, as of `get`.
            consistency: linearizable, or stale: from any replica.
            max_age_ms: how old a stale answer may be.
            timeout: in seconds.

        Raises:
            InvalidValue: its value is not of that type.
        """
        return self._runner.run(_calls.get(key, type, self._fresh(consistency, max_age_ms)), timeout)

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
        """Set a key, and return its revision.

        Args:
            key: any UTF-8 of 1 to 1024 bytes.
            value: any JSON (None, too), or bytes, which are kept as they are.
            ttl: seconds to live, from 1; None for ever.
            content_type: of a value of bytes.
            if_absent: the key is not there (True), or is (False).
            if_revision: the key has this revision; 0 for a key that is not there.
            if_value: the key's value is equal to this as JSON.
            if_fence: no greater fence was used on the key; this one is remembered.
            timeout: in seconds.

        Raises:
            InvalidRequest: there is no JSON of the value, or NaN or infinity is in it. The error names the key, and nothing was sent.
            PreconditionFailed: a condition does not hold.
            TooLarge: the value is over 1 MiB.
        """
        condition = _calls.conditions(if_absent, if_revision, if_value, if_fence)
        return self._runner.run(_calls.put(key, value, ttl, condition, content_type), timeout)

    def delete(
        self,
        key: str,
        *,
        if_revision: int | None = None,
        if_value: object = UNSET,
        if_fence: int | None = None,
        timeout: float | None = None,
    ) -> bool:
        """Delete a key, and return whether it was there.

        Args:
            key: need not be there.
            if_revision: the key has this revision.
            if_value: the key's value is equal to this as JSON.
            if_fence: no greater fence was used on the key; with the key it is forgotten.
            timeout: in seconds.

        Raises:
            PreconditionFailed: a condition does not hold.
        """
        return self._runner.run(_calls.delete(key, _calls.conditions(None, if_revision, if_value, if_fence)), timeout)

    def ttl(self, key: str, *, consistency: Consistency | None = None, timeout: float | None = None) -> int | None:
        """The seconds that a key has left, rounded up; None for ever.

        Raises:
            NotFound: it is not there.
        """
        return self._runner.run(_calls.ttl(key, self._fresh(consistency, None)), timeout)

    def touch(self, key: str, ttl: int, *, if_fence: int | None = None, timeout: float | None = None) -> int:
        """Set the seconds that a key has left, and return its revision.

        Args:
            key: of which nothing else changes.
            ttl: seconds to live from now, from 1.
            if_fence: no greater fence was used on the key; this one is remembered.
            timeout: in seconds.

        Raises:
            PreconditionFailed: a greater fence was used.
            NotFound: it is not there, or not any more.
        """
        return self._runner.run(_calls.touch(key, ttl, _calls.fenced(if_fence)), timeout)

    def increment(
        self,
        key: str,
        by: int = 1,
        *,
        initial: int = 0,
        ttl: int | None = None,
        min: int | None = None,
        max: int | None = None,
        if_fence: int | None = None,
        timeout: float | None = None,
    ) -> int:
        """Add to a number, and return the new one. It counts once, however often it was tried.

        Args:
            key: of the number.
            by: what to add.
            initial: what a number that is not there counts as.
            ttl: seconds to live of a number that is made by this.
            min: the least that may come out.
            max: the most that may come out.
            if_fence: no greater fence was used on the key; this one is remembered.
            timeout: in seconds.

        Raises:
            PreconditionFailed: a greater fence was used.
            Conflict: it is no number, or would leave its range.
        """
        condition = _calls.fenced(if_fence)
        call = _calls.increment(key, by=by, initial=initial, ttl=ttl, minimum=min, maximum=max, condition=condition)
        return self._runner.run(call, timeout)

    @overload
    def get_many(
        self,
        keys: Iterable[str],
        *,
        type: type[T],
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> Read[T]: ...
    @overload
    def get_many(
        self,
        keys: Iterable[str],
        *,
        type: object = ...,
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> Read[Any]: ...
    def get_many(
        self,
        keys: Iterable[str],
        *,
        type: Any = Any,
        consistency: Consistency | None = None,
        max_age_ms: int | None = None,
        timeout: float | None = None,
    ) -> Read[Any]:
        """Read any number of keys: 500 a request, eight requests at a time. It raises nothing for a key: see the result.

        Args:
            keys: in any order; one that is named twice is read once.
            type: what each value has to be, as of `get`.
            consistency: linearizable, each key for itself; or stale.
            max_age_ms: how old a stale answer may be.
            timeout: seconds, for each request.
        """
        batches = _many.get_batches(keys, type, self._fresh(consistency, max_age_ms), self._driver.core.own_writes)
        return _many.read(self._run_batches(batches, timeout))

    def put_many(
        self,
        items: Mapping[str, object],
        *,
        ttl: int | None = None,
        if_fence: int | None = None,
        timeout: float | None = None,
    ) -> Written:
        """Set any number of keys, each for itself; the result says what came of each, and its `.check()` raises.

        Args:
            items: values by key, as in `put`; a `Put` gives one a time to live, a content type or a fence of its own.
            ttl: seconds to live of those that have none of their own; None for ever.
            if_fence: no greater fence was used on the key; this one is remembered. Of each key that has none of its own; not of values of bytes.
            timeout: seconds, for each request.

        Raises:
            InvalidRequest: there is no JSON of a value, as of `put`. Nothing was sent.
        """
        return _many.written(self._run_batches(_many.put_batches(items, ttl, if_fence), timeout))

    def delete_many(self, keys: Iterable[str], *, if_fence: int | None = None, timeout: float | None = None) -> Written:
        """Delete any number of keys; one that is not there is deleted, too. `if_fence`, of each, as of `delete`."""
        return _many.written(self._run_batches(_many.delete_batches(keys, if_fence), timeout))

    def touch_many(
        self, keys: Iterable[str], ttl: int, *, if_fence: int | None = None, timeout: float | None = None
    ) -> Written:
        """Set the time to live, `ttl` seconds, of any number of keys; one that is not there has the error NotFound. `if_fence`, of each, as of `touch`."""
        return _many.written(self._run_batches(_many.touch_batches(keys, ttl, if_fence), timeout))

    def keys(
        self,
        prefix: str = "",
        *,
        consistency: Consistency | None = None,
        max_age_ms: int | None = None,
        timeout: float | None = None,
    ) -> Iterator[str]:
        """All keys with a prefix, in order, read page by page; `max_age_ms` (of stale ones) and `timeout` are for each page."""
        cursor, more = "", True
        while more:
            call = _calls.list_keys(prefix, cursor, _calls.LIMIT_PAGE, self._fresh(consistency, max_age_ms))
            page = self._runner.run(call, timeout)
            yield from page.entries
            cursor, more = page.cursor, bool(page.cursor)

    @overload
    def scan(
        self,
        prefix: str = ...,
        *,
        type: type[T],
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> Iterator[Entry[T]]: ...
    @overload
    def scan(
        self,
        prefix: str = ...,
        *,
        type: object = ...,
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> Iterator[Entry[Any]]: ...
    def scan(
        self,
        prefix: str = "",
        *,
        type: Any = Any,
        consistency: Consistency | None = None,
        max_age_ms: int | None = None,
        timeout: float | None = None,
    ) -> Iterator[Entry[Any]]:
        """All keys with a prefix and their values, in order, read page by page.

        Each entry is as it was when its page was read: what is written meanwhile may be in it or not. A value that is not of the type raises
        InvalidValue in its place, which has its `key`; `next` goes on after it. Any other error ends the listing.

        Args:
            prefix: of the keys; "" for all.
            type: what each value has to be, as of `get`.
            consistency: linearizable, each key for itself; or stale.
            max_age_ms: how old a stale answer may be.
            timeout: seconds, for each page.

        Raises:
            InvalidValue: a value is not of that type.
        """

        def ask(cursor: str) -> Call[Page[Told]]:
            return _calls.list_entries(prefix, type, cursor, _calls.LIMIT_PAGE, self._fresh(consistency, max_age_ms))

        pages = self._pages(ask, "", timeout)
        return map(_calls.entry_of, (told for page in pages for told in page.entries))

    @overload
    def pages(
        self,
        prefix: str = ...,
        *,
        type: type[T],
        cursor: str = ...,
        limit: int = ...,
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> Iterator[Page[Entry[T]]]: ...
    @overload
    def pages(
        self,
        prefix: str = ...,
        *,
        type: object = ...,
        cursor: str = ...,
        limit: int = ...,
        consistency: Consistency | None = ...,
        max_age_ms: int | None = ...,
        timeout: float | None = ...,
    ) -> Iterator[Page[Entry[Any]]]: ...
    def pages(
        self,
        prefix: str = "",
        *,
        type: Any = Any,
        cursor: str = "",
        limit: int = _calls.LIMIT_PAGE,
        consistency: Consistency | None = None,
        max_age_ms: int | None = None,
        timeout: float | None = None,
    ) -> Iterator[Page[Entry[Any]]]:
        """What `scan` reads, page by page: for programs that stop and go on later, at a page's `cursor`.

        Args:
            prefix: of the keys.
            type: of the values.
            cursor: of the page after which to go on, of the same prefix; "" for the beginning.
            limit: keys on a page, up to 1000; large values make it shorter.
            consistency: of each page for itself: all pages together are no snapshot.
            max_age_ms: how old a stale page may be.
            timeout: of each page.

        Raises:
            InvalidValue: a value of a page is not of the type. `next` goes on with the page after it; `scan` leaves only that value out.
        """

        def ask(cursor: str) -> Call[Page[Told]]:
            return _calls.list_entries(prefix, type, cursor, limit, self._fresh(consistency, max_age_ms))

        return map(_calls.valid, self._pages(ask, cursor, timeout))

    def _pages(
        self, ask: Callable[[str], Call[Page[Told]]], cursor: str, timeout: float | None
    ) -> Iterator[Page[Told]]:
        more = True
        while more:
            page = self._runner.run(ask(cursor), timeout)
            yield page
            cursor, more = page.cursor, bool(page.cursor)

    def commit(self, txn: Txn, *, timeout: float | None = None) -> TxnResult:
        """Do a transaction: all of it or nothing, at one revision.

        Args:
            txn: what to compare, and what to do; may be committed again.
            timeout: in seconds.

        Raises:
            CrossGroup: its keys are not in one slot: give them a common `{tag}`.
            NotFound: a step touches a key that is not there. Nothing was done.
            Conflict: a step increments what is no number, or would leave its range. Nothing was done.
        """
        return self._runner.run(txn.call(), timeout)

    def lock(self, name: str, *, ttl: int = 30, wait: float | None = None) -> Lock:
        """A lock for a `with`: taken at its beginning, renewed in the background, given back at its end.

        Args:
            name: of the lock.
            ttl: seconds after which it goes to another when this process is gone.
            wait: seconds to wait for it; None for as long as it takes, 0 not at all.

        Raises:
            Conflict: from the `with`: another has it still.
            UnknownOutcome: from the `with`: it may have been granted, and then nobody has it for `ttl` seconds.
            LockLost: from the end of the `with`: it was lost within.
        """
        return Lock(self._runner, name, ttl, wait)

    def limiter(self, name: str, limit: int, window: int, *, algorithm: Algorithm = "fixed") -> Limiter:
        """A rate limit, exact over all who use its name.

        Args:
            name: of the limit.
            limit: how much may be taken.
            window: in so many seconds.
            algorithm: `fixed` gives the whole limit in each window, `gcra` gives back little by little what was taken.
        """
        return Limiter(
            self._runner, lambda cost: _coordination.limit_acquire(name, limit, window, cost=cost, algorithm=algorithm)
        )

    def service(self, name: str) -> Service:
        """A service by its name: to register instances, and to find them."""
        return Service(self._runner, name)

    @overload
    def watch(
        self, prefix: str = ..., *, type: type[T], after: str = ..., patience: float | None = ...
    ) -> Watch[T]: ...
    @overload
    def watch(
        self, prefix: str = ..., *, type: object = ..., after: str = ..., patience: float | None = ...
    ) -> Watch[Any]: ...
    def watch(self, prefix: str = "", *, type: Any = Any, after: str = "", patience: float | None = None) -> Watch[Any]:
        """The present state of all keys with a prefix and then every change: an iterator that connects and goes on by itself.

        Args:
            prefix: of the keys.
            type: of the values.
            after: the `id` of an event to go on from; "" begins with the state.
            patience: seconds to try without a connection before the error is raised; None for ever.

        Raises:
            InvalidValue: from the iteration: a value is not of the type. It has its `key` and its event's `id`; `next` goes on after it.
        """
        return Watch(self._driver, prefix, type, after=after, patience_s=patience)

    def flags(self, prefix: str = "flags/", *, timeout: float | None = None) -> Flags:
        """A local copy of all keys with a prefix for a `with`: reads ask nobody, changes are pushed.

        Args:
            prefix: of the keys.
            timeout: seconds that the first whole state may take.
        """
        return Flags(self.watch(prefix), prefix, self._runner.timeout_s if timeout is None else timeout)

    def sessions(self, prefix: str = "session/", *, ttl: int = 1800) -> Sessions:
        """A store of sessions, each gone `ttl` seconds after it was last saved or touched.

        Args:
            prefix: of their keys.
            ttl: in seconds.
        """
        return Sessions(self._runner, prefix, ttl)

    def _fresh(self, consistency: Consistency | None, max_age_ms: int | None) -> Freshness:
        return _calls.freshness(consistency or self._consistency, max_age_ms)

    def _run_batches(self, batches: Iterable[Batch[Any]], timeout: float | None) -> Iterator[Mapping[str, Any]]:
        def run(batch: Batch[Any]) -> Mapping[str, Any]:
            try:
                return self._runner.follow(batch.plan(), timeout)
            except ConcordError as error:
                return dict.fromkeys(batch.keys, error)

        listed = list(batches)
        return map(run, listed) if len(listed) < 2 else self._workers.map(run, listed)


def _default_transport() -> Transport:
    from concord._urllib3 import Urllib3Transport  # noqa: PLC0415 - only who connects pays for it

    return Urllib3Transport()
