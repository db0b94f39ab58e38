"""Elections of the library as shipped."""

from pathlib import Path
from typing import Any

from tests.audit.ring import cut_to_a_ring
from tests.audit.stock.members import NEVER_S, Group, Result, made
from tests.simulation.history import History
from tests.simulation.stock import StockCluster
from tests.simulation.world import World

LOOK_EVERY_S = 0.5


def _ask(term: int, last_index: int = 1, last_term: int = 0) -> dict[str, Any]:
    return {"type": "request_vote", "term": term, "last_log_index": last_index, "last_log_term": last_term}


def _votes(group: Group) -> list[tuple[str, int]]:
    """Votes that were sent: to whom, in which term."""
    return [(to, message["term"]) for _, to, message in group.letters(kind="response_vote")]


def votes_after_a_restart(folder: Path) -> Result:
    group = Group(folder)
    b = group["b"]
    b.receive("a", _ask(7))
    votes = _votes(group)
    b.restart()
    b.receive("c", _ask(7))
    return {"votes": votes + _votes(group), "term": b["raftCurrentTerm"]}


def votes_after_a_power_cut(folder: Path) -> Result:
    group = Group(folder)
    b = group["b"]
    b.receive("a", _ask(7))
    votes = _votes(group)
    b.power_cut()
    term = b["raftCurrentTerm"]
    b.receive("c", _ask(7))
    return {"syncs": group.syncs, "votes": votes + _votes(group), "term after the cut": term}


def a_late_member(folder: Path, *, power_cut: bool = False) -> Result:
    """All stop; two come back and take a write; then the third, which had the highest term, comes back."""
    group = Group(folder)
    for name in ("a", "b", "c", "a"):
        group.elect(name)
    group["a"].write(b"old")
    group.beat()
    for name in "ab":
        (group[name].power_cut if power_cut else group[name].restart)()
    a = group.elect("a", "a", "b")
    outcomes = a.write(b"new")
    group.beat("a", "b")
    group["c"].restart()
    for member in group.members.values():
        member["raftElectionDeadline"] = NEVER_S
    group["c"]["raftElectionDeadline"] = 0.0
    group.beat(times=20)
    commands = {name: member.commands for name, member in group.members.items()}
    return {"acknowledged": outcomes, "commands": commands}


def a_late_member_after_a_power_cut(folder: Path) -> Result:
    return a_late_member(folder, power_cut=True)


def votes_by_log(folder: Path) -> Result:
    """Who gets the vote of a member whose log ends with (2, term 1), (3, term 2)?"""
    found = {}
    for last_term, last_index in ((1, 9), (2, 2), (2, 3), (3, 1)):
        group = Group(made(folder / f"{last_term}-{last_index}"))
        entries = [(b"\x01", 2, 1), (b"\x01", 3, 2)]
        b = group["b"]
        b.receive("a", _append(2, entries))
        group.forget()
        b.receive("c", _ask(5, last_index, last_term))
        found[f"{last_term}/{last_index}"] = bool(_votes(group))
    return found


def _append(term: int, entries: list[tuple[bytes, int, int]], prev: tuple[int, int] = (1, 0)) -> dict[str, Any]:
    message = {"type": "append_entries", "term": term, "commit_index": 1, "entries": entries}
    return message | {"prevLogIdx": prev[0], "prevLogTerm": prev[1]}


def _candidate_of_five(folder: Path) -> Group:
    group = Group(folder, 5)
    group["a"]["raftElectionDeadline"] = 0.0
    group["a"].tick()
    group.forget()
    return group


def one_voter_twice(folder: Path) -> Result:
    a = _candidate_of_five(folder)["a"]
    led = []
    for _ in range(2):
        a.receive("b", {"type": "response_vote", "term": a["raftCurrentTerm"]})
        led.append(a.leads)
    return {"leads of five": led}


def votes_of_strangers(folder: Path) -> Result:
    a = _candidate_of_five(folder)["a"]
    for stranger in ("x", "y"):
        a.receive(stranger, {"type": "response_vote", "term": a["raftCurrentTerm"]})
    return {"leads of five": a.leads}


def a_vote_against_a_leader_that_is_heard(folder: Path) -> Result:
    group = Group(folder)
    a = group.elect("a")
    for name in "ab":
        group[name].receive("c", _ask(50, 9, 9))
    return {"a still leads": a.leads, "terms": [group[name]["raftCurrentTerm"] for name in "ab"]}


def a_ring(_folder: Path) -> Result:
    """Of five members each hears only its two neighbours: enough for a leader. A minute later …"""
    world = World(1)
    cluster = StockCluster(world, 5, History())
    world.run_until(5.0)
    began = max(node.register.raftCurrentTerm for node in cluster.nodes.values())
    cut_to_a_ring(cluster.network)
    world.run_until(65.0)
    ended = max(node.register.raftCurrentTerm for node in cluster.nodes.values())
    cluster.close()
    return {"elections": ended - began}


def a_leader_without_quorum(folder: Path) -> Result:
    """How long does a leader that is cut off believe that it leads? Meanwhile the others elect one and write."""
    group = Group(folder)
    a = group.elect("a")
    a.write(b"old")
    group.beat()
    cut = group.now
    b = group.elect("b", "b", "c")
    b.write(b"new")
    group.beat("b", "c")
    written = group.now
    stale = None
    while a.leads:
        stale = a.commands
        group.now += LOOK_EVERY_S
        a.tick()
        group.forget()
    return {
        "new leader after": round(written - cut, 1),
        "stale until": round(group.now - cut, 1),
        "read at the old": stale,
        "read at the new": b.commands,
    }
