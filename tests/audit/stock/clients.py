"""What clients and the state machine of the library as shipped get to see."""

import fcntl
import time
from pathlib import Path
from typing import Any, NoReturn

from pysyncobj.batteries import _ReplLockManagerImpl
from pysyncobj.config import FAIL_REASON

from tests.audit.stock.members import HEARTBEAT_S, Group, Member, Result, dumps


def _everyone(group: Group) -> dict[str, list[str]]:
    return {name: member.commands for name, member in group.members.items()}


def a_forwarded_command_on_a_lost_connection(folder: Path) -> Result:
    """A follower's client waits for five minutes."""
    group = Group(folder)
    group.elect("a")
    outcomes = group["b"].write(b"x")
    group["b"].tick()
    group.mail.clear()
    group.beat(times=3000)
    return {"minutes": round(3000 * HEARTBEAT_S / 60), "outcomes": outcomes, "everywhere": _everyone(group)}


def a_retry(folder: Path) -> Result:
    """A follower's client is told that the leader changed, and tries again."""
    group = Group(folder)
    group.elect("a")
    outcomes = group["b"].write(b"pay 5")
    group["b"].tick()
    group.deliver("b", "a")
    a = group["a"]
    a.tick()
    group.forget("a", "b", "apply_command_response")
    group.now += HEARTBEAT_S * 1.01
    a.tick()
    group.deliver("a", "c")  # c has the entry, b has not heard of it
    group.mail.clear()
    group.elect("c", "b", "c")
    told = list(outcomes)
    outcomes += group["b"].write(b"pay 5")
    group.beat("b", "c", times=8)
    return {"told": told, "b": group["b"].commands}


def a_request_number_used_again(folder: Path) -> Result:
    """A follower forwards a command, starts again and forwards another, which is lost: both have number 1."""
    group = Group(folder)
    a, b = group.elect("a"), group["b"]
    b.write(b"of the first process")
    b.tick()
    group.deliver("b", "a")
    b.restart()
    group.now += HEARTBEAT_S * 1.01
    a.tick()
    group.deliver("a", "b", "append_entries")
    outcomes = b.write(b"of the second")
    b.tick()
    group.forget("b", "a", "apply_command")
    group.deliver("a", "b", "apply_command_response")
    group.beat()
    return {"outcomes of the second": outcomes, "b": b.commands}


def an_exception_of_the_machine(folder: Path) -> Result:
    group = Group(folder)
    a = group.elect("a")
    failing, after = a.write(b"poison", method="poison"), a.write(b"x")
    group.beat(times=20)
    for member in group.members.values():
        member.restart()
    group.elect("a")
    later = a.write(b"y")
    group.beat(times=20)
    applied = [command for command in a.commands if command != "poison"]
    return {"outcomes": [failing, after, later], "applied": applied, "tried again": len(a.commands) > 10}


def an_exception_of_a_caller(folder: Path) -> Result:
    group = Group(folder)
    a = group.elect("a")

    def refuse_to_listen(_result: object, _reason: int) -> NoReturn:
        raise RuntimeError("the loop is closed")

    a.register.append(b"x", callback=refuse_to_listen)
    group.beat(times=6)
    return _everyone(group)


def an_unknown_version(folder: Path) -> Result:
    """An entry wants a version of the code that this member does not have; two commands follow."""
    group = Group(folder)
    b = group["b"]
    append = b"\x00" + dumps((b.register._methodToID["append_v0"], (b"x",)))
    entries = [(b"\x03" + dumps(5), 2, 1), (append, 3, 1)]
    message = {"type": "append_entries", "term": 1, "commit_index": 3, "entries": entries}
    b.receive("a", message | {"prevLogIdx": 1, "prevLogTerm": 0})
    for _ in range(4):
        b.tick()
    return {"sent": 1, "applied": len(b.commands)}


def no_wall_clock(folder: Path) -> Result:
    """The wall clock cannot be read at all."""

    def gone() -> NoReturn:
        raise AssertionError("the wall clock was read")

    time.time = gone
    group = Group(folder)
    outcomes = group.elect("a").write(b"x")
    group.beat()
    errors = [error for member in group.members.values() for error in member.errors]
    return {"outcomes": outcomes, "errors": errors}


def a_lock_under_a_wrong_clock(_folder: Path) -> Result:
    """The client that holds a lock prolonged it just now; another, whose clock is a minute ahead, wants it."""
    locks = _ReplLockManagerImpl(autoUnlockTime=30)
    now = 1_000_000.0
    held = locks.acquire("lock", "first", now, _doApply=True)
    locks.prolongate("first", now, _doApply=True)
    taken = locks.acquire("lock", "second", now + 60, _doApply=True)
    return {"first": held, "second": taken}


def a_command_after_an_exception(folder: Path) -> Result:
    """Commands are handed in faster than the library ticks, until handing one in raises. What became of that one?"""
    group = Group(folder, 1, appendEntriesUseBatch=False, commandsQueueSize=0)
    a = group.elect("a")
    fcntl.fcntl(a["pipeNotifier"]._PipeNotifier__pipeW, fcntl.F_SETPIPE_SZ, 4096)  # the sooner it is full
    handed_in = 0
    while True:
        handed_in += 1
        try:
            a.register.append(b"%d" % handed_in)
        except BlockingIOError:
            break
    for _ in range(50):
        group.beat(times=20)
        if len(a.commands) == handed_in:
            break
    return {"raised": "BlockingIOError", "applied all the same": a.commands[-1] == str(handed_in)}


def bytes_that_wait(folder: Path) -> Result:
    """A hundred commands of a MiB each, and no tick."""
    a = Group(folder, 1).elect("a")
    outcomes = a.write(*[b"x" * (1 << 20)] * 100)
    return {"refused": len(outcomes), "MiB waiting": _waiting_bytes(a) >> 20}


def _waiting_bytes(member: Member) -> int:
    queue: Any = member["commandsQueue"]
    return sum(len(command) for command, _callback in queue._FastQueue__queue)


def a_command_without_a_leader(folder: Path) -> Result:
    """A member that hears nobody takes a command; an hour later there is a leader."""
    group = Group(folder)
    outcomes = group["b"].write(b"an hour old")
    for _ in range(3600):
        group.now += 1.0
        group["b"].tick()
        group["b"]["raftElectionDeadline"] = group.now + 10.0
    told = list(outcomes)
    group.elect("a")
    group.beat()
    return {"told within an hour": told, "then": outcomes == [(1, FAIL_REASON.SUCCESS)], "b": group["b"].commands}
