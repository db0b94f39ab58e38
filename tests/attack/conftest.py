"""Two clusters for all attacks, one with TLS and one on loopback without, with as few descriptors as a shell gives."""

import os
import resource
from collections.abc import Iterator
from contextlib import suppress

import pytest

from concord.cli import main
from tests.attack.victims import CLUSTER, FILES, Victims
from tests.e2e.nodes import running


@pytest.fixture(scope="package", autouse=True)
def _many_descriptors() -> Iterator[None]:
    """The attacker has more of them than its victims."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="package")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victims]:
    """With TLS."""
    directory = tmp_path_factory.mktemp("secured")
    certificates = directory / "certs"
    assert main(["certs", "init", "--cluster", CLUSTER, "--dir", str(certificates), "--json"]) == 0
    with running(directory / "data", certificates, "os", FILES) as nodes:
        yield _first_served(Victims(nodes, certificates))


@pytest.fixture(scope="package")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victims]:
    """Without."""
    with running(tmp_path_factory.mktemp("plain") / "data", None, "os", FILES) as nodes:
        yield _first_served(Victims(nodes, None))


def _first_served(victims: Victims) -> Victims:
    """An attacker has machines of its own; here it shares the victims' processors, so they go first where that is allowed."""
    for name in [*victims.nodes.places, "gateway1"]:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, victims.nodes.pid(name), -10)
    return victims


@pytest.fixture(params=["tls", "plain"])
def victims(request: pytest.FixtureRequest) -> Victims:
    """Either."""
    chosen: Victims = request.getfixturevalue("secured" if request.param == "tls" else "plain")
    return chosen
