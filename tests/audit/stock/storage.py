"""What the library as shipped keeps on its disk."""

import os
import shutil
from pathlib import Path

from pysyncobj.journal import FileJournal

from tests.audit.stock.members import HEARTBEAT_S, Gate, Group, Member, Result, made

COMMANDS = [b"%d" % number for number in range(50)]


def _alone(folder: Path, commands: list[bytes] = COMMANDS, size: int = 1, **settings: object) -> tuple[Group, Member]:
    """A group whose leader a has acknowledged the commands."""
    group = Group(made(folder), size, **settings)
    a = group.elect("a")
    outcomes = a.write(*commands)
    group.beat()
    assert len(outcomes) == len(commands)
    return group, a


def _journal(folder: Path) -> FileJournal:
    return FileJournal(str(made(folder) / "journal"))


def fifty_acknowledgements(folder: Path) -> Result:
    group, _ = _alone(folder, size=3)
    return {"acknowledged": len(COMMANDS), "syncs": group.syncs}


def a_power_cut(folder: Path) -> Result:
    group, _ = _alone(folder, size=3)
    for member in group.members.values():
        member.power_cut()
    group.elect("a")
    group.beat()
    return {"acknowledged": len(COMMANDS), "left": [len(member.commands) for member in group.members.values()]}


def a_crash_of_every_process(folder: Path) -> Result:
    group, _ = _alone(folder, size=3)
    for member in group.members.values():
        member.restart()
    group.elect("a")
    group.beat()
    return {"acknowledged": len(COMMANDS), "left": [len(member.commands) for member in group.members.values()]}


def a_flipped_bit(folder: Path) -> Result:
    _, a = _alone(folder, [b"balance=1"])
    path = a.folder / "journal"
    path.write_bytes(path.read_bytes().replace(b"balance=1", b"balance=9"))
    a.restart()
    return {"errors": a.errors, "read back": b"balance=9" in a["raftLog"][-1][0]}


def a_page_of_zeros(folder: Path) -> Result:
    _, a = _alone(folder, [b"x" * 3000])
    path = a.folder / "journal"
    content = path.read_bytes()
    path.write_bytes(content[:40] + bytes(500) + content[540:])
    try:
        a.restart()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was to be found
        return {"error": f"{type(error).__module__}.{type(error).__name__}"}
    return {"error": ""}


def garbage_for_a_journal(folder: Path) -> Result:
    (made(folder) / "journal").write_bytes(b"this is no journal at all, and it says so. " * 30)
    journal = _journal(folder)
    return {"accepted": True, "entries": len(journal)}


def a_big_first_record(folder: Path) -> Result:
    journal = _journal(folder)
    for index, size in ((1, 1), (2, 5000), (3, 1), (4, 1)):
        journal.add(b"x" * size, index, 1)
    return {"indexes": [index for _, index, _ in _journal(folder)[:]]}


class _DeathError(BaseException):
    """The process ends here."""


def death_while_the_journal_is_shortened(folder: Path) -> Result:
    """It is cleared, and its tail written anew, in place."""
    journal = _journal(folder)
    for index in range(1, 2001):
        journal.add(b"x", index, 1)
    add = FileJournal.add
    added: list[tuple[object, ...]] = []

    def dying_add(self: FileJournal, *entry: object) -> None:
        if len(added) == 300:
            raise _DeathError
        added.append(entry)
        add(self, *entry)

    FileJournal.add = dying_add
    try:
        journal.deleteEntriesTo(1000)
    except _DeathError:
        FileJournal.add = add
    return {"should be there": 1000, "left": len(_journal(folder))}


def kill_during_a_snapshot(folder: Path) -> Result:
    """The servers are killed while their forked children write the snapshot; the children live on and finish."""
    group, _ = _alone(folder, [b"before"] * 3, size=3, useFork=True)
    reader, writer = os.pipe()
    children = []
    for member in group.members.values():
        member.register.gate = Gate(reader)
        member.compact()
        children.append(member["serializer"]._Serializer__pid)
    outcomes = group["a"].write(*COMMANDS)
    group.beat()
    os.write(writer, b"go!")
    for child in children:
        os.waitpid(child, 0)
    for member in group.members.values():
        member.restart()
    group.elect("a")
    left = [sum(command != "before" for command in member.commands) for member in group.members.values()]
    return {"acknowledged": len(outcomes), "left": left}


def a_dump_without_its_journals_cut(folder: Path) -> Result:
    """The dump is renamed in one tick, the journal shortened in the next. Between them b acknowledges, and dies."""
    group, a = _alone(folder, size=3)
    b = group["b"]
    b.compact()
    outcomes = a.write(b"after")
    a.tick()
    group.now += HEARTBEAT_S * 1.01
    a.tick()
    group.deliver("a", "b")
    group.deliver("b", "a")
    a.tick()
    b.restart()
    b.tick()
    group.mail.clear()
    group.elect("c", "b", "c")  # a is gone for good
    group.beat("b", "c")
    return {"outcomes": len(outcomes), "after the dump": "after" in b.commands, "before": len(b.commands)}


def a_damaged_dump(folder: Path) -> Result:
    """A leader's journal was shortened, its dump is damaged, and it starts again."""
    group, a = _alone(folder, size=3)
    a.compact()
    a.tick()
    (a.folder / "dump").write_bytes(b"damaged")
    a.restart()
    group.elect("a")
    return {"acknowledged": len(COMMANDS), "on the leader": len(a.commands), "on others": len(group["b"].commands)}


def a_garbage_snapshot(folder: Path) -> Result:
    """A follower that has a good dump gets a snapshot that is none."""
    group, _ = _alone(folder, size=3)
    b = group["b"]
    b.compact()
    good = (b.folder / "dump").read_bytes()
    group.mail.clear()
    message = {"type": "append_entries", "term": b["raftCurrentTerm"], "commit_index": 90}
    for data, is_first, is_last in ((b"garbage", True, False), (b"", False, True)):
        b.receive("a", message | {"serialized": (data, is_first, is_last)})
    answers = [answer["success"] for _, _, answer in group.letters("b", "a")]
    return {"acknowledged": answers, "old dump is there": (b.folder / "dump").read_bytes() == good}


def a_snapshot_with_a_gap(folder: Path) -> Result:
    """The connection is lost and made again between two heartbeats: what was on its way is gone, the transfer goes on."""
    group, a = _alone(folder, size=3, logCompactionBatchSize=16)
    b = group["b"]
    a.compact()
    a.tick()
    a["raftNextIndex"][a.nodes["b"]] = 2
    group.mail.clear()
    group.look_s = HEARTBEAT_S / 5  # so slow that only some pieces leave in a tick
    lost = _tick_and_lose_all_but(a, group, keep=2)
    for member, peer in ((a, "b"), (b, "a")):
        member.transport.connectivity(member.nodes[peer], connected=False)
        member.transport.connectivity(member.nodes[peer], connected=True)
    group.mail.clear()
    for _ in range(40):
        _tick_and_lose_all_but(a, group, keep=1000)
    answers = [answer["success"] for _, _, answer in group.letters("b", "a")]
    whole = (b.folder / "dump").read_bytes() == (a.folder / "dump").read_bytes()
    return {"pieces lost": lost, "acknowledged": any(answers), "whole": whole}


def _tick_and_lose_all_but(leader: Member, group: Group, keep: int) -> int:
    group.now += HEARTBEAT_S
    leader.tick()
    letters = group.letters("a", "b")
    group.forget("a")
    for _, _, message in letters[:keep]:
        group["b"].receive("a", message)
    return len(letters[keep:])


def _lose_the_end_of_the_log(member: Member) -> None:
    """The small file with the commit index reached the disk, the end of the journal did not: entry 2 is the last."""
    member["raftLog"].onOneSecondTimer()
    member["raftLog"].deleteEntriesFrom(2)
    member.restart()


def a_commit_index_ahead_of_the_log(folder: Path) -> Result:
    """With a dump, which holds what is before entry 2 of the log that is left."""
    group, a = _alone(folder)
    a.compact()
    a.tick()
    a.write(*COMMANDS)
    group.beat()
    _lose_the_end_of_the_log(a)
    stored = a["raftLog"].getRaftCommitIndex()
    a.tick()
    return {"stored": stored, "commit index": a.register.raftCommitIndex, "log ends at": a.last_index}


def a_commit_index_ahead_of_the_log_without_a_dump(folder: Path) -> Result:
    """There is no dump before the first compaction. The member is elected, and writes while nobody else is reachable."""
    group, _ = _alone(folder, size=3)
    for member in group.members.values():
        _lose_the_end_of_the_log(member)
    a = group["a"]
    a["raftElectionDeadline"] = 0.0
    a.tick()
    found = {"commit index": a.register.raftCommitIndex, "log ends at": a.last_index}
    group.deliver("a", kind="request_vote")
    group.deliver(to="a")
    group.mail.clear()
    outcomes = a.write(b"nobody else has it")
    a.tick()
    a.tick()
    return found | {"leads": a.leads, "outcomes": outcomes}


def a_rolling_restart(folder: Path) -> Result:
    """With the default settings: no journal, no dump. One member after another restarts, each when the last is up."""
    group, _ = _alone(folder, size=3, journalFile=None, fullDumpFile=None)
    for name in ("c", "b"):
        group[name].restart()
    group.mail.clear()
    group.elect("b", "b", "c")
    return {"acknowledged": len(COMMANDS), "on the new leader": len(group["b"].commands)}


def a_journal_without_a_dump(folder: Path) -> Result:
    """A journal file, but no dump file: once compacted, and restarted."""
    group, a = _alone(folder, size=1, fullDumpFile=None)
    a.compact()
    a.tick()
    a.restart()
    group.elect("a")
    return {"acknowledged": len(COMMANDS), "left": len(a.commands)}


def two_processes(folder: Path) -> Result:
    """Two processes open one journal."""
    first = _journal(folder)
    first.add(b"first", 1, 1)
    second = _journal(folder)
    second.add(b"second", 2, 1)
    first.add(b"third", 2, 1)
    return {"refused": False, "read back": [entry[0].decode() for entry in _journal(folder)[:]]}


def another_nodes_files(folder: Path) -> Result:
    """Member b starts over the files of a."""
    group, a = _alone(folder, size=3)
    b = group["b"]
    shutil.rmtree(b.folder)
    shutil.copytree(a.folder, b.folder)
    b.restart()
    return {"errors": b.errors, "voted for": b["votedForNodeId"]}


def a_full_disk(folder: Path) -> Result:
    """Write until the disk is full. Does not return: memory that has no disk behind it cannot be written."""
    group = Group(folder, 1)
    a = group.elect("a")
    while True:
        a.write(b"x" * 4096)
        group.beat(times=1)
