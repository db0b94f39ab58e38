"""What the store inside a process costs: beside a plain dict, shelve, sqlite3, a bare write and fdatasync, and HTTP, in the same run.

`python -m loadtest.embedded` (with `--url http://127.0.0.1:4000` for the last of these, against a cluster that runs). Every
contender is given the same keys and values in turn, round by round; a rate and a time are the best of its rounds, because what disturbs only ever
makes them worse, and a ratio is the median of the rounds' ratios. The processor's time of the calling thread is told beside, because it
says more than a rate does where other work is done on the machine. Data lies in a directory below `--dir`, so that it is on a real disk.
"""

import argparse
import os
import shelve
import shutil
import sqlite3
import statistics
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import msgspec

import concord
from concord._member import Durability

KEYS = 100_000
VALUE_BYTES = 100
BATCH = 500
SINGLES = 1_000
SECTOR = 512
ENTRY_BYTES = 300
"""About what a put of 100 bytes takes in the log, before it is filled up to a whole sector."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
Batches = Sequence[Mapping[str, object]]


class Contender(ABC):
    """Something that keeps keys and values.

    Attributes:
        name: says how durable a write is.
        singles: how many keys it writes one by one in a round.
        is_slow: it gets a share of the batches and reads only.
    """

    name = ""
    singles = SINGLES
    is_slow = False

    @abstractmethod
    def get_all(self, keys: Sequence[str]) -> None:
        """Read each key by itself."""

    @abstractmethod
    def put_each(self, items: Sequence[tuple[str, object]]) -> None:
        """Write each key by itself, durably if it can."""

    @abstractmethod
    def put_batches(self, batches: Batches) -> None:
        """Write batches, each durable when it is done, if it can."""

    def close(self) -> None:  # noqa: B027 - there need not be anything
        """Release everything."""


class Dict(Contender):
    """A plain dict of the values."""

    name = "dict"

    def __init__(self) -> None:
        self._items: dict[str, object] = {}

    def get_all(self, keys: Sequence[str]) -> None:
        """See Contender."""
        get = self._items.get
        for key in keys:
            get(key)

    def put_each(self, items: Sequence[tuple[str, object]]) -> None:
        """See Contender."""
        kept = self._items
        for key, value in items:
            kept[key] = value

    def put_batches(self, batches: Batches) -> None:
        """See Contender."""
        kept = self._items
        for batch in batches:
            for key, value in batch.items():
                kept[key] = value


class JsonDict(Dict):
    """A dict of JSON: the values are copies, as everybody else's are."""

    name = "dict of JSON"

    def get_all(self, keys: Sequence[str]) -> None:
        """See Contender."""
        kept, decode = self._items, _decode
        for key in keys:
            decode(kept[key])  # type: ignore[arg-type] # bytes are put in

    def put_each(self, items: Sequence[tuple[str, object]]) -> None:
        """See Contender."""
        kept, encode = self._items, _encode
        for key, value in items:
            kept[key] = encode(value)

    def put_batches(self, batches: Batches) -> None:
        """See Contender."""
        kept, encode = self._items, _encode
        for batch in batches:
            for key, value in batch.items():
                kept[key] = encode(value)


class Shelf(Contender):
    """shelve, synced after each write or batch (which dbm does not promise to make durable)."""

    name = "shelve, sync()"
    singles = 50
    is_slow = True

    def __init__(self, folder: Path) -> None:
        self._shelf = shelve.open(str(folder / "shelf"))  # noqa: S301, SIM115 - its own file, closed by `close`

    def get_all(self, keys: Sequence[str]) -> None:
        """See Contender."""
        for key in keys:
            self._shelf[key]

    def put_each(self, items: Sequence[tuple[str, object]]) -> None:
        """See Contender."""
        for key, value in items:
            self._shelf[key] = value
            self._shelf.sync()

    def put_batches(self, batches: Batches) -> None:
        """See Contender."""
        for batch in batches:
            self._shelf.update(batch)
            self._shelf.sync()

    def close(self) -> None:
        """See Contender."""
        self._shelf.close()


class Sqlite(Contender):
    """sqlite3 with a write-ahead log, synced at each commit; values as JSON."""

    name = "sqlite3, WAL, synchronous=FULL"
    singles = 300

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(folder / "sqlite.db", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=FULL",
            "CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID",
        ):
            self._connection.execute(statement)

    def get_all(self, keys: Sequence[str]) -> None:
        """See Contender."""
        execute = self._connection.execute
        for key in keys:
            _decode(execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()[0])

    def put_each(self, items: Sequence[tuple[str, object]]) -> None:
        """See Contender."""
        for key, value in items:
            self._connection.execute("REPLACE INTO kv VALUES (?, ?)", (key, _encode(value)))

    def put_batches(self, batches: Batches) -> None:
        """See Contender."""
        for batch in batches:
            self._connection.execute("BEGIN")
            rows = [(key, _encode(value)) for key, value in batch.items()]
            self._connection.executemany("REPLACE INTO kv VALUES (?, ?)", rows)
            self._connection.execute("COMMIT")

    def close(self) -> None:
        """See Contender."""
        self._connection.close()


class Bare(Contender):
    """A write and fdatasync into space that is reserved, of the bytes that the embedded store's log gets; nothing is kept."""

    name = "write + fdatasync"

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "bare", os.O_CREAT | os.O_RDWR)
        self._size = 64 << 20
        os.posix_fallocate(self._file, 0, self._size)
        os.fsync(self._file)
        self._at = 0

    def get_all(self, keys: Sequence[str]) -> None:
        """It keeps nothing."""

    def put_each(self, items: Sequence[tuple[str, object]]) -> None:
        """See Contender."""
        for _ in items:
            self._write(ENTRY_BYTES)

    def put_batches(self, batches: Batches) -> None:
        """See Contender."""
        for batch in batches:
            self._write(sum(len(key) + VALUE_BYTES + 8 for key in batch))

    def _write(self, size: int) -> None:
        size = -(-size // SECTOR) * SECTOR
        if self._at + size > self._size:
            self._at = 0
        os.pwrite(self._file, b"\xa5" * size, self._at)
        os.fdatasync(self._file)
        self._at += size

    def close(self) -> None:
        """See Contender."""
        os.close(self._file)


class Store(Contender):
    """`concord.open`, or a client of a cluster."""

    def __init__(self, name: str, store: concord.Concord, singles: int = SINGLES, *, is_slow: bool = False) -> None:
        self.name = name
        self.singles = singles
        self.is_slow = is_slow
        self._store = store

    def get_all(self, keys: Sequence[str]) -> None:
        """See Contender."""
        get = self._store.get
        for key in keys:
            get(key)

    def get_all_typed(self, keys: Sequence[str], kind: type) -> None:
        """Read each key by itself, as a value of a type."""
        get = self._store.get
        for key in keys:
            get(key, type=kind)

    def put_each(self, items: Sequence[tuple[str, object]]) -> None:
        """See Contender."""
        put = self._store.put
        for key, value in items:
            put(key, value)

    def put_batches(self, batches: Batches) -> None:
        """See Contender."""
        put_many = self._store.put_many
        for batch in batches:
            put_many(batch).check()

    def close(self) -> None:
        """See Contender."""
        self._store.close()


class Rounds:
    """The rates of one measurement, by contender, round by round."""

    def __init__(self, title: str, base: str) -> None:
        self.title = title
        self._base = base
        self._rates: dict[str, list[float]] = {}
        self._cpu_us: dict[str, list[float]] = {}

    def measure(self, name: str, count: int, work: Callable[[], None]) -> None:
        """Time `work`, which is so many operations."""
        began, cpu = time.perf_counter(), time.thread_time()
        work()
        self._cpu_us.setdefault(name, []).append((time.thread_time() - cpu) / count * 1e6)
        self._rates.setdefault(name, []).append(count / (time.perf_counter() - began))

    def rows(self) -> Iterator[tuple[str, float, float, float]]:
        """Contender, its best rate, the median of its ratios to the base, and its least processor time in microseconds."""
        base = self._rates[self._base]
        for name, rates in self._rates.items():
            ratios = [rate / other for rate, other in zip(rates, base, strict=True)]
            yield name, max(rates), statistics.median(ratios), min(self._cpu_us[name])

    def show(self) -> None:
        """Print it as a table."""
        print(f"\n{self.title:<40} {'a second':>12} {'to ' + self._base:>20} {'CPU µs':>9}")
        for name, rate, ratio, cpu_us in self.rows():
            print(f"{name:<40} {rate:>12,.0f} {ratio:>20.3f} {cpu_us:>9.2f}", flush=True)


def contenders(folder: Path, durability: Durability, url: str) -> Iterator[Contender]:
    """All of them."""
    yield Dict()
    yield JsonDict()
    yield Store(f"embedded, {durability}", concord.open(folder / "store", durability=durability))
    yield Sqlite(folder)
    yield Shelf(folder)
    yield Bare(folder)
    if url:
        yield Store("HTTP", concord.Concord(url, timeout=30.0), 200, is_slow=True)


def measure(every: Sequence[Contender], keys: int, rounds: int) -> list[Rounds]:
    """Every measurement, round by round."""
    value = "x" * (VALUE_BYTES - 2)
    items: list[tuple[str, object]] = [(f"user/{number:08}", value) for number in range(keys)]
    raw = {f"raw/{number:08}": bytes(VALUE_BYTES) for number in range(keys)}
    for store in _here(every):
        store.put_batches([raw])
    done = [
        Rounds(f"put_many, batches of {BATCH}: puts", "dict"),
        Rounds("put_many, all at once: puts", "dict"),
        Rounds("put, one by one", "write + fdatasync"),
        Rounds("get, one by one", "dict"),
    ]
    for _ in range(rounds):
        _write_round(every, items, *done[:3])
        _read_round(every, [key for key, _ in items], list(raw), done[3])
    return done


def _here(every: Sequence[Contender]) -> Iterator[Store]:
    """The stores in this process."""
    return (one for one in every if isinstance(one, Store) and not one.is_slow)


def _write_round(
    every: Sequence[Contender], items: Sequence[tuple[str, object]], many: Rounds, whole: Rounds, single: Rounds
) -> None:
    batches = [dict(items[at : at + BATCH]) for at in range(0, len(items), BATCH)]
    for one in every:
        part = batches[: max(1, len(batches) // 20)] if one.is_slow else batches
        many.measure(one.name, sum(map(len, part)), partial(one.put_batches, part))
    everything = dict(items)
    for one in every:
        if not one.is_slow:
            whole.measure(one.name, len(everything), partial(one.put_batches, [everything]))
    for one in every:
        single.measure(one.name, one.singles, partial(one.put_each, items[: one.singles]))


def _read_round(every: Sequence[Contender], names: Sequence[str], raw: Sequence[str], reads: Rounds) -> None:
    for one in every:
        if not isinstance(one, Bare):
            some = names[: one.singles] if one.is_slow else names
            reads.measure(one.name, len(some), partial(one.get_all, some))
    for store in _here(every):
        reads.measure(f"{store.name}, type=str", len(names), partial(store.get_all_typed, names, str))
        reads.measure(f"{store.name}, bytes", len(raw), partial(store.get_all, raw))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="", help="of a gateway, to measure the way over HTTP, too")
    parser.add_argument("--durability", choices=["fsync", "os", "memory"], default="fsync")
    parser.add_argument("--keys", type=int, default=KEYS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", type=Path, default=Path(), help="on the disk that is measured (here)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures into this file")
    arguments = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="embedded-", dir=arguments.dir))
    try:
        with ExitStack() as stack:
            every = [
                stack.enter_context(closing(one)) for one in contenders(folder, arguments.durability, arguments.url)
            ]
            done = measure(every, arguments.keys, arguments.rounds)
    finally:
        shutil.rmtree(folder)
    print(
        f"{arguments.keys} keys, values of {VALUE_BYTES} bytes, {arguments.rounds} rounds; load {os.getloadavg()[0]:.1f}"
    )
    for one in done:
        one.show()
    if arguments.json:
        found = {one.title: {name: figures for name, *figures in one.rows()} for one in done}
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)))


if __name__ == "__main__":
    main()
