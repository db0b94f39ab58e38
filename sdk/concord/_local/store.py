"""The store: each method is an operation of the engine, or a read of it."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from concord import _values
from concord._calls import NO_CONDITION, Conditions, Page, Told
from concord._coordination import Algorithm, Instance, Permit
from concord._errors import ConcordError, InvalidRequest, InvalidValue, NotFound
from concord._local import answers, requests
from concord._local.watching import LocalWatching
from concord._many import BATCH_BYTES, BATCH_ITEMS, Read, Written, parts
from concord._responses import Entry
from concord._store import Stored
from concord._txn import TxnResult
from shard.embedded import Durability, Engine, Trouble, TroubleError, open_engine
from shard.machine import Record, remaining_ms
from wire.messages import (
    LIMIT_LIST_ITEMS,
    AcquireLock,
    Delete,
    Increment,
    ItemResult,
    LeaveQueue,
    ListEntry,
    Operation,
    Put,
    PutItem,
    ReleaseLock,
    RenewLock,
    Status,
    TakeQuota,
    Touch,
    WriteReply,
)

T = TypeVar("T")

PAUSE_S = 0.02  # before an operation is tried again for which there was no room
ITEM_BYTES = 256  # of one of many keys, about
ENTRY_BATCHES = 8  # of BATCH_ITEMS keys that share a sync; readers wait a few milliseconds while so many are applied
_KEY = attrgetter("key")
ASIDE_S = 5.0  # for stepping out of a lock's queue when the waiting was interrupted


def open_store(path: Path | None, durability: str) -> "LocalStore":
    """The store over a data directory.

    Raises:
        StoreFailed: it cannot be used.
        ValueError: an argument is wrong.
    """
    try:
        return LocalStore(open_engine(path, Durability(durability)))
    except TroubleError as trouble:
        raise answers.failure(trouble) from trouble


class LocalStore:
    """See `concord._store.Store`, which it implements."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._requests = itertools.count(1)  # numbers are given out by one call, whatever the threads
        self.readings = engine

    # --- reading

    def peek(self, key: str) -> Stored | None:
        """See Store."""
        return self._find(key)[0]

    def at_once(self, key: str) -> bool:
        """See Store."""
        try:
            return self._engine.find_at_once(requests.key(key)) is not None
        except TroubleError as trouble:
            raise answers.failure(trouble) from trouble

    def entry(self, key: str, kind: Any) -> Entry[Any] | None:
        """See Store."""
        record, now_ms = self._find(key)
        return None if record is None else _entry(key, record, now_ms, kind)

    def ttl(self, key: str) -> int | None:
        """See Store."""
        record, now_ms = self._find(key)
        if record is None:
            raise NotFound("there is no such key")
        return answers.ttl(remaining_ms(record, now_ms))

    def get_many(self, keys: Iterable[str], kind: Any) -> Read[Any]:
        """See Store."""
        result: Read[Any] = Read({}, [], {})
        for part in parts([(key, 0) for key in dict.fromkeys(keys)]):
            try:
                found, now_ms = self._engine.find([requests.key(key) for key in part])
            except (TroubleError, InvalidRequest) as error:
                failed = answers.failure(error) if isinstance(error, TroubleError) else error
                result.errors.update(dict.fromkeys(part, failed))
                continue
            for key, record in zip(part, found, strict=True):
                try:
                    if record is None:
                        result.missing.append(key)
                    else:
                        result.entries[key] = _entry(key, record, now_ms, kind)
                except ConcordError as error:
                    result.errors[key] = error
        return result

    def list_keys(self, prefix: str, after: str, limit: int) -> Page[str]:
        """See Store."""
        entries, cursor = self._page(prefix, after, limit, with_values=False)
        return Page([entry.key for entry in entries], cursor)

    def list_entries(self, prefix: str, kind: Any, after: str, limit: int) -> Page[Told]:
        """See Store."""
        entries, cursor = self._page(prefix, after, limit, with_values=True)
        return Page([_listed(entry, kind) for entry in entries], cursor)

    # --- writing

    def put(
        self,
        key: str,
        value: object,
        *,
        ttl: int | None,
        condition: Conditions,
        content_type: str | None,
        timeout: float,
    ) -> int:
        """See Store."""
        item = requests.put_item(key, value, ttl, condition, content_type)
        operation = Put([item])
        if item.condition is not None or item.ttl_ms or item.content_type:
            requests.check(operation)  # of the others all was looked at
        return answers.granted(self._apply(operation, timeout, len(item.value)).results[0]).revision

    def delete(self, key: str, condition: Conditions, timeout: float) -> bool:
        """See Store."""
        result = self._write(requests.delete(key, condition), timeout).results[0]
        if result.status is Status.NOT_FOUND:
            return False
        answers.granted(result)
        return True

    def touch(self, key: str, ttl: int, condition: Conditions, timeout: float) -> int:
        """See Store."""
        return self._write_one(Touch([requests.touch_item(key, ttl, condition)]), timeout).revision

    def increment(
        self,
        key: str,
        *,
        by: int,
        initial: int,
        ttl: int | None,
        minimum: int | None,
        maximum: int | None,
        condition: Conditions,
        timeout: float,
    ) -> int:
        """See Store."""
        given = {"key": key, "by": by, "initial": initial, "ttl": ttl, "min": minimum, "max": maximum}
        return int(self._write_one(Increment([requests.increment_item(given, condition)]), timeout).value)

    def put_many(self, items: Mapping[str, object], ttl: int | None, condition: Conditions, timeout: float) -> Written:
        """See Store."""
        made, errors = requests.put_items(items, ttl, condition)
        return self._write_many(_put_entries(made), Put, _KEY, errors, timeout)

    def delete_many(self, keys: Iterable[str], condition: Conditions, timeout: float) -> Written:
        """See Store."""
        if condition is NO_CONDITION:
            named, errors = requests.each(keys, requests.key)
            return self._write_many(_entries(named), Delete, str, errors, timeout)
        expected, errors = requests.each(keys, lambda key: requests.delete(key, condition))
        return self._write_many(_entries(expected), _joined, lambda one: one.keys[0], errors, timeout)

    def touch_many(self, keys: Iterable[str], ttl: int, condition: Conditions, timeout: float) -> Written:
        """See Store."""
        made, errors = requests.each(keys, lambda key: requests.touch_item(key, ttl, condition))
        return self._write_many(_entries(made), Touch, _KEY, errors, timeout)

    def commit(
        self,
        compare: Sequence[Mapping[str, Any]],
        success: Sequence[Mapping[str, Any]],
        failure: Sequence[Mapping[str, Any]],
        timeout: float,
    ) -> TxnResult:
        """See Store."""
        transaction = requests.transaction(list(compare), list(success), list(failure))
        reply = self._write(transaction, timeout)
        return answers.txn_result(reply, transaction.success, transaction.failure)

    # --- locks, limits, services

    def acquire_lock(self, name: str, owner: str, ttl: int, wait_s: float, timeout: float) -> int:
        """See Store; the place in the queue is given back when the waiting is cut short."""
        request = f"{self._engine.name}-{next(self._requests)}"
        asked = AcquireLock(requests.key(name, "name"), owner, requests.milliseconds(ttl), int(wait_s * 1000), request)
        result = self._write(asked, timeout).results[0]
        if result.status is Status.QUEUED:
            try:
                result = self._await_lock(asked, timeout)
            except BaseException:
                self._give_up(asked)
                raise
        return answers.lock_info(answers.granted(result)).fence

    def _await_lock(self, asked: AcquireLock, timeout: float) -> ItemResult:
        try:
            result = self._engine.await_lock(asked)
        except TroubleError as trouble:
            raise answers.failure(trouble) from trouble
        if result.status is Status.OK:
            return result
        return self._write(LeaveQueue(asked.name, asked.owner, asked.request), timeout).results[0]

    def _give_up(self, asked: AcquireLock) -> None:
        """Leave the queue, or give back what was handed over meanwhile; not what a later request of the owner has."""
        with contextlib.suppress(ConcordError):  # else the place in the queue, or the lock, expires by itself
            self._write(LeaveQueue(asked.name, asked.owner, asked.request, gives_back=True), ASIDE_S)

    def renew_lock(self, name: str, owner: str, fence: int, ttl: int, timeout: float) -> None:
        """See Store."""
        self._write_one(RenewLock(requests.key(name, "name"), owner, fence, requests.milliseconds(ttl)), timeout)

    def release_lock(self, name: str, owner: str, fence: int, timeout: float) -> None:
        """See Store."""
        self._write_one(ReleaseLock(requests.key(name, "name"), owner, fence), timeout)

    def take(self, name: str, *, limit: int, window: int, cost: int, algorithm: Algorithm, timeout: float) -> Permit:
        """See Store."""
        asked = TakeQuota(
            requests.key(name, "name"),
            requests.whole(limit, "limit"),
            requests.milliseconds(window, "window"),
            requests.whole(cost, "cost"),
            requests.counting(algorithm),
        )
        return answers.permit(self._write(asked, timeout).results[0])

    def register(self, service: str, instance: Instance, ttl: int, timeout: float) -> None:
        """See Store."""
        self._write_one(Put([requests.instance(service, instance, ttl)]), timeout)

    def touch_instance(self, service: str, instance: str, ttl: int, timeout: float) -> None:
        """See Store."""
        self.touch(requests.instance_key(service, instance), ttl, NO_CONDITION, timeout)

    def deregister(self, service: str, instance: str, timeout: float) -> None:
        """See Store."""
        self.delete(requests.instance_key(service, instance), NO_CONDITION, timeout)

    def instances(self, service: str) -> list[Instance]:
        """See Store."""
        prefix = requests.service_prefix(service)
        listed: list[Instance] = []
        after, more = "", True
        while more:
            entries, after = self._page(prefix, after, LIMIT_LIST_ITEMS, with_values=True)
            listed += [answers.instance(entry, len(prefix)) for entry in entries]
            more = bool(after)
        return listed

    # --- the end

    def watching(self, prefix: str, kind: Any, after: str, wake: Callable[[], object]) -> LocalWatching:
        """See Store."""
        requests.prefix(prefix)
        return LocalWatching(self._engine, prefix, kind, after, wake)

    def close(self) -> None:
        """See Store."""
        try:
            self._engine.close()
        except TroubleError as trouble:
            raise answers.failure(trouble) from trouble

    # --- what they have in common

    def _find(self, key: str) -> tuple[Record | None, int]:
        try:
            found, now_ms = self._engine.find((requests.key(key),))
        except TroubleError as trouble:
            raise answers.failure(trouble) from trouble
        return found[0], now_ms

    def _page(self, prefix: str, after: str, limit: int, *, with_values: bool) -> tuple[list[ListEntry], str]:
        """Entries, and where the next page begins; "" at the end."""
        requests.prefix(prefix)
        try:
            page, _ = self._engine.page(prefix, after, limit, with_values=with_values)
        except TroubleError as trouble:
            raise answers.failure(trouble) from trouble
        return page.entries, page.entries[-1].key if page.more and page.entries else ""

    def _write_one(self, operation: Operation, timeout: float, size: int = 0) -> ItemResult:
        return answers.granted(self._write(operation, timeout, size).results[0])

    def _write(self, operation: Operation, timeout: float, size: int = 0) -> WriteReply:
        """Have an operation applied, if it is within the limits."""
        requests.check(operation)
        return self._apply(operation, timeout, size)

    def _apply(self, operation: Operation, timeout: float, size: int) -> WriteReply:
        """Have an operation applied; while there is no room for it, it is tried again within the timeout."""
        return self._apply_all((operation,), timeout, size)[0]

    def _apply_all(self, operations: Sequence[Operation], timeout: float, size: int) -> list[WriteReply]:
        """The same for operations that share an entry."""
        until = time.monotonic() + timeout
        left_s = timeout
        while True:
            try:
                return self._engine.write_all(operations, left_s, size)
            except TroubleError as trouble:
                if trouble.trouble is not Trouble.OVERLOADED or time.monotonic() + PAUSE_S > until:
                    raise answers.failure(trouble) from trouble
            time.sleep(PAUSE_S)
            left_s = max(0.0, until - time.monotonic())

    def _write_many(
        self,
        entries: Iterable[list[list[T]]],
        make: Callable[[list[T]], Put | Delete | Touch],
        name: Callable[[T], str],
        errors: dict[str, ConcordError],
        timeout: float,
    ) -> Written:
        """Write items, which were held against the limits one by one: lists of as many as an operation may have, entry by entry."""
        result = Written([], errors)
        for batches in entries:
            try:
                size = sum(map(len, batches)) * ITEM_BYTES
                operations = [make(batch) for batch in batches]
                replies = self._apply_all(operations, timeout, size)
            except ConcordError as error:
                for batch in batches:
                    errors.update(dict.fromkeys(map(name, batch), error))
                continue
            for batch, operation, reply in zip(batches, operations, replies, strict=True):
                _settle(result, map(name, batch), reply.results, is_delete=isinstance(operation, Delete))
        return result


def _settle(result: Written, keys: Iterable[str], results: list[ItemResult], *, is_delete: bool) -> None:
    """Tell of each key what came of it."""
    if results[0].status is Status.OK and results.count(results[0]) == len(results):
        result.done.extend(keys)
        return
    for key, done in zip(keys, results, strict=True):
        if done.status is Status.OK or (done.status is Status.NOT_FOUND and is_delete):
            result.done.append(key)
        else:
            result.errors[key] = answers.refusal(done, f"{key}: ")


def _joined(deletions: list[Delete]) -> Delete:
    """Deletions of one key each as one."""
    return Delete([one.keys[0] for one in deletions], [one.conditions[0] for one in deletions])


def _entries(items: list[T]) -> Iterator[list[list[T]]]:
    """Items as lists of as many as an operation may have, some of them an entry."""
    batches = [items[at : at + BATCH_ITEMS] for at in range(0, len(items), BATCH_ITEMS)]
    return (batches[at : at + ENTRY_BATCHES] for at in range(0, len(batches), ENTRY_BATCHES))


def _put_entries(items: list[PutItem]) -> Iterable[list[list[PutItem]]]:
    """The same, and not too many bytes at once."""
    if sum([len(item.value) for item in items]) <= BATCH_BYTES:
        return _entries(items)
    return ([part] for part in parts([(item, len(item.value)) for item in items]))


def _entry(key: str, record: Record, now_ms: int, kind: Any) -> Entry[Any]:
    value = _decoded(key, record, kind)
    return Entry(key, value, record.revision, answers.ttl(remaining_ms(record, now_ms)), record.content_type)


def _decoded(key: str, stored: Stored, kind: Any) -> Any:
    try:
        return _values.decode_stored(stored.value, stored.content_type, kind)
    except InvalidValue as error:
        raise error.of(key)  # noqa: B904 - the same


def _listed(entry: ListEntry, kind: Any) -> Told:
    try:
        value = _values.decode_stored(entry.value, entry.content_type, kind)
    except InvalidValue as error:
        return error.of(entry.key)
    return Entry(entry.key, value, entry.revision, answers.ttl(entry.ttl_ms), entry.content_type)
