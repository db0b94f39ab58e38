"""What holds of an engine whatever is asked of it: one opener, durable before visible, and nothing after a failure."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import concord
from raft.datadir import DataDirectory
from raft.disk import OsDisk, OsFile
from shard.embedded import Durability, Engine, Trouble, TroubleError, open_engine
from shard.embedded.limits import EngineLimits
from shard.embedded.log import EntryLog
from shard.embedded.turns import Ticket, Turns
from shard.machine import Machine, decode
from wire.messages import Delete, Put, PutItem, Status

SMALL = EngineLimits(segment_bytes=16 << 10, snapshot_bytes=24 << 10, snapshot_entries=50)


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def engine(tmp_path: Path, clock: Clock) -> Iterator[Engine]:
    engine = open_by_hand(tmp_path / "data", clock)
    yield engine
    engine.close()


def open_by_hand(folder: Path, clock: Clock, limits: EngineLimits | None = None) -> Engine:
    return open_engine(folder, clock=clock, limits=limits, with_upkeep=False)


def put(engine: Engine, key: str, value: bytes = b"1", ttl_ms: int = 0) -> None:
    assert engine.write(Put([PutItem(key, value, "", ttl_ms)]), 5.0).results[0].status is Status.OK


def value_of(engine: Engine, key: str) -> bytes | None:
    [record], _ = engine.find((key,))
    return None if record is None else record.value


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "wal").iterdir())


# --- the log says what was applied


def test_what_is_applied_as_it_was_asked_for_is_what_the_log_says(tmp_path: Path) -> None:
    class Name(str):
        __slots__ = ()

    with concord.open(tmp_path / "data") as db:
        items: dict[str, object] = {f"many/{number}": {"n": number} for number in range(1_200)}
        items |= {"ä": 1, "bytes": b"\x00\xff", "raw": msgspec.Raw(b"[1,\n2]"), "long": "x" * 3_000, Name("sub"): 1.5}
        db.put_many(items).check()
        db.put_many({"ttl/a": 1, "ttl/b": concord.Put(b"x", ttl=50, content_type="a/b"), "\0nul": 2}, ttl=60).check()
        db.put("one", bytearray(b"x"), ttl=9, content_type="text/plain")
        db.put("ä", 2, if_value=1)
        db.delete_many(["many/1", "many/2", "not there"]).check()
        assert db.get("raw") == [1, 2]
        assert db.get("ä", type=int) == 2
        assert db.get("bytes") == db.get("bytes", type=bytes) == b"\x00\xff"
        before = db._store._engine.machine  # type: ignore[attr-defined] # it is the local one
        held, now_ms = before.checksum(), before.now_ms
    log = EntryLog.open(tmp_path / "data", Durability.FSYNC, again := Again(now_ms), EngineLimits().log)
    log.close()
    assert again.hashes[-1] == held


class Again:
    """The machine made anew of the log alone, with its hash after each entry up to a time."""

    def __init__(self, until_ms: int) -> None:
        self.machine = Machine()
        self.hashes: list[int] = []
        self._until_ms = until_ms

    def restore_from(self, chunks: Iterator[bytes]) -> None:
        raise AssertionError(f"there is no snapshot, and this is one: {next(chunks)!r}")

    def replay(self, index: int, command: bytes) -> None:
        entry = decode(command)
        assert entry is not None
        if entry.time_ms <= self._until_ms:
            self.machine.apply(index, 1, command)
            self.hashes.append(self.machine.checksum())


# --- one opener


def test_a_second_opener_is_refused_and_told_who_has_it(engine: Engine, tmp_path: Path) -> None:
    put(engine, "k")
    with pytest.raises(TroubleError, match=f"held by process {os.getpid()}") as raised:
        open_engine(tmp_path / "data")
    assert raised.value.trouble is Trouble.LOCKED
    put(engine, "k")


def test_another_process_is_refused_too(engine: Engine, tmp_path: Path) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            open_engine(tmp_path / "data")
        except TroubleError as error:
            os._exit(0 if error.trouble is Trouble.LOCKED else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    put(engine, "k")


def test_a_fork_cannot_use_the_parents_store_and_does_not_hurt_it(engine: Engine) -> None:
    put(engine, "k", b"1")
    pid = os.fork()
    if pid == 0:
        try:
            engine.write(Put([PutItem("k", b"2")]), 1.0)
        except TroubleError as error:
            os._exit(0 if error.trouble is Trouble.FORKED and engine.plain.get("k") is None else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    put(engine, "j")
    assert value_of(engine, "k") == b"1"


def test_a_directory_of_a_node_is_refused(tmp_path: Path) -> None:
    DataDirectory.open(tmp_path, cluster="c", node="n1").close()
    with pytest.raises(TroubleError, match="belongs to node 'n1'") as raised:
        open_engine(tmp_path)
    assert raised.value.trouble is Trouble.DAMAGED


def test_memory_refuses_to_forget_what_a_log_holds(engine: Engine, tmp_path: Path) -> None:
    engine.close()
    with pytest.raises(TroubleError, match="durability 'memory' would ignore"):
        open_engine(tmp_path / "data", Durability.MEMORY)
    with pytest.raises(ValueError, match="without a data directory"):
        open_engine(None)


def test_memory_with_a_directory_locks_it_and_keeps_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        engine = open_engine(tmp_path, Durability.MEMORY)
        assert value_of(engine, "k") is None
        put(engine, "k")
        with pytest.raises(TroubleError, match="held by process"):
            open_engine(tmp_path)
        engine.close()


# --- what is on disk


def test_everything_is_there_after_opening_again(tmp_path: Path, clock: Clock) -> None:
    for _ in range(3):
        engine = open_by_hand(tmp_path, clock)
        count = int(value_of(engine, "n") or b"0")
        for number in range(count, count + 40):
            put(engine, f"k/{number}", b"x" * number)
            put(engine, "n", b"%d" % (number + 1))
        engine.close()
    engine = open_by_hand(tmp_path, clock)
    assert [value_of(engine, f"k/{number}") for number in range(120)] == [b"x" * number for number in range(120)]
    engine.close()


def test_an_end_that_was_durable_and_is_gone_is_refused(tmp_path: Path, clock: Clock) -> None:
    engine = open_by_hand(tmp_path, clock)
    put(engine, "kept", b"1")
    put(engine, "cut", b"x" * 2000)
    engine.close()
    [segment] = segments(tmp_path)
    content = segment.read_bytes()
    end = len(content.rstrip(b"\0")) - 600
    segment.write_bytes(content[:end] + bytes(len(content) - end))
    with pytest.raises(TroubleError, match="was durable") as raised:  # the mark says that this was no interrupted write
        open_by_hand(tmp_path, clock)
    assert raised.value.trouble is Trouble.DAMAGED
    assert "replicas" not in raised.value.message


def test_an_unknown_write_may_be_cut_off(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that ended within a write, before anybody was told of it."""
    engine = open_by_hand(tmp_path, clock)
    put(engine, "kept", b"1")
    genuine = OsFile.pwrite

    def torn(file: OsFile, offset: int, buffers: list[bytes]) -> None:
        data = b"".join(buffers)
        genuine(file, offset, [data[:512]])
        raise OSError(errno.EIO, "torn")

    monkeypatch.setattr(OsFile, "pwrite", torn)
    with pytest.raises(TroubleError) as raised:
        engine.write(Put([PutItem("cut", b"x" * 2000)]), 1.0)
    assert raised.value.trouble is Trouble.UNKNOWN
    monkeypatch.undo()
    engine.close()
    engine = open_by_hand(tmp_path, clock)
    assert value_of(engine, "kept") == b"1"
    assert value_of(engine, "cut") is None
    engine.close()


@pytest.mark.parametrize("where", ["pwrite", "sync"])
def test_after_an_error_of_the_disk_nothing_is_done_any_more(
    where: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(engine, "k")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(OsFile, where, fail)
    with pytest.raises(TroubleError) as raised:
        engine.write(Put([PutItem("k", b"2")]), 1.0)
    assert raised.value.trouble is Trouble.UNKNOWN
    monkeypatch.undo()
    for attempt in (lambda: engine.find(("k",)), lambda: engine.write(Delete(["k"]), 1.0), engine.snapshot):
        with pytest.raises(TroubleError, match=r"ENOSPC.*make room, then open the store again") as raised:
            attempt()
        assert raised.value.trouble is Trouble.FAILED
    assert engine.plain.get("k") is None


def test_a_full_disk_between_segments_loses_nothing(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_by_hand(tmp_path, clock, SMALL)
    done: list[int] = []

    def fill() -> None:
        for number in range(100):
            put(engine, f"k/{number}", b"x" * 1000)
            done.append(number)

    def full(*_: object, **__: object) -> OsFile:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(OsDisk, "create", full)
    with pytest.raises(TroubleError):
        fill()
    monkeypatch.undo()
    engine.close()
    engine = open_by_hand(tmp_path, clock, SMALL)
    assert done
    assert all(value_of(engine, f"k/{number}") == b"x" * 1000 for number in done)
    engine.close()


def test_a_write_that_is_interrupted_is_unknown_and_the_last(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: OsFile) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(OsFile, "sync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        engine.write(Put([PutItem("k", b"1")]), 1.0)
    monkeypatch.undo()
    with pytest.raises(TroubleError, match="open the store again"):
        engine.write(Put([PutItem("k", b"1")]), 1.0)


def test_snapshots_take_the_place_of_the_log(tmp_path: Path, clock: Clock) -> None:
    engine = open_by_hand(tmp_path, clock, SMALL)
    taken = 0
    for number in range(400):
        put(engine, f"k/{number % 100}", b"%d" % number * 50)
        if engine.snapshot_is_due:
            engine.snapshot()
            taken += 1
    assert taken > 3
    assert len(segments(tmp_path)) <= 5
    assert len(list((tmp_path / "snapshots").rglob("*.snap"))) == 1
    hashed = engine.machine.checksum()
    index = engine.index
    engine.close()
    engine = open_by_hand(tmp_path, clock, SMALL)
    assert (engine.machine.checksum(), engine.index) == (hashed, index)
    engine.close()


def test_with_too_much_log_writes_are_refused_until_there_is_a_snapshot(tmp_path: Path, clock: Clock) -> None:
    limits = EngineLimits(segment_bytes=16 << 10, log_bytes=64 << 10)
    engine = open_by_hand(tmp_path, clock, limits)

    def fill() -> None:
        for number in range(200):
            put(engine, f"k/{number % 10}", b"x" * 1000)

    with pytest.raises(TroubleError) as raised:
        fill()
    assert raised.value.trouble is Trouble.OVERLOADED
    engine.snapshot()
    put(engine, "k")
    engine.close()


# --- time


def test_a_key_is_gone_when_its_time_is_up_and_never_before_and_stays_gone(tmp_path: Path, clock: Clock) -> None:
    engine = open_by_hand(tmp_path, clock)
    put(engine, "k", ttl_ms=5_000)
    clock.now_s += 4.9
    assert value_of(engine, "k") == b"1"
    clock.now_s += 0.2
    assert value_of(engine, "k") is None
    engine.close()
    engine = open_by_hand(tmp_path, clock)
    assert value_of(engine, "k") is None
    engine.close()


def test_the_time_counts_while_the_store_is_open_and_not_while_it_is_closed(tmp_path: Path, clock: Clock) -> None:
    engine = open_by_hand(tmp_path, clock)
    put(engine, "k", ttl_ms=10_000)
    clock.now_s += 6
    engine.close()
    clock.now_s += 1_000
    engine = open_by_hand(tmp_path, clock)
    clock.now_s += 3
    assert value_of(engine, "k") == b"1"
    clock.now_s += 2
    assert value_of(engine, "k") is None
    engine.close()


def test_upkeep_removes_what_is_due_and_says_when_to_look_again(engine: Engine, clock: Clock) -> None:
    limits = engine.limits
    assert engine.expire() == limits.time_entry_s
    items = [PutItem(f"k/{number}", b"1", "", 1_000) for number in range(400)]
    for _ in range(3):
        engine.write(Put(items), 5.0)
        items = [PutItem(item.key + "+", b"1", "", 1_000) for item in items]
    assert engine.machine.keys == 1_200
    clock.now_s += 1.5
    assert engine.expire() == limits.backlog_s  # an entry removes 1,000
    assert engine.machine.keys == 200
    engine.expire()
    assert engine.machine.keys == 0


# --- threads


def test_writes_that_come_during_a_sync_share_the_next(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    syncing, go_on = threading.Event(), threading.Event()
    genuine = OsFile.sync

    def slow(file: OsFile) -> None:
        syncing.set()
        assert go_on.wait(10)
        genuine(file)

    monkeypatch.setattr(OsFile, "sync", slow)
    before = engine.index
    threads = [threading.Thread(target=put, args=(engine, f"k/{number}")) for number in range(20)]
    threads[0].start()
    assert syncing.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(engine._turns._queue) < 19:
        pass
    assert engine.plain.get("k/0") is None  # what is not durable is not seen
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert engine.index == before + 2
    assert all(value_of(engine, f"k/{number}") == b"1" for number in range(20))


def test_who_waits_too_long_for_a_turn_has_written_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    syncing, go_on = threading.Event(), threading.Event()
    genuine = OsFile.sync

    def slow(file: OsFile) -> None:
        syncing.set()
        assert go_on.wait(10)
        genuine(file)

    monkeypatch.setattr(OsFile, "sync", slow)
    first = threading.Thread(target=put, args=(engine, "first"))
    first.start()
    assert syncing.wait(10)
    with pytest.raises(TroubleError) as raised:
        engine.write(Put([PutItem("late", b"1")]), 0.01)
    assert raised.value.trouble is Trouble.TIMEOUT
    go_on.set()
    first.join(10)
    put(engine, "after")
    assert value_of(engine, "late") is None


def test_an_entry_is_never_seen_by_half() -> None:
    """Two keys are always set together; who reads the one and then the other never finds the second older."""
    engine = open_engine(None, Durability.MEMORY)
    put_both = [Put([PutItem("a", b"%d" % number), PutItem("b", b"%d" % number)]) for number in range(400)]
    wrong: list[tuple[int, int]] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            one = int(value_of(engine, "a") or b"-1")
            other = int(value_of(engine, "b") or b"-1")
            plain_one = engine.plain.get("a")
            plain_other = engine.plain.get("b")
            if other < one:
                wrong.append((one, other))
            if plain_one is not None and plain_other is not None and int(plain_other.value) < int(plain_one.value):
                wrong.append((int(plain_one.value), int(plain_other.value)))

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    for operation in put_both:
        engine.write(operation, 5.0)
    done.set()
    for reader in readers:
        reader.join(10)
    engine.close()
    assert wrong == []


def test_turns_are_bounded_and_an_error_of_the_leader_lets_the_next_lead() -> None:
    entered, go_on = threading.Event(), threading.Event()
    committed: list[int] = []

    def commit(tickets: list[Ticket]) -> None:
        entered.set()
        assert go_on.wait(10)
        committed.append(len(tickets))
        if len(committed) == 1:
            raise RuntimeError("the first fails")
        for ticket in tickets:
            ticket.replies = []

    turns = Turns(commit, queued_max=2, batch_max=10, batch_bytes=100)
    errors: list[Exception] = []

    def write() -> None:
        ticket = Ticket((), 1)
        try:
            turns.run(ticket, 10.0)
            ticket.outcome()
        except (RuntimeError, TroubleError) as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    threads[0].start()
    assert entered.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(turns._queue) < 2:
        pass
    with pytest.raises(TroubleError) as raised:
        turns.run(Ticket((), 1), 1.0)
    assert raised.value.trouble is Trouble.OVERLOADED
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert committed == [1, 2]
    assert [type(error) for error in errors] == [RuntimeError]
