"""A cluster whose certificates the command line made: three nodes and a gateway, all under mutual TLS."""

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import ROOT, Client, wait_until
from tests.e2e.nodes import Nodes, running


def concord_certs(*words: str) -> None:
    subprocess.run(
        [sys.executable, "-P", "-m", "concord.cli", "certs", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT / "sdk")},
        capture_output=True,
        check=True,
    )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tls") / "certs"
    concord_certs("init", "--cluster", "local", "--dir", str(directory))
    return directory


@pytest.fixture(scope="module")
def cluster(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with running(tmp_path_factory.mktemp("tls") / "data", certificates) as cluster:
        yield cluster


def test_a_cluster_with_certificates_of_the_command_line_serves_http(cluster: Nodes) -> None:
    http = Client(cluster.port)
    keys = [f"tls/{i}" for i in range(100)]
    put = http.send("POST", "/kv/bulk", {"operations": [{"key": key, "value": key} for key in keys]})
    assert [item["status"] for item in put.data] == ["ok"] * len(keys)
    assert [http.get(key).data["value"] for key in keys] == keys
    http.close()


def bootstrap(cluster: Nodes, certificates: Path, stem: str) -> subprocess.CompletedProcess[str]:
    files = {"cert": f"{stem}.crt", "key": f"{stem}.key", "ca": "ca.crt"}
    tls = [word for flag, file in files.items() for word in (f"--tls-{flag}", str(certificates / file))]
    nodes = ",".join(node.address for node in cluster.layout.nodes)
    words = ["token", "bootstrap", "--cluster", "local", "--nodes", nodes, *tls]
    return subprocess.run(
        [sys.executable, "-P", "-m", "concord.cli", *words],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "sdk"), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_first_token_is_made_for_an_administrators_certificate_only(cluster: Nodes, certificates: Path) -> None:
    for stem in ("gateway-gateway1", "node-n1"):
        refused = bootstrap(cluster, certificates, stem)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "certificate is for a" in refused.stderr
    done = bootstrap(cluster, certificates, "admin-admin")
    assert (done.returncode, done.stdout[:11]) == (0, "sk_concord_"), done.stderr


def test_nothing_but_tls_is_spoken_on_a_port_of_a_node(cluster: Nodes, certificates: Path) -> None:
    for place in cluster.layout.nodes:
        context = ssl.create_default_context(cafile=certificates / "ca.crt")
        context.check_hostname = False
        context.load_cert_chain(certificates / "admin-admin.crt", certificates / "admin-admin.key")
        with socket.create_connection(("127.0.0.1", place.port)) as plain, context.wrap_socket(plain) as secured:
            assert secured.version() == "TLSv1.3"


def test_a_node_that_comes_back_with_a_new_certificate_is_a_member_again(cluster: Nodes, certificates: Path) -> None:
    http = Client(cluster.port)
    cluster.stop("n3")
    assert http.put("while/away", 1).status == 200
    for end in ("crt", "key"):
        (certificates / f"node-n3.{end}").rename(certificates / f"node-n3.{end}.old")
    concord_certs("node", "n3", "--dir", str(certificates), "--hosts", "127.0.0.1")
    cluster.start_node("n3")

    def is_back() -> bool:
        nodes = http.send("GET", "/status").json().get("data", {}).get("cluster", {}).get("nodes", [])
        return {node["name"] for node in nodes if node["reachable"]} == {"n1", "n2", "n3"}

    wait_until(is_back, "n3 is reachable again", 30)
    assert http.get("while/away").data["value"] == 1
    http.close()
