"""Changing the members of a group of the library as shipped."""

from pathlib import Path

from pysyncobj.config import FAIL_REASON
from pysyncobj.node import Node

from tests.audit.stock.members import Group, Member, Outcomes, Result


def _change(member: Member, action: str, name: str) -> Outcomes:
    outcomes: Outcomes = []
    method = getattr(member.register, f"{action}NodeToCluster" if action == "add" else "removeNodeFromCluster")
    method(Node(name), callback=lambda result, reason: outcomes.append((result, reason)))
    member.tick()
    return outcomes


def _members(member: Member) -> list[str]:
    return sorted([member.name, *(node.id for node in member["otherNodes"])])


def before_an_entry_of_its_term(folder: Path) -> Result:
    """A leader whose first entry is not committed yet is asked for a change."""
    group = Group(folder, dynamicMembershipChange=True)
    a = group["a"]
    a["raftElectionDeadline"] = 0.0
    a.tick()
    a.receive("b", {"type": "response_vote", "term": a["raftCurrentTerm"]})
    group.mail.clear()
    outcomes = _change(a, "remove", "c")
    return {"leads": a.leads, "denied": outcomes == [(None, FAIL_REASON.REQUEST_DENIED)], "members": _members(a)}


def two_changes_at_once(folder: Path) -> Result:
    """A leader that is cut off removes both others. They elect a leader of their own."""
    group = Group(folder, dynamicMembershipChange=True)
    a = group.elect("a")
    changes = [_change(a, "remove", "b"), _change(a, "remove", "c")]
    alone = a.write(b"written alone")
    for _ in range(4):
        a.tick()
    group.mail.clear()
    b = group.elect("b", "b", "c")
    together = b.write(b"written together")
    group.beat("b", "c")
    return {"changes": changes, "alone": alone, "together": together, "a": a.commands, "b": b.commands}


def a_restart_after_a_change(folder: Path) -> Result:
    """A follower stores the entry that adds d, and starts again before it hears that it is committed."""
    group = Group(folder, dynamicMembershipChange=True)
    a, b = group.elect("a"), group["b"]
    _change(a, "add", "d")
    group.now += 0.2
    a.tick()
    group.deliver("a", "b")
    before = _members(b)
    b.restart()
    b.tick()
    return {"before": before, "after": _members(b), "entry is in the log": b.last_index == a.last_index}


def a_new_member_counts_at_once(folder: Path) -> Result:
    """A member that has nothing yet is added while one of three is down."""
    group = Group(folder, dynamicMembershipChange=True)
    a = group.elect("a")
    before = a.write(b"before")
    group.beat("a", "b")
    _change(a, "add", "d")
    after = a.write(b"after")
    group.beat("a", "b", times=50)
    return {"before": before, "after": after, "members": _members(a)}


def removing_the_leader(folder: Path) -> Result:
    group = Group(folder, dynamicMembershipChange=True)
    a = group.elect("a")
    outcomes = _change(a, "remove", "a")
    removed = _change(a, "remove", "c")
    group.beat("a", "b")
    return {
        "leader": outcomes == [(None, FAIL_REASON.REQUEST_DENIED)],
        "c": removed == [(None, FAIL_REASON.SUCCESS)],
        "members as c sees them": _members(group["c"]),
    }
