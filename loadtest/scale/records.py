"""What was measured, as it is kept in docs/scale.json: one record for each turn of a part."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from loadtest.figures import Latencies, percentile


class Origin(msgspec.Struct, frozen=True):
    """Where a record comes from: see loadtest.provenance; `sync_ms` is the median of an fdatasync of 4 KiB, `command` what was run."""

    commit: str
    date: str
    command: str
    versions: str
    machine: str
    filesystem: str
    sync_ms: float
    load: float


class Loaded(msgspec.Struct, frozen=True, tag="load"):
    """An operation on a cluster of so many groups and nodes, paced and in a closed loop of 64 connections.

    Attributes:
        part: `groups` or `nodes`: which question it answers.
        groups: how many data groups there were.
        nodes: how many nodes.
        operation: `put` or `get`.
        offered_per_s: requests that were due in a second of the paced load, the same for every size.
        paced: times from when requests were due, those that succeeded.
        unserved: paced requests that were refused, failed, or not sent as no connection was free.
        paced_cpu_us: CPU time of gateway and nodes for each request of the paced load.
        closed_per_s: answers a second of the closed loop.
        closed_p99_ms: of its requests.
        closed_cpu_us: CPU time of gateway and nodes for each of them.
    """

    part: str
    groups: int
    nodes: int
    operation: str
    offered_per_s: float
    paced: Latencies
    unserved: int
    paced_cpu_us: float
    closed_per_s: float
    closed_p99_ms: float
    closed_cpu_us: float


class Idle(msgspec.Struct, frozen=True, tag="idle"):
    """A cluster that nobody asks.

    Attributes:
        groups: how many.
        nodes: how many.
        seconds: over which it was watched.
        floor: part of a core that an event loop takes which wakes 40 times a second and does nothing.
        node_shares: part of a core that each node takes.
        gateway_share: and the gateway.
        node_memory_bytes: resident memory of each node.
        ready_s: from the start until every group had a settled leader.
    """

    groups: int
    nodes: int
    seconds: float
    floor: float
    node_shares: list[float]
    gateway_share: float
    node_memory_bytes: list[int]
    ready_s: float


class Snapshot(msgspec.Struct, frozen=True):
    """One snapshot of a group as a node told of it: when it ended (time.time), how long it took, how large it was."""

    node: str
    group: int
    ended_s: float
    took_s: float
    size_bytes: int


class Stalls(msgspec.Struct, frozen=True):
    """Requests under full load, apart by whether a snapshot was being taken anywhere while they were under way."""

    before: Latencies
    during: Latencies
    failed: int


class Keys(msgspec.Struct, frozen=True, tag="keys"):
    """So many keys of 100 bytes.

    Attributes:
        keys: how many.
        groups: and groups that they are in.
        nodes: how many; each holds all keys when there are 3.
        empty_bytes: memory of each node before.
        loaded_bytes: once the keys are there, with a log that is nearly long enough for a snapshot.
        settled_bytes: after the snapshots.
        peak_bytes: the most that each node ever had.
        load_per_s: keys put in a second, 500 a request.
        page_ms: a page of 1,000 keys from anywhere in the list.
        page_with_values_ms: and with values.
        snapshots: all that were taken under the load.
        single: single puts of the full load, over 64 connections.
        paced: a get every 5 ms beside them, timed from when it was due.
        restart_long_log_s: a node after SIGKILL until it has applied all that was committed, just before the snapshots.
        restart_s: the same after them.
    """

    keys: int
    groups: int
    nodes: int
    empty_bytes: list[int]
    loaded_bytes: list[int]
    settled_bytes: list[int]
    peak_bytes: list[int]
    load_per_s: float
    page_ms: Latencies
    page_with_values_ms: Latencies
    snapshots: list[Snapshot]
    single: Stalls
    paced: Stalls
    restart_long_log_s: float
    restart_s: float

    @property
    def bytes_per_key(self) -> float:
        """What a key takes on a node, everything that comes with it included, after the snapshots."""
        grown = [after - before for after, before in zip(self.settled_bytes, self.empty_bytes, strict=True)]
        return percentile(grown, 0.5) / self.keys


Figures: TypeAlias = Loaded | Idle | Keys


class Record(msgspec.Struct, frozen=True):
    """Figures and where they come from."""

    origin: Origin
    figures: Figures

    @property
    def part(self) -> str:
        """Which part of the program measured it."""
        if isinstance(self.figures, Loaded):
            return self.figures.part
        return "idle" if isinstance(self.figures, Idle) else "keys"


def read(path: Path) -> list[Record]:
    """What is kept, nothing when there is no file."""
    return msgspec.json.decode(path.read_bytes(), type=list[Record]) if path.exists() else []


def write(path: Path, records: Sequence[Record]) -> None:
    """Keep these, a line each, so that a diff shows what was measured anew."""
    lines = ",\n".join(msgspec.json.encode(record).decode() for record in records)
    path.write_text(f"[\n{lines}\n]\n")


def merged(old: Sequence[Record], new: Sequence[Record], *, more: bool) -> list[Record]:
    """Old and new ones; a new one takes the place of the old ones of the same part and size, unless it is one round more."""
    fresh = {_size(record) for record in new}
    kept = [record for record in old if more or _size(record) not in fresh]
    return sorted([*kept, *new], key=_size)


def _size(record: Record) -> tuple[str, int, int, int]:
    found = record.figures
    keys = found.keys if isinstance(found, Keys) else 0
    return record.part, keys, found.nodes, found.groups
