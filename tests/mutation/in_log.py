"""Mistakes in the write-ahead log: what is written, synced, announced, read back, deleted."""

from functools import partial

from tests.mutation.mistake import Mistake

_in_writer = partial(Mistake, module="raft.wal_writer")
_in_wal = partial(Mistake, module="raft.wal")
_in_journal = partial(Mistake, module="raft.journal")
_in_host = partial(Mistake, module="raft.host")
_in_replay = partial(Mistake, module="raft.wal_replay")
_in_recovery = partial(Mistake, module="raft.wal_recovery")
_in_live = partial(Mistake, module="raft.wal_live")

LOG = (
    _in_writer(
        name="skip-the-sync",
        right="        if self._sync:\n            file.sync()\n        self._number += 1\n",
        wrong="        self._number += 1\n",
        breaks="a batch is synced before it counts",
    ),
    _in_writer(
        name="skip-the-sync-of-a-new-segments-name",
        right="        self._disk.rename(temporary, path)\n        if self._sync:\n            self._disk.sync_dir(WAL_DIRECTORY)\n",
        wrong="        self._disk.rename(temporary, path)\n",
        breaks="a new segment's name is durable before its content counts",
    ),
    _in_wal(
        name="durable-while-being-written",
        right="""        self._running = True
        records, notes, lsn""",
        wrong="""        self._running = True
        self.durable = self.written
        records, notes, lsn""",
        breaks="what is on its way to the disk is not durable",
    ),
    _in_wal(
        name="durable-up-to-what-gathers",
        right="        self.durable = lsn\n",
        wrong="        self.durable = lsn = self.written\n",
        breaks="a sync covers what was written before it began",
    ),
    _in_wal(
        name="ignore-write-errors",
        right=(
            "        if isinstance(result, BaseException):\n            self._check(result)\n            return\n"
            "        self.figures.sync.observe(result)\n        self.durable"
        ),
        wrong="        self.durable",
        breaks="an error of the disk ends the process",
    ),
    _in_wal(
        name="compact-without-hard-state",
        right='        self._gather(Kind.COMPACT, group, index, term, b"")\n        return self._repeat_hard_state(group, head)\n',
        wrong='        _ = head\n        return self._gather(Kind.COMPACT, group, index, term, b"")\n',
        breaks="term and vote move forward with the log",
    ),
    _in_host(
        name="let-all-promises-go",
        right="            while self._held and self._held[0][0] <= lsn:\n",
        wrong="            while self._held:\n",
        breaks="a promise waits for the sync that covers it",
    ),
    _in_host(
        name="let-the-last-promise-go-early",
        right="        if barrier <= self.wal.durable:\n",
        wrong="        if barrier <= self.wal.durable + 1:\n",
        breaks="a promise waits for the sync of the very last record",
    ),
    _in_journal(
        name="durable-one-too-many",
        right="        while unsynced and unsynced[0][0] <= lsn:\n",
        wrong="        while unsynced and unsynced[0][0] <= lsn + 1:\n",
        breaks="an entry is durable once its own record is",
    ),
    _in_journal(
        name="truncated-entries-stay-durable",
        right="        self.durable_index = min(self.durable_index, index - 1)\n",
        wrong="",
        breaks="an entry that took a dropped one's place is not durable yet",
    ),
    _in_journal(
        name="truncated-entries-become-durable",
        right="        while self.unsynced and self.unsynced[-1][1] >= index:\n            self.unsynced.pop()\n",
        wrong="",
        breaks="the sync of a dropped entry says nothing of the one in its place",
    ),
    _in_replay(
        name="replay-no-truncation",
        right="        _cut(group.entries, record.index)\n        self._last[record.group] = record.index - 1\n",
        wrong="        self._last[record.group] = record.index - 1\n",
        breaks="dropped entries do not come back after a restart",
    ),
    _in_replay(
        name="replay-no-vote",
        right="        group.voted_for = record.payload.decode()\n",
        wrong="",
        breaks="a vote survives a restart",
    ),
    _in_replay(
        name="replay-no-term",
        right="        group.term = record.term\n",
        wrong="",
        breaks="the term survives a restart",
    ),
    _in_recovery(
        name="cut-anything",
        right="        if not looks_torn(data, position, header):\n",
        wrong="        if False:\n",
        breaks="a damaged batch is not taken for one that was being written",
    ),
    _in_recovery(
        name="cut-in-the-middle",
        right="        later = self._good_header_after(data, position)\n",
        wrong="        later = None\n",
        breaks="a damaged batch with good ones after it is corruption",
    ),
    _in_recovery(
        name="accept-any-next-batch",
        right="follows = header.number == self._number + 1 and header.previous == self._crc",
        wrong="follows = True",
        breaks="batches are chained",
    ),
    _in_recovery(
        name="act-on-what-is-only-cached",
        right="        if not sync:\n            return\n        for sequence in self._sizes:\n",
        wrong="        if sync:\n            return\n        for sequence in self._sizes:\n",
        breaks="what was read at start is synced before it is acted upon",
    ),
    Mistake(
        name="believe-every-body",
        module="raft.wal_format",
        right="    return zlib.crc32(body, header.previous) == header.body_crc\n",
        wrong="    return bool(body)\n",
        breaks="a batch's checksum is checked",
    ),
    _in_live(
        name="forget-where-the-vote-is",
        right="            pins.hard = segment\n",
        wrong="            pins.hard = None\n",
        breaks="a segment with a group's newest term and vote is kept",
    ),
    _in_live(
        name="delete-one-segment-too-many",
        right="        while self._floor < active and not self._needing.get(self._floor):\n            self._needing.pop(self._floor, None)\n            self._floor += 1\n        return self._floor\n",
        wrong="        while self._floor < active and not self._needing.get(self._floor):\n            self._needing.pop(self._floor, None)\n            self._floor += 1\n        return min(active, self._floor + 1)\n",
        breaks="a segment that somebody needs is kept",
    ),
    Mistake(
        name="write-over-the-last-batch",
        module="raft.wal_space",
        right="        offset = self._used\n        self._used += size\n",
        wrong="        offset = self._used\n        self._used += size // 2\n",
        breaks="batches do not overlap",
    ),
    Mistake(
        name="rename-before-sync",
        module="raft.sealed",
        right="        file.pwrite(0, [content])\n        file.sync()\n",
        wrong="        file.pwrite(0, [content])\n",
        breaks="a small file is replaced durably",
    ),
    Mistake(
        name="hear-a-wiped-node",
        module="raft.peers",
        right="        return known == incarnation\n",
        wrong="        return True\n",
        breaks="a node that lost its disk is not heard under its old id",
    ),
)
