"""`concord members` and `concord groups`: the parts of a cluster as a gateway sees them, as tables or JSON."""

import argparse
import sys
from collections.abc import Callable, Sequence

import msgspec

from concord.cli import exits
from concord.cli.arguments import Commands
from concord.cli.console import RED, paint, table
from concord.cli.gateways import add_gateway_arguments
from concord.cli.output import print_json
from concord.cli.probe import ask
from concord.cli.status import Group

NODES_PATH = "/api/v1/nodes"
GROUPS_PATH = "/api/v1/groups"
TIMEOUT_S = 5.0
MEMBERS = "Show the nodes of a cluster: where they are, what an answer of each waits for, and what it hosts and uses."
GROUPS = "Show the Raft groups of a cluster: who leads each, how far it is, and what is in it."


class Member(msgspec.Struct, frozen=True):
    """A node with what it says of itself; None for what only it could say, when it does not answer."""

    name: str
    address: str
    zone: str
    host: str
    reachable: bool
    durability: str | None
    uptime_s: float | None
    memory: int | None
    log_bytes: int | None
    epoch: int | None
    replicas: int
    leads: int


class GroupState(Group, frozen=True, kw_only=True):
    """A Raft group with its numbers, as its leader sees it."""

    term: int = 0
    commit_index: int = 0
    applied_index: int = 0
    keys: int = 0
    bytes: int = 0

    @property
    def fault(self) -> str:
        """What is wrong with it, "" for nothing."""
        if not self.leader:
            return "no leader"
        if self.fenced:
            return f"wrong state on {' '.join(self.fenced)}"
        return "replicas differ" if self.diverged else ""


class _Members(msgspec.Struct, frozen=True):
    data: list[Member]


class _Groups(msgspec.Struct, frozen=True):
    data: list[GroupState]


def add_parser(commands: Commands) -> None:
    """Register the commands."""
    parts: list[tuple[str, str, str, Callable[[argparse.Namespace], int]]] = [
        ("members", "show the nodes of a cluster", MEMBERS, _members),
        ("groups", "show the Raft groups of a cluster", GROUPS, _groups),
    ]
    for name, meaning, description, run in parts:
        parser = commands.add_parser(name, help=meaning, description=description)
        add_gateway_arguments(parser)
        parser.add_argument("--json", action="store_true", help="print JSON, a line for each")
        parser.set_defaults(run=run)


def members(url: str, token: str) -> list[Member]:
    """Ask a gateway for the nodes; raises CliError."""
    return ask("GET", url, NODES_PATH, _Members, TIMEOUT_S, token=token).data


def groups(url: str, token: str) -> list[GroupState]:
    """Ask a gateway for the groups; raises CliError."""
    return ask("GET", url, GROUPS_PATH, _Groups, TIMEOUT_S, token=token).data


def _members(options: argparse.Namespace) -> int:
    found = members(options.url, options.token)
    headings = [
        "NODE",
        "STATUS",
        "ADDRESS",
        "ZONE",
        "HOST",
        "DURABILITY",
        "UP FOR",
        "REPLICAS",
        "LEADS",
        "MEMORY",
        "LOG",
    ]
    rows = [
        [
            one.name,
            "up" if one.reachable else "unreachable",
            one.address,
            one.zone or "-",
            one.host or "-",
            one.durability or "-",
            duration(one.uptime_s),
            str(one.replicas),
            str(one.leads),
            size(one.memory),
            size(one.log_bytes),
        ]
        for one in found
    ]
    _print(found, headings, rows, as_json=options.json)
    return exits.DONE


def _groups(options: argparse.Namespace) -> int:
    found = groups(options.url, options.token)
    headings = ["GROUP", "LEADER", "REPLICAS", "TERM", "COMMITTED", "APPLIED", "KEYS", "BYTES", "STATE"]
    rows = [
        [
            str(one.id),
            one.leader or "none",
            " ".join(one.replicas),
            str(one.term),
            str(one.commit_index),
            str(one.applied_index),
            str(one.keys),
            size(one.bytes),
            paint(one.fault, RED, sys.stdout) if one.fault else "ok",
        ]
        for one in found
    ]
    _print(found, headings, rows, as_json=options.json)
    return exits.DONE


def _print(found: Sequence[object], headings: Sequence[str], rows: Sequence[Sequence[str]], *, as_json: bool) -> None:
    if as_json:
        for one in found:
            print_json(one)
    else:
        sys.stdout.write(table(headings, rows, sys.stdout))


def duration(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3 h`, `20 d`; `-` for None."""
    if seconds is None:
        return "-"
    for least, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * least:
            return f"{seconds / least:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: int | None) -> str:
    """`512 B`, `4.2 KiB`, `17 MiB`, `3.0 GiB`; `-` for None."""
    if count is None:
        return "-"
    if count < 1024:
        return f"{count} B"
    value, unit = count / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if value >= 1024:
            value, unit = value / 1024, larger
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
