"""A cluster that asks for tokens, with three gateways, an audit log, and everything in its logs that a program can say."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.e2e.cluster import ROOT, Client, LocalCluster, Reply, local_cluster

GATEWAYS = 3
AUDIT_LOG = "audit.jsonl"  # in the data directory; every gateway appends to it
TALKATIVE = Path(__file__).parent / "talkative"
"""Its sitecustomize.py lets every process write logs of level DEBUG."""


class Guarded(msgspec.Struct, frozen=True):
    """The cluster and its first token."""

    cluster: LocalCluster
    root: str

    @property
    def ports(self) -> list[int]:
        """Of the gateways."""
        return [self.cluster.port + number for number in range(GATEWAYS)]

    def ask(self, gateway: Client, method: str, path: str, body: object = None, token: str | None = None) -> Reply:
        """One request with a token: the first one, if nothing else is said."""
        return gateway.send(method, path, body, {"Authorization": f"Bearer {self.root if token is None else token}"})


@contextmanager
def guarded_cluster(data_dir: Path, *flags: str, environ: Mapping[str, str] | None = None) -> Iterator[Guarded]:
    """One that is ready."""
    paths = os.pathsep.join(map(str, (TALKATIVE, ROOT / "sdk", ROOT)))
    all_flags = ("--gateways", str(GATEWAYS), "--auth", *flags)
    audit = {"CONCORD_AUDIT_LOG": str(data_dir / AUDIT_LOG), "CONCORD_AUDIT_READS": "true"}
    whole = {"PYTHONPATH": paths, "CONCORD_TOKEN": "", **audit, **(environ or {})}
    with local_cluster(data_dir, *all_flags, environ=whole) as cluster:
        cluster.start()
        yield Guarded(cluster, first_token(cluster))


def first_token(cluster: LocalCluster) -> str:
    """Make the first token of a cluster."""
    done = bootstrap(cluster)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def bootstrap(cluster: LocalCluster) -> subprocess.CompletedProcess[str]:
    """Ask for it, as a person would."""
    nodes = ",".join(process.address for process in cluster.processes() if process.role == "node")
    return cluster.command("token", "bootstrap", "--cluster", "local", "--nodes", nodes)
