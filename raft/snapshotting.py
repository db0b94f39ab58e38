"""A group's snapshots: when to take one, shipping the newest to a follower that lags too far, installing what comes in.

Nothing here forks, and nothing holds the loop for longer than `snapshot_slice_s`: state is drawn from the machine, and
put back into one, a few chunks per turn. A node writes one snapshot at a time, because groups of equal load become due
together, and rests between two slices, so that all of them take a fifth of the loop at most. A snapshot counts once its file is complete, verified and durable; only then
is the log before it dropped, and only then does an installed one take the place of the state.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Protocol

from .config import RaftConfig
from .figures import HostFigures, ReplicaFigures
from .interface import Restorer, StateMachine
from .journal import FRESH_BASE_INDEX, Journal
from .messages import InstallReply, InstallSnapshot
from .progress import Progress, Shipment
from .snapshot_format import SNAPSHOT_DIRECTORY, SnapshotMeta, snapshot_path
from .snapshot_transfer import SnapshotReader, SnapshotReceiver, SnapshotWriter
from .snapshots import SnapshotStore
from .storage_errors import REBUILD, StorageError, describe_storage_error

logger = logging.getLogger(__name__)


class Owner(Protocol):
    """What the shelf needs of its replica."""

    group: int

    figures: ReplicaFigures

    @property
    def journal(self) -> Journal:
        """The log."""

    @property
    def machine(self) -> StateMachine:
        """Whose state snapshots hold."""

    @property
    def applied_index(self) -> int:
        """Index of the last entry in that state."""

    @property
    def current_term(self) -> int:
        """The paper's currentTerm."""

    @property
    def read_round(self) -> int:
        """The newest ReadIndex round."""

    def send_snapshot_piece(self, peer: str, piece: InstallSnapshot) -> None:
        """Send a piece to a follower."""

    def installed(self, index: int, term: int) -> None:
        """A received snapshot that ends at (`index`, `term`) is durable and in the machine."""

    def installation_failed(self) -> None:
        """A received snapshot was damaged and is gone."""


class Turns(Protocol):
    """What the shelf needs of the node."""

    config: RaftConfig
    figures: HostFigures

    def now(self) -> float:
        """Seconds, never running back."""

    def schedule(self, work: Callable[[], None], delay_s: float = 0.0) -> None:
        """Run `work` on a later turn of the loop, after so many seconds."""

    def fatal(self, reason: str) -> None:
        """End the process."""


class SnapshotShelf:
    """The snapshots of one replica.

    Attributes:
        is_put_off: a snapshot waits for another group's to be written.
        taken, installed: how many, since the process started.
    """

    def __init__(self, group: int, store: SnapshotStore, turns: Turns) -> None:
        self._store = store
        self._turns = turns
        self._config = turns.config
        self._meta: SnapshotMeta | None = store.latest(group)
        self._writer: SnapshotWriter | None = None
        self._wanted = False
        self.is_put_off = False
        self._readers: dict[str, tuple[SnapshotMeta, SnapshotReader]] = {}  # follower → what it is being sent
        self._closed = False
        self._write_began_s = 0.0
        self._install_began_s = 0.0
        self.taken = 0
        self.installed = 0

    def attach(self, owner: Owner) -> None:
        """Bind to the replica and bring its machine to the newest snapshot; checks that the log goes on from it."""
        self._owner = owner
        base = owner.journal.base_index
        if self._meta is None:
            if base > FRESH_BASE_INDEX:
                self._turns.fatal(
                    f"group {owner.group}: the log begins after entry {base}, but there is no snapshot that holds "
                    f"what came before in {SNAPSHOT_DIRECTORY}/{owner.group}. {REBUILD}"
                )
            return
        meta = self._meta
        if meta.index < base:
            self._turns.fatal(
                f"group {owner.group}: the newest snapshot in {SNAPSHOT_DIRECTORY}/{owner.group} ends at entry "
                f"{meta.index}, but the log begins after {base}. {REBUILD}"
            )
        try:
            _feed_all(owner.machine.restore(), self._store.read(meta))
        except (StorageError, OSError) as error:
            path = snapshot_path(meta.group, meta.index, meta.term)
            self._turns.fatal(describe_storage_error(f"reading {path}", error))
            raise
        journal = owner.journal
        if journal.last_index < meta.index or journal.term_at(meta.index) != meta.term:
            journal.reset(meta.index, meta.term)  # stopped between the snapshot's rename and the log's record of it

    @property
    def index(self) -> int:
        """Index of the last entry that the newest snapshot holds; 0 when there is none."""
        return self._meta.index if self._meta else 0

    @property
    def may_go_on(self) -> bool:
        """Whether a snapshot that was put off because another group's was being written could be begun now."""
        return self.is_put_off and not self._store.is_writing

    # --- taking ----------------------------------------------------------------------------------------------------

    def release_log(self) -> None:
        """Let go of old segments of the write-ahead log: by a snapshot, unless the newest has all that was applied."""
        if self._owner.applied_index == self.index:
            self._let_go()
        else:
            self._wanted = True

    def _let_go(self) -> None:
        journal = self._owner.journal
        journal.compact_to(self.index)
        journal.rewrite()

    def write_when_due(self) -> None:
        """Start a snapshot when enough log has gathered since the last."""
        self.is_put_off = False
        applied, journal = self._owner.applied_index, self._owner.journal
        if self._writer is not None or self._closed or applied <= max(self.index, journal.base_index):
            return
        if not self._wanted and not self._is_due(applied, journal):
            return
        self.is_put_off = self._store.is_writing
        if self.is_put_off:
            return
        self._write_began_s = self._turns.now()
        self._writer = self._store.write(
            self._owner.group,
            applied,
            journal.term_at(applied),
            self._owner.machine.snapshot(),
            schedule=self._turns.schedule,
            budget_s=self._config.snapshot_slice_s,
            rest=self._config.snapshot_rest,
            clock=self._turns.now,
            done=self._written,
        )

    def _is_due(self, applied: int, journal: Journal) -> bool:
        enough_bytes = journal.bytes >= self._config.due_bytes(self._meta.size if self._meta else 0)
        return enough_bytes or applied - max(self.index, journal.base_index) >= self._config.snapshot_entries

    def _written(self, meta: SnapshotMeta) -> None:
        self._writer = None
        if self._closed or meta.index <= self.index:
            return
        self._meta = meta
        self.taken += 1
        took_s = self._turns.now() - self._write_began_s
        self._turns.figures.snapshot.observe(took_s)
        self._owner.figures.snapshots_bytes += meta.size
        logger.info(
            "group %d: snapshot created, up to entry %d, %d bytes, %.3f s", meta.group, meta.index, meta.size, took_s
        )
        if self._wanted:
            self._wanted = False
            self._let_go()
        else:
            self._owner.journal.compact_to(self._compaction_point(meta.index))
        self._store.prune(self._owner.group)

    def _compaction_point(self, index: int) -> int:
        """Keep some entries before the snapshot's end, so that a follower that lags a little needs no snapshot.

        A follower that is being sent an older snapshot needs what comes after that one, or it would never arrive.
        """
        journal, config = self._owner.journal, self._config
        first = max(journal.base_index, index - config.trailing_entries) + 1
        kept = 0
        for command, at, _term in reversed(journal.between(first, index + 1)):
            kept += len(command)
            if kept > config.rewrite_bytes:
                first = at + 1
                break
        being_shipped = [meta.index for meta, _reader in self._readers.values()]
        if being_shipped and journal.bytes < 8 * config.snapshot_bytes:
            return min(first - 1, *being_shipped)
        return first - 1

    # --- shipping --------------------------------------------------------------------------------------------------

    def ship(self, peer: str, progress: Progress, *, heartbeat: bool) -> None:
        """Begin to send the newest snapshot, or go on with what is being sent."""
        shipment = progress.shipment
        if shipment is None or peer not in self._readers:
            self._begin_shipping(peer, progress)
        elif heartbeat:
            again = shipment.heartbeat()
            self._send_piece(peer, shipment.offset if again is None else again, with_data=again is not None)

    def _begin_shipping(self, peer: str, progress: Progress) -> None:
        if self._meta is None:
            return
        self._stop_shipping(peer)
        self._readers[peer] = (self._meta, self._store.reader(self._meta))
        progress.shipment = Shipment(self._meta.index, self._meta.size)
        self._send_piece(peer, 0, with_data=True)

    def received(self, peer: str, progress: Progress, reply: InstallReply) -> None:
        """The follower has so much; send what follows."""
        shipment = progress.shipment
        if shipment is None or peer not in self._readers or reply.index != shipment.index:
            return
        offset = shipment.reported(reply.offset)
        if offset is not None:
            self._send_piece(peer, offset, with_data=True)

    def shipped(self, peer: str, progress: Progress) -> None:
        """The follower goes on with entries."""
        progress.shipment = None
        self._stop_shipping(peer)

    def stop_shipping(self) -> None:
        """Leadership ended."""
        for peer in list(self._readers):
            self._stop_shipping(peer)

    def _stop_shipping(self, peer: str) -> None:
        if peer in self._readers:
            self._readers.pop(peer)[1].close()

    def _send_piece(self, peer: str, offset: int, *, with_data: bool) -> None:
        meta, reader = self._readers[peer]
        piece = InstallSnapshot(
            term=self._owner.current_term,
            index=meta.index,
            index_term=meta.term,
            size=meta.size,
            sha256=meta.sha256,
            offset=offset,
            data=reader.read(offset, self._config.snapshot_chunk_bytes) if with_data else b"",
            sent_s=self._turns.now(),
            round=self._owner.read_round,
        )
        self._owner.send_snapshot_piece(peer, piece)

    # --- installing ------------------------------------------------------------------------------------------------

    def install(self, first: InstallSnapshot) -> "Installation":
        """Begin to receive a snapshot."""
        self.stop_writing()
        self._install_began_s = self._turns.now()
        receiver = self._store.receiver(self._owner.group, first.index, first.index_term, first.size)
        return Installation(first, receiver, self._restore, self._owner.installation_failed)

    def _restore(self, meta: SnapshotMeta) -> None:
        """The file is verified and durable: put it into the machine, a slice per turn."""
        restorer, chunks = self._owner.machine.restore(), self._store.read(meta)
        self._turns.schedule(lambda: self._restore_slice(meta, restorer, chunks))

    def _restore_slice(self, meta: SnapshotMeta, restorer: Restorer, chunks: Iterator[bytes]) -> None:
        deadline = self._turns.now() + self._config.snapshot_slice_s
        for chunk in chunks:
            if self._closed:
                return
            restorer.feed(chunk)
            if self._turns.now() >= deadline:
                self._turns.schedule(lambda: self._restore_slice(meta, restorer, chunks))
                return
        if self._closed:
            return
        restorer.finish()
        self._meta = meta
        self.installed += 1
        took_s = self._turns.now() - self._install_began_s
        self._turns.figures.install.observe(took_s)
        self._owner.figures.snapshots_installed_bytes += meta.size
        logger.info(
            "group %d: snapshot installed, up to entry %d, %d bytes, %.3f s", meta.group, meta.index, meta.size, took_s
        )
        self._store.prune(self._owner.group)
        self._owner.installed(meta.index, meta.term)

    # --- ending ----------------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """The node stops: leave no work behind."""
        self._closed = True
        self.stop_writing()
        self.stop_shipping()

    def stop_writing(self) -> None:
        """Give up the snapshot that is being taken or was put off."""
        self.is_put_off = False
        if self._writer is not None:
            self._writer.cancel()
            self._writer = None


def _feed_all(restorer: Restorer, chunks: Iterator[bytes]) -> None:
    """Put a snapshot into a machine at once; a chunk that the machine cannot read is damaged if the hash says so."""
    try:
        for chunk in chunks:
            restorer.feed(chunk)
    except Exception:
        for _ in chunks:
            pass
        raise
    restorer.finish()


class Installation:
    """A snapshot on its way in, piece by piece, in order."""

    def __init__(
        self,
        first: InstallSnapshot,
        receiver: SnapshotReceiver,
        restore: Callable[[SnapshotMeta], None],
        failed: Callable[[], None],
    ) -> None:
        self._identity = (first.index, first.index_term, first.size, first.sha256)
        self._size, self._sha256 = first.size, first.sha256
        self._receiver = receiver
        self._restore = restore
        self._failed = failed
        self._wanted = 0
        self._answer_when_free: Callable[[int], None] | None = None
        self.finishing = False

    def continues(self, piece: InstallSnapshot) -> bool:
        """Whether the piece belongs to this snapshot."""
        return self._identity == (piece.index, piece.index_term, piece.size, piece.sha256)

    def take(self, piece: InstallSnapshot, answer: Callable[[int], None]) -> None:
        """Take the piece if it is the next one; the last one begins the installation.

        `answer` gets the offset of the piece that is wanted now. While the disk is busy that is one which is here
        already, so that none is sent in vain; once it is not, the newest `answer` is called again.
        """
        receiver = self._receiver
        if piece.data and piece.offset == receiver.offset and not receiver.busy:
            receiver.write(piece.offset, piece.data, self._wrote)
            if receiver.offset == self._size:
                self.finishing = True
                receiver.finish(self._sha256, self._finished)
        self._answer_when_free = answer if receiver.busy else None
        if not receiver.busy:
            self._wanted = receiver.offset
        answer(self._wanted)

    def _wrote(self) -> None:
        answer, self._answer_when_free = self._answer_when_free, None
        if answer is not None:
            self._wanted = self._receiver.offset
            answer(self._wanted)

    def abort(self) -> None:
        """Another snapshot or entries took its place."""
        self._receiver.cancel()

    def _finished(self, outcome: SnapshotMeta | StorageError) -> None:
        if isinstance(outcome, StorageError):
            logger.warning("a snapshot arrived damaged and is asked for again: %s", outcome)
            self._failed()
        else:
            self._restore(outcome)
