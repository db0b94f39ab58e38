"""What a local cluster consists of: decided at the first start, kept in `<data-dir>/cluster.json`, the same ever after.

Node ports are kept because the nodes know one another by address. They are chosen close above the gateway's port, below
the range from which the kernel takes ports for outgoing connections: a connection must not sit on the port of a node
that is about to be started again.
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from concord.cli.console import CliError
from concord.cli.files import write_atomically

FORMAT = 1
HOST = "127.0.0.1"
DEFAULT_NODES = 3
DEFAULT_GROUPS = 8
DEFAULT_REPLICAS = 3
PLACEMENT_MEMBERS = 3
LIMIT_NODES = 32
LIMIT_GROUPS = 1024
LIMIT_REPLICAS = 9
PORT_SEARCH = 1000


class NodePlace(msgspec.Struct, frozen=True):
    """One node: where it listens and what it tells placement about itself."""

    id: str
    port: int
    zone: str
    host_label: str

    @property
    def address(self) -> str:
        """`host:port` of its RPC server."""
        return f"{HOST}:{self.port}"


class Layout(msgspec.Struct, frozen=True):
    """A local cluster; `format` is the version of this file."""

    format: int
    cluster: str
    groups: int
    replicas: int
    nodes: list[NodePlace]


class Wanted(msgspec.Struct, frozen=True):
    """What the command line asked for; None where it said nothing."""

    nodes: int | None = None
    groups: int | None = None
    replicas: int | None = None


def load(data_dir: Path) -> Layout | None:
    """The cluster that lives in a data directory, None when there is none.

    Raises:
        CliError: the file is not readable as a layout of this format.
    """
    path = data_dir / "cluster.json"
    try:
        layout = msgspec.json.decode(path.read_bytes(), type=Layout)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise CliError(f"{path}: {error}", "restore it from a backup, or use another --data-dir") from error
    if layout.format != FORMAT:
        raise CliError(
            f"{path} has format {layout.format}, this concord knows {FORMAT}", "use the concord that wrote it"
        )
    return layout


def save(data_dir: Path, layout: Layout) -> None:
    """Keep a layout; it survives a power cut once this returns."""
    write_atomically(data_dir / "cluster.json", msgspec.json.format(msgspec.json.encode(layout)) + b"\n")


def decide(wanted: Wanted, first_port: int, is_free: Callable[[int], bool]) -> Layout:
    """A new cluster whose nodes listen on free ports at or above `first_port`.

    Raises:
        CliError: more replicas than nodes, or not enough free ports.
    """
    nodes = wanted.nodes or DEFAULT_NODES
    replicas = wanted.replicas or min(DEFAULT_REPLICAS, nodes)
    if replicas > nodes:
        raise CliError(f"--replicas {replicas} needs as many nodes, there are {nodes}", "raise --nodes", exit_code=2)
    candidates = range(first_port, min(first_port + PORT_SEARCH, 65536))
    ports = list(itertools.islice(filter(is_free, candidates), nodes))
    if len(ports) < nodes:
        raise CliError(f"no {nodes} free ports from {first_port} on", "choose another --port")
    places = [NodePlace(f"n{i}", port, f"z{i}", f"local-{i}") for i, port in enumerate(ports, start=1)]
    return Layout(FORMAT, "local", wanted.groups or DEFAULT_GROUPS, replicas, places)


def check_unchanged(layout: Layout, wanted: Wanted, data_dir: Path) -> None:
    """Refuse to start an existing cluster as if it were another.

    Raises:
        CliError: a flag contradicts what exists.
    """
    has = Wanted(len(layout.nodes), layout.groups, layout.replicas)
    for name in ("nodes", "groups", "replicas"):
        asked, is_there = getattr(wanted, name), getattr(has, name)
        if asked not in {None, is_there}:
            raise CliError(
                f"{data_dir} holds a cluster of {has.nodes} nodes, {has.groups} groups and {has.replicas} replicas, "
                f"which --{name} {asked} does not fit",
                "leave the flag out, or use another --data-dir",
                exit_code=2,
            )


def node_arguments(layout: Layout, node: NodePlace, data_dir: Path, durability: str) -> list[str]:
    """Command line of `concord node` for one node."""
    members = layout.nodes[: PLACEMENT_MEMBERS if len(layout.nodes) >= PLACEMENT_MEMBERS else 1]
    values = {
        "id": node.id,
        "cluster": layout.cluster,
        "zone": node.zone,
        "host-label": node.host_label,
        "listen": node.address,
        "data-dir": str(data_dir / node.id),
        "durability": durability,
        "placement": ",".join(f"{member.id}={member.address}" for member in members),
        "expect-nodes": str(len(layout.nodes)),
        "groups": str(layout.groups),
        "replicas": str(layout.replicas),
    }
    return ["node", *_flags(values)]


def gateway_arguments(layout: Layout, port: int, *, auth: bool = False) -> list[str]:
    """Command line of `concord gateway` for one gateway, which asks for tokens or does not."""
    nodes = ",".join(node.address for node in layout.nodes)
    values = {"listen": f"{HOST}:{port}", "nodes": nodes, "cluster": layout.cluster}
    return ["gateway", *_flags(values | ({"auth": "on"} if auth else {}))]


def _flags(values: dict[str, str]) -> Sequence[str]:
    return [word for name, value in values.items() for word in (f"--{name}", value)]
