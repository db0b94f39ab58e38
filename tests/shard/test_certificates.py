"""A node starts only with its own certificate; with another, it has touched nothing when it ends."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from shard.running import check_certificate
from shard.settings import NodeSettings
from tests.certificates import Authority
from tests.e2e.cluster import ROOT
from wire import TlsConfig, TlsConfigError

PLACEMENT = "n1=127.0.0.1:4101"


def settings(tls: TlsConfig | None) -> NodeSettings:
    told = NodeSettings(id="n1", data_dir="data", placement=[PLACEMENT], cluster="blue")
    files = {"tls_cert": tls.cert, "tls_key": tls.key, "tls_ca": tls.ca} if tls else {}
    return msgspec.structs.replace(told, **files)


def test_its_own_certificate_is_taken_and_without_tls_none_is_needed(tmp_path: Path) -> None:
    check_certificate(settings(Authority(tmp_path, "authority").issue("concord://blue/node/n1")))
    check_certificate(settings(None))


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("concord://blue/node/n2", "node 'n1'"),
        ("concord://green/node/n1", "cluster 'blue'"),
        ("concord://blue/gateway/n1", "node 'n1'"),
        ("concord://blue/admin/n1", "node 'n1'"),
    ],
)
def test_the_certificate_of_somebody_else_is_refused_with_both_names(tmp_path: Path, uri: str, told: str) -> None:
    cluster, role, name = uri.removeprefix("concord://").split("/")
    with pytest.raises(
        TlsConfigError, match=f"for {role} '{name}' of cluster '{cluster}', the settings are for {told}"
    ):
        check_certificate(settings(Authority(tmp_path, "authority").issue(uri)))


def test_the_process_says_so_and_has_not_claimed_the_data_directory(tmp_path: Path) -> None:
    tls = Authority(tmp_path, "authority").issue("concord://blue/node/n2")
    told = {"id": "n1", "cluster": "blue", "data-dir": str(tmp_path / "data"), "placement": PLACEMENT}
    told |= {"tls-cert": tls.cert, "tls-key": tls.key, "tls-ca": tls.ca}
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "concord.cli", "node", *(f"--{name}={value}" for name, value in told.items())],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "sdk"), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("concord node: TLS cannot be used with certificate ")
    assert "node 'n2' of cluster 'blue', the settings are for node 'n1'" in ended.stderr
    assert not (tmp_path / "data").exists()
