"""Mistakes in taking, shipping and installing snapshots."""

from functools import partial

from tests.mutation.mistake import Mistake

_in_replica = partial(Mistake, module="raft.replica")
_in_shelf = partial(Mistake, module="raft.snapshotting")
_in_files = partial(Mistake, module="raft.snapshot_files")
_in_progress = partial(Mistake, module="raft.progress")

SNAPSHOTS = (
    _in_files(
        name="snapshot-without-sync",
        right="        file.sync()\n        meta = inspect",
        wrong="        meta = inspect",
        breaks="a snapshot is durable before the log before it goes",
    ),
    _in_files(
        name="snapshot-without-durable-name",
        right="        self._disk.rename(self._temporary, self._path)\n        self._disk.sync_dir(group_directory(self._of[0]))\n",
        wrong="        self._disk.rename(self._temporary, self._path)\n",
        breaks="a snapshot's name is durable before the log before it goes",
    ),
    _in_files(
        name="snapshot-unchecked",
        right="""        if meta.sha256 != sha256:
            raise corrupt(self._temporary, "its hash is not the announced one")
        for _ in read_chunks(self._disk, self._temporary, meta):
            pass
""",
        wrong="",
        breaks="a received snapshot is verified before it counts",
    ),
    _in_files(
        name="oldest-snapshot-at-start",
        right="        newest = max(newest, found) if newest else found\n",
        wrong="        newest = min(newest, found) if newest else found\n",
        breaks="the newest snapshot is taken at start",
    ),
    _in_files(
        name="delete-the-newest-snapshot",
        right="(keep is None or found < keep)]",
        wrong="(keep is None or found <= keep)]",
        breaks="the newest snapshot stays",
    ),
    _in_shelf(
        name="compact-one-too-many",
        right="            self._owner.journal.compact_to(self._compaction_point(meta.index))\n",
        wrong="            self._owner.journal.compact_to(min(meta.index + 1, self._owner.journal.last_index))\n",
        breaks="only what a durable snapshot holds leaves the log",
    ),
    _in_shelf(
        name="compact-when-a-snapshot-begins",
        right="        self._writer = self._store.write(\n",
        wrong="        self._owner.journal.compact_to(applied)\n        self._writer = self._store.write(\n",
        breaks="the log stays until its snapshot is durable",
    ),
    _in_shelf(
        name="keep-a-log-that-does-not-fit",
        right="            journal.reset(meta.index, meta.term)  #",
        wrong="            journal.reset(meta.index - 1, meta.term)  #",
        breaks="after a crash between snapshot and log the log goes on from the snapshot",
    ),
    _in_shelf(
        name="restore-half-a-snapshot",
        right="        restorer.finish()\n        self._meta = meta\n",
        wrong="        self._meta = meta\n",
        breaks="an installed snapshot is in the machine before it counts",
    ),
    _in_shelf(
        name="drop-pieces-when-busy",
        right="        self._answer_when_free = answer if receiver.busy else None\n",
        wrong="        self._answer_when_free = None\n",
        breaks="a follower whose disk was busy asks for more by itself",
    ),
    _in_shelf(
        name="ask-for-more-while-busy",
        right="        if not receiver.busy:\n            self._wanted = receiver.offset\n",
        wrong="        self._wanted = receiver.offset\n",
        breaks="a follower whose disk is busy asks for nothing that it would have to drop",
    ),
    _in_progress(
        name="multiply-pieces",
        right="        if not self._began_at < offset < self.size:\n",
        wrong="        if not offset < self.size:\n",
        breaks="an answer that comes twice calls for one piece",
    ),
    _in_progress(
        name="never-send-a-piece-again",
        right="        stuck = self._wanted == self._wanted_before and self._wanted < self.size\n",
        wrong="        stuck = False\n",
        breaks="a lost piece is sent again",
    ),
    _in_replica(
        name="install-over-a-longer-log",
        right="        if self._has(message.index, message.index_term):\n",
        wrong="        if False:\n",
        breaks="a snapshot does not replace a log that goes on from it",
    ),
    _in_replica(
        name="append-while-restoring",
        right="        if self._installation_finishing or (message.entries and self._takes_no_entries):\n",
        wrong="        if message.entries and self._takes_no_entries:\n",
        breaks="nothing is added to a log that is about to be replaced",
    ),
    _in_replica(
        name="campaign-while-restoring",
        right="        if self._installation_finishing or self._around.log_stalled or self.is_fenced:\n",
        wrong="        if self._around.log_stalled or self.is_fenced:\n",
        breaks="a member without a state does not campaign",
    ),
    _in_replica(
        name="keep-the-log-after-installing",
        right="        self._log.reset(index, term)\n        self.last_applied = index\n",
        wrong="        self.last_applied = index\n",
        breaks="an installed snapshot takes the log's place",
    ),
    _in_replica(
        name="forget-what-was-installed",
        right="        self._log.reset(index, term)\n        self.last_applied = index\n",
        wrong="        self._log.reset(index, term)\n",
        breaks="applying goes on after the installed snapshot",
    ),
    _in_replica(
        name="late-answers-in-a-new-term",
        right="        if piece.term == self.current_term:\n            self._send(to, InstallReply(piece.term,",
        wrong="        if piece:\n            self._send(to, InstallReply(self.current_term,",
        breaks="a late answer to a piece counts for no later leadership",
    ),
)
