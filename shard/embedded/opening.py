"""Opening a data directory."""

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from raft.wal import Durability
from shard.embedded.engine import Engine
from shard.embedded.limits import EngineLimits
from shard.embedded.log import EntryLog
from shard.embedded.machine import SoleMachine
from shard.embedded.trouble import Trouble, TroubleError
from shard.embedded.upkeep import Upkeep
from shard.machine import Entry, Own, SnapshotError
from wire.slots import SLOT_COUNT

_EVERYTHING = Own([(0, SLOT_COUNT - 1)], 1)


def open_engine(
    root: Path | None,
    durability: Durability = Durability.FSYNC,
    *,
    limits: EngineLimits | None = None,
    clock: Callable[[], float] = time.monotonic,
    with_upkeep: bool = True,
) -> Engine:
    """The engine over a data directory, made if it is not there.

    Args:
        root: the directory; None only for `MEMORY`.
        durability: what the end of a write means.
        limits: sizes.
        clock: monotonic seconds.
        with_upkeep: with a thread that removes keys whose time is up and takes snapshots; a test may do it by hand.

    Raises:
        TroubleError: LOCKED, DAMAGED or FAILED.
        ValueError: there is no directory.
    """
    if root is None and durability is not Durability.MEMORY:
        raise ValueError("only a store that keeps nothing goes without a data directory")
    limits = limits or EngineLimits()
    state = _Recovering()
    log = None if root is None else EntryLog.open(root, durability, state, limits.log)
    try:
        engine = Engine(
            state.machine, log, secrets.randbits(63), clock, limits, keeps=durability is not Durability.MEMORY
        )
        if state.machine.epoch == 0:
            engine.begin(Entry(0, [], _EVERYTHING))
        if with_upkeep:
            Upkeep(engine).start()
    except BaseException:
        if log is not None:
            log.close()
        raise
    return engine


class _Recovering:
    """The machine while it is made of what is on disk. Implements `log.Restorable`."""

    def __init__(self) -> None:
        self.machine = SoleMachine()

    def restore_from(self, chunks: Iterator[bytes]) -> None:
        """See Restorable; a chunk that the machine cannot read is damaged if the hash at the end says so."""
        restorer = self.machine.restore()
        try:
            for chunk in chunks:
                restorer.feed(chunk)
            restorer.finish()
        except SnapshotError as error:
            for _ in chunks:
                pass
            raise TroubleError(Trouble.DAMAGED, str(error)) from error

    def replay(self, index: int, command: bytes) -> None:
        """See Restorable."""
        self.machine.apply(index, 1, command)
