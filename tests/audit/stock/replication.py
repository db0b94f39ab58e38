"""Replication by the library as shipped."""

import random
import socket
from pathlib import Path
from typing import Any

from pysyncobj.poller import createPoller
from pysyncobj.tcp_connection import TcpConnection

from tests.audit.stock.members import HEARTBEAT_S, Group, Result, made


def _append(term: int, prev: tuple[int, int], *entries: tuple[bytes, int, int], commit: int = 1) -> dict[str, Any]:
    message = {"type": "append_entries", "term": term, "commit_index": commit, "entries": list(entries)}
    return message | {"prevLogIdx": prev[0], "prevLogTerm": prev[1]}


def old_acknowledgements(folder: Path) -> Result:
    """Acknowledgements of a former term arrive when their receiver leads again."""
    group = Group(folder)
    a = group.elect("a")
    a.write(*[b"lost %d" % number for number in range(3)])
    a.tick()
    group.now += HEARTBEAT_S * 1.01
    a.tick()
    group.deliver("a")
    late, kept = group.letters(to="a", kind="next_node_idx"), {name: group[name].last_index for name in "bc"}
    group.mail.clear()
    a.receive("c", _append(5, (2, 1), commit=2))  # the leader of term 5 has nothing after index 2
    a["raftElectionDeadline"] = 0.0
    a.tick()
    a.receive("b", {"type": "response_vote", "term": a["raftCurrentTerm"]})
    group.mail.clear()
    outcomes = a.write(b"nobody else has it")
    a.tick()
    group.mail.clear()
    for sender, _, message in late:
        a.receive(sender, message)
    a.tick()
    return {"sent by": [sender for sender, _, _ in late], "others end at": kept, "outcomes": outcomes, "a": a.commands}


def fields_of_an_answer(folder: Path) -> Result:
    """What the acknowledgements of a follower say about the term in which they were given."""
    group = Group(folder)
    group.elect("a")
    group.now += HEARTBEAT_S * 1.01
    group["a"].tick()
    group.deliver("a")
    return {"fields": sorted(group.letters(kind="next_node_idx")[0][2])}


def entries_of_a_former_term(folder: Path) -> Result:
    """What a leader of term 2 commits when others acknowledge its entries 2 and 3 of term 1, and then 4, its own."""
    group = Group(folder)
    for name in "ab":
        group[name].receive("c", _append(1, (1, 0), (b"\x01", 2, 1), (b"\x01", 3, 1)))
    group.mail.clear()
    a = group["a"]
    a["raftElectionDeadline"] = 0.0
    a.tick()
    a.receive("b", {"type": "response_vote", "term": a["raftCurrentTerm"]})
    found = {"terms": a.terms, "committed": []}
    for match in (2, 3, 4):
        a.receive("b", {"type": "next_node_idx", "next_node_idx": match + 1, "reset": False, "success": True})
        a.tick()
        found["committed"].append(a.register.raftCommitIndex)
    return found


def entries_sent_twice(folder: Path) -> Result:
    """Two heartbeats are on their way to a follower that lags, on a network that loses nothing and keeps order."""
    group = Group(folder, appendEntriesBatchSizeBytes=200)
    a, b = group.elect("a"), group["b"]
    outcomes = a.write(*[b"%040d" % number for number in range(20)])
    a.tick()
    group.now += HEARTBEAT_S * 1.01
    a.tick()
    group.mail.clear()  # b and c do not get them
    for _ in range(2):
        group.now += HEARTBEAT_S * 1.01
        a.tick()
    group.deliver("a", "b")
    resets = group.letters("b", "a")
    group.mail.clear()
    for sender, _, message in resets:
        a.receive(sender, message)
        group.now += HEARTBEAT_S * 1.01
        a.tick()
    first, second = _halves(group.letters("a", "b"))
    for message in first:
        b.receive("a", message)
    group.deliver("b", "a")
    a.tick()
    acknowledged, had = len(outcomes), b.last_index
    b.receive("a", second[0])
    left = b.last_index
    group.mail.clear()
    group.elect("b", "b", "c")  # a is gone for good
    group.beat("b", "c", times=20)
    return {"acknowledged": acknowledged, "had": had, "left": left, "on the new leader": len(group["b"].commands)}


def _halves(letters: list[tuple[str, str, dict[str, Any]]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    messages = [message for _, _, message in letters]
    begins = [at for at, message in enumerate(messages) if message["prevLogIdx"] == messages[0]["prevLogIdx"]]
    return messages[: begins[1]], messages[begins[1] :]


def a_deposed_leader_gets_a_snapshot(folder: Path) -> Result:
    """It wrote five commands that nobody else has; meanwhile the others elected a leader, wrote and compacted."""
    group = Group(folder, logCompactionBatchSize=64)
    a = group.elect("a")
    outcomes = a.write(*[b"lost %d" % number for number in range(5)])
    a.tick()
    group.mail.clear()
    b = group.elect("b", "b", "c")
    b.write(*[b"kept %d" % number for number in range(20)])
    group.beat("b", "c")
    b.compact()
    b.tick()
    b["raftNextIndex"][b.nodes["a"]] = 2
    group.now += HEARTBEAT_S * 1.01
    b.tick()
    pieces = group.letters("b", "a")
    group.mail.clear()
    a.receive("b", pieces[0][2])
    a.tick()
    return {"pieces": len(pieces) > 1, "outcomes": outcomes, "a": a.commands, "on the leader": b.commands[:1]}


def a_tail_in_conflict(folder: Path) -> Result:
    """On a network without delay: heartbeats until a follower with 50 entries that lost has caught up."""
    group = Group(folder)
    c = group.elect("c")
    c.write(*[b"lost %d" % number for number in range(50)])
    c.tick()
    group.mail.clear()
    a = group.elect("a", "a", "b")
    a.write(*[b"kept %d" % number for number in range(60)])
    group.beat("a", "b")
    beats = 0
    while c.commands != a.commands:
        beats += 1
        group.now += HEARTBEAT_S * 1.01
        a.tick()
        while group.mail:
            group.deliver()
        c.tick()
    return {"heartbeats": beats}


def big_entries(folder: Path) -> Result:
    """Commands about as long as a batch: which sizes make the follower raise?"""
    raised = []
    for size in range(400, 1200, 10):
        group = Group(made(folder / str(size)), 2, appendEntriesBatchSizeBytes=256)
        a, b = group.elect("a"), group["b"]
        a.write(b"x" * size)
        group.beat()
        if b.errors:
            raised.append(size)
    return {"sizes": 80, "raised": len(raised)}


def a_peer_that_does_not_read(_folder: Path) -> Result:
    """How much waits in memory for one peer."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection = TcpConnection(createPoller("poll"), socket=ours)
    for _ in range(4):
        connection.send(random.randbytes(1 << 20))
    waiting = connection.getSendBufferSize()
    theirs.close()
    return {"MiB waiting": waiting >> 20}
