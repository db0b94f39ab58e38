"""`concord status`: what a gateway says about its cluster, as tables or, joined with the local processes, as JSON."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from concord.cli.arguments import Commands
from concord.cli.console import RED, paint, table
from concord.cli.gateways import add_gateway_arguments, urls_of
from concord.cli.output import print_json
from concord.cli.probe import ask
from concord.cli.processes import Process, read_process_list

DESCRIPTION = """Show whether the cluster is whole, its nodes, and who leads which group. Exit code 0: every group has a
leader and replicas that agree; 1: one has not."""
STATUS_PATH = "/api/v1/status"
TIMEOUT_S = 5.0
DEFAULT_DATA_DIR = "concord-data"


class Node(msgspec.Struct, frozen=True):
    """A node as the gateway sees it; `status` is its role in placement's own group."""

    name: str
    status: str
    address: str = ""
    zone: str = ""
    reachable: bool = True


class Group(msgspec.Struct, frozen=True):
    """A Raft group.

    Attributes:
        id: its number.
        leader: None or "" while it has none.
        replicas: the nodes that host it.
        diverged: the newest comparison of the replicas' states found a difference.
        fenced: the nodes whose replica was found wrong; it serves nothing.
    """

    id: int
    leader: str | None = None
    replicas: list[str] = []
    diverged: bool = False
    fenced: list[str] = []


class ClusterPart(msgspec.Struct, frozen=True):
    """The part of the answer about the cluster."""

    name: str
    nodes: list[Node]
    leader: str | None = None


class Status(msgspec.Struct, frozen=True):
    """What `GET /api/v1/status` says, as far as the command line shows it."""

    cluster: ClusterPart
    groups: list[Group] = []
    epoch: int = 0

    def led_by(self, node: str) -> list[int]:
        """Numbers of the groups that a node leads, sorted."""
        return sorted(group.id for group in self.groups if group.leader == node)

    @property
    def leaderless(self) -> list[int]:
        """Numbers of the groups without a leader, sorted."""
        return sorted(group.id for group in self.groups if not group.leader)

    @property
    def suspect(self) -> list[int]:
        """Numbers of the groups with a replica whose state is or may be wrong, sorted."""
        return sorted(group.id for group in self.groups if group.diverged or group.fenced)

    @property
    def is_whole(self) -> bool:
        """Whether there is nothing to worry about."""
        return bool(self.groups) and not self.leaderless and not self.suspect


class Envelope(msgspec.Struct, frozen=True):
    """Every success body of the API."""

    data: Status


class ReportedProcess(Process, frozen=True, kw_only=True):
    """A process of the local cluster, and the groups it leads."""

    leads: list[int]


class ReportedNode(Node, frozen=True, kw_only=True):
    """A node, and the groups it leads."""

    leads: list[int]


class Report(msgspec.Struct, frozen=True):
    """What `concord status --json` prints; `processes` is empty when no local cluster answers at the URL."""

    url: str
    cluster: str
    epoch: int
    whole: bool
    nodes: list[ReportedNode]
    groups: list[Group]
    processes: list[ReportedProcess]


def add_parser(commands: Commands) -> None:
    """Register the command."""
    parser = commands.add_parser("status", help="show the nodes and groups of a cluster", description=DESCRIPTION)
    add_gateway_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, with the local processes and what they lead")
    parser.add_argument(
        "--data-dir", default=DEFAULT_DATA_DIR, metavar="DIR", help="of the local cluster, if any (%(default)s)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the status; exit codes as in the module's docstring."""
    status = fetch(options.url, TIMEOUT_S, options.token)
    if options.json:
        report = _report(options.url, status, _local_processes(Path(options.data_dir), options.url))
        print_json(report)
    else:
        sys.stdout.write(_tables(status))
    return 0 if status.is_whole else 1


def fetch(url: str, timeout_s: float, token: str = "") -> Status:
    """Ask a gateway.

    Raises:
        CliError: nobody answers in time, or the answer is an error or not understood.
    """
    return ask("GET", url, STATUS_PATH, Envelope, timeout_s, token=token).data


def numbers(groups: Sequence[int]) -> str:
    """Group numbers for a table: `1 4-7`, `-` for none."""
    runs: list[tuple[int, int]] = []
    for number in groups:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return " ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs) or "-"


def _report(url: str, status: Status, processes: Sequence[Process]) -> Report:
    return Report(
        url=url,
        cluster=status.cluster.name,
        epoch=status.epoch,
        whole=status.is_whole,
        nodes=[
            ReportedNode(**msgspec.structs.asdict(node), leads=status.led_by(node.name))
            for node in status.cluster.nodes
        ],
        groups=status.groups,
        processes=[
            ReportedProcess(**msgspec.structs.asdict(process), leads=status.led_by(process.name))
            for process in processes
        ],
    )


def _local_processes(data_dir: Path, url: str) -> Sequence[Process]:
    """The processes of the local cluster whose gateways include the URL's."""
    listed = read_process_list(data_dir)
    if listed is None:
        return []
    gateways = {f"http://{process.address}" for process in listed.processes if process.role == "gateway"}
    asked = {one.rstrip("/").replace("//localhost:", "//127.0.0.1:") for one in urls_of(url)}
    return listed.processes if asked & gateways else []


def _tables(status: Status) -> str:
    faults = [
        *([f"no leader: {numbers(status.leaderless)}"] if status.leaderless else []),
        *([f"replicas with a WRONG STATE: groups {numbers(status.suspect)}"] if status.suspect else []),
    ]
    state = paint("; ".join(faults), RED, sys.stdout) if faults else "every group has a leader"
    summary = f"cluster {status.cluster.name}: {len(status.groups)} groups, epoch {status.epoch}; {state}"
    nodes = [
        [
            node.name,
            "up" if node.reachable else "unreachable",
            node.address,
            node.zone,
            numbers(status.led_by(node.name)),
        ]
        for node in status.cluster.nodes
    ]
    groups = [
        [
            str(group.id),
            group.leader or "none",
            " ".join(f"{node} (fenced)" if node in group.fenced else node for node in group.replicas),
        ]
        for group in status.groups
    ]
    return "\n\n".join(
        [
            summary,
            table(["NODE", "STATUS", "ADDRESS", "ZONE", "LEADS"], nodes, sys.stdout).rstrip("\n"),
            table(["GROUP", "LEADER", "REPLICAS"], groups, sys.stdout),
        ]
    )
