"""Nothing is acknowledged before it is durable: seen from outside, in the order of the system calls of real nodes.

Syncs are made slow on purpose, so that whoever does not wait for one is caught every time, not by chance.
"""

import os
import signal
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from raft.messages import RAFT, AppendReply, Packet
from raft.wal_format import Kind
from tests.e2e.cluster import LocalCluster, client, local_cluster, wait_until
from tests.e2e.strace import SystemCall, Trace, process_of, require_strace, traced
from wire.frame import NOTIFICATION, REPLY, FrameDecoder
from wire.messages import WriteReply

GROUP = 1
WRITES = 6
MAJORITY = 2
SYNC_DELAY_S = 0.05
FRAME_BYTES_MAX = 16 << 20
FILE_WRITES = {"pwrite64", "pwritev", "pwritev2"}
SOCKET_WRITES = {"write", "writev", "sendto", "sendmsg"}


class Write(msgspec.Struct, frozen=True):
    """A write that was acknowledged: the index of its entry, and when its client had the answer."""

    marker: str
    index: int
    answered_s: float


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    require_strace()
    with local_cluster(tmp_path_factory.mktemp("sync") / "data", "--groups", str(GROUP)) as cluster:
        cluster.start()
        yield cluster


def node_pids(cluster: LocalCluster) -> dict[str, int]:
    return {process.name: process.pid for process in cluster.processes() if process.role == "node" and process.pid}


def leader_of(cluster: LocalCluster) -> str:
    with client(cluster) as http:
        leaders: list[str] = []

        def is_led() -> bool:
            reply = http.send("GET", "/status")
            leaders[:] = [row["leader"] for row in reply.data["groups"] if row["leader"]] if reply.status == 200 else []
            return bool(leaders)

        wait_until(is_led, "the group has a leader")
    return leaders[0]


def write_some(cluster: LocalCluster, name: str) -> list[Write]:
    """A few writes, one after another."""
    written = []
    with client(cluster, 40) as http:
        for number in range(WRITES):
            marker = f"marker-{name}-{number}."
            body, headers = {"value": marker}, {"X-Concord-Timeout-Ms": "30000"}
            reply = http.send("PUT", f"/kv/{name}-{number}", body, headers)
            answered_s = time.time()
            assert reply.status == 200, reply
            written.append(Write(marker, int(reply.headers["etag"].strip('"')), answered_s))
    return written


class Node:
    """The calls of one node, and what they say about an entry."""

    def __init__(self, calls: Sequence[SystemCall]) -> None:
        self._files = [call for call in calls if call.name in FILE_WRITES]
        self._syncs = [call for call in calls if call.name == "fdatasync"]
        self._sent = [
            (call.began_s, frame)
            for call in calls
            if call.name in SOCKET_WRITES
            for frame in FrameDecoder(FRAME_BYTES_MAX).receive(call.data)
        ]

    def durable_s(self, write: Write) -> float:
        """When the first sync ended that began after the entry had been written to the log; infinite if none did."""
        record = struct.pack("<BIQ", Kind.APPEND, GROUP, write.index)
        wrote = [call for call in self._files if record in call.data and write.marker.encode() in call.data]
        if not wrote:
            return float("inf")
        log, written_s = wrote[0].descriptor, wrote[0].ended_s
        return min(
            (sync.ended_s for sync in self._syncs if sync.descriptor == log and sync.began_s >= written_s),
            default=float("inf"),
        )

    def promised_s(self, write: Write) -> float:
        """When this follower began to tell the leader that it has the entry; infinite if it did not."""
        for began_s, frame in self._sent:
            if frame.kind == NOTIFICATION and frame.number == RAFT.number:
                for addressed in msgspec.msgpack.decode(frame.payload, type=Packet).messages:
                    said = addressed.message
                    if (
                        addressed.group == GROUP
                        and isinstance(said, AppendReply)
                        and said.success
                        and said.match_index >= write.index
                    ):
                        return began_s
        return float("inf")

    def answered_s(self, write: Write) -> float:
        """When this leader began to answer the gateway; infinite if it did not."""
        for began_s, frame in self._sent:
            if frame.kind == REPLY and _revision(bytes(frame.payload)) == write.index:
                return began_s
        return float("inf")


def _revision(payload: bytes) -> int:
    """The revision of a reply to a write, 0 when it is one to something else."""
    try:
        reply = msgspec.msgpack.decode(payload, type=WriteReply)
    except msgspec.DecodeError:
        return 0
    return reply.revision if reply.results else 0


def nodes_of(traces: Sequence[Trace]) -> list[Node]:
    calls: dict[int, list[SystemCall]] = {}
    for trace in traces:
        for call in trace.calls():
            calls.setdefault(process_of(call.thread), []).append(call)
    return [Node(of_process) for of_process in calls.values()]


def check(nodes: Sequence[Node], written: Sequence[Write]) -> None:
    """Each node promised, the leader answered and the client heard no earlier than the syncs that this rests on."""
    for write in written:
        durable_s = sorted(node.durable_s(write) for node in nodes)
        quorum_s = durable_s[MAJORITY - 1]
        answers_s = [node.answered_s(write) for node in nodes]
        assert min(answers_s) < float("inf"), f"{write}: the leader's answer was not seen"
        assert quorum_s <= min(answers_s), f"{write}: answered before a majority was durable {durable_s} {answers_s}"
        assert quorum_s <= write.answered_s, f"{write}: acknowledged before a majority was durable {durable_s}"
        promises = [(node.durable_s(write), node.promised_s(write)) for node in nodes]
        assert any(promised_s < write.answered_s for _, promised_s in promises), f"{write}: no follower promised"
        for own_durable_s, promised_s in promises:
            assert own_durable_s <= promised_s, f"{write}: promised before it was durable {promises}"


def test_followers_promise_an_entry_after_their_sync_that_covers_it(cluster: LocalCluster, tmp_path: Path) -> None:
    leader = leader_of(cluster)
    pids = node_pids(cluster)
    others = [pid for name, pid in pids.items() if name != leader]
    traces = [
        Trace([pids[leader]], tmp_path / "leader"),
        Trace(others, tmp_path / "followers", sync_delay_s=SYNC_DELAY_S),
    ]
    with traced(traces):
        written = write_some(cluster, "followers")
    check(nodes_of(traces), written)


def test_a_leader_counts_itself_after_its_own_sync(cluster: LocalCluster, tmp_path: Path) -> None:
    """One follower is stopped, so that the leader's own disk is needed for a majority; and that disk is slow."""
    leader = leader_of(cluster)
    pids = node_pids(cluster)
    stopped, follower = (pid for name, pid in pids.items() if name != leader)
    os.kill(stopped, signal.SIGSTOP)
    try:
        traces = [
            Trace([pids[leader]], tmp_path / "leader", sync_delay_s=SYNC_DELAY_S),
            Trace([follower], tmp_path / "follower"),
        ]
        with traced(traces):
            written = write_some(cluster, "leader")
        check(nodes_of(traces), written)
    finally:
        os.kill(stopped, signal.SIGCONT)
