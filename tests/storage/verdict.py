"""What a node may do with a damaged data directory: refuse it and say what to do, or start with all that it promised."""

import re
from collections.abc import Collection

from raft.storage_errors import StorageError
from tests.raft.members import FatalError
from tests.simulation.simdisk import SimDisk
from tests.storage.directory import Node, State

FILE = re.compile(r"wal/|snapshots/|identity\.json|peers\.json|watermark|data directory")
ADVICE = re.compile(
    r"Move the data directory away and leave this node down"
    r"|start this node on its own data directory"
    r"|start the release that wrote it"
    r"|move it away"
)


def start(disk: SimDisk) -> State | str:
    """Start a node: the state it found, or why it refused."""
    try:
        return Node(disk).state()
    except (StorageError, FatalError) as refusal:
        return str(refusal)


def judge(disk: SimDisk, allowed: Collection[State], *, may_refuse: bool = True) -> str:
    """What is wrong with how a node took this disk, "" when nothing is."""
    try:
        found = start(disk)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no way to refuse
        return f"ended with {error!r}"
    if isinstance(found, str):
        if not may_refuse:
            return f"refused: {found}"
        return "" if FILE.search(found) and ADVICE.search(found) else f"refused without saying what to do: {found}"
    if found not in allowed:
        return f"started with another state: {_difference(found, next(iter(allowed)))}"
    again = start(disk)
    return "" if again == found else f"a second start is not like the first: {again}"


def _difference(found: State, expected: State) -> str:
    parts = [] if found.peers == expected.peers else [f"peers {found.peers} for {expected.peers}"]
    for group, (term, vote, commands, entries) in expected.groups.items():
        got_term, got_vote, got_commands, got_entries = found.groups[group]
        if found.groups[group] != expected.groups[group]:
            parts.append(
                f"group {group}: term {got_term} for {term}, vote {got_vote!r} for {vote!r}, "
                f"{len(got_commands)} commands for {len(commands)}, {len(got_entries)} entries for {len(entries)}"
            )
    return "; ".join(parts)
