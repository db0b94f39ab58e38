"""Tokens over real processes: the first one, scopes, a revoke that two gateways see, and placement out of reach."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from concord.cli import exits
from tests.chaos.revocation import Strike, revoke_under_load
from tests.e2e.cluster import Client, LocalCluster, Reply, local_cluster, wait_until
from tests.e2e.guarded import Guarded, bootstrap

AGE_S_MAX = 3.0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    flags = ("--nodes", "5", "--groups", "8", "--gateways", "2", "--auth", "--durability", "os")
    data_dir = tmp_path_factory.mktemp("tokens") / "data"
    environ = {"CONCORD_TOKENS_AGE_S_MAX": str(AGE_S_MAX), "CONCORD_TOKEN": ""}
    with local_cluster(data_dir, *flags, environ=environ) as cluster:
        cluster.start()
        yield cluster


@pytest.fixture(scope="module")
def root(cluster: LocalCluster) -> str:
    """The first token."""
    first = bootstrap(cluster)
    assert first.returncode == 0, first.stderr
    again = bootstrap(cluster)
    assert (again.returncode, again.stdout) == (1, "")
    assert "already" in again.stderr
    return first.stdout.strip()


@pytest.fixture
def gateways(cluster: LocalCluster) -> Iterator[list[Client]]:
    clients = [Client(cluster.port + number) for number in (0, 1)]
    yield clients
    for client in clients:
        client.close()


def ask(gateway: Client, token: str, method: str, path: str, body: object = None) -> Reply:
    return gateway.send(method, path, body, {"Authorization": f"Bearer {token}"} if token else {})


def token_command(cluster: LocalCluster, root: str, *words: str) -> str:
    done = cluster.command("token", *words, "--url", cluster.url, "--token", root)
    assert done.returncode == 0, done.stderr
    return done.stdout


def everywhere(gateways: list[Client], token: str, status: int) -> None:
    """Wait until every gateway answers a read with a status."""
    for gateway in gateways:
        wait_until(lambda gateway=gateway: ask(gateway, token, "GET", "/kv/app%2Fx").status == status, f"{status}")  # type: ignore[misc] # mypy cannot infer a lambda with a default


def test_a_token_may_do_what_its_scopes_say_and_nothing_once_it_is_revoked(
    cluster: LocalCluster, root: str, gateways: list[Client]
) -> None:
    assert ask(gateways[0], "", "GET", "/kv/app%2Fx").status == 401
    assert ask(gateways[0], root, "PUT", "/kv/app%2Fx", {"value": 1}).status == 200
    made = json.loads(token_command(cluster, root, "create", "app", "--scope", "read,write:app/", "--json"))
    token = made["token"]
    everywhere(gateways, token, 200)
    for gateway in gateways:
        assert ask(gateway, token, "PUT", "/kv/app%2Fx", {"value": 2}).status == 200
        assert ask(gateway, token, "PUT", "/kv/other", {"value": 2}).status == 403
        assert ask(gateway, token, "GET", "/tokens").status == 403
        assert ask(gateway, token, "POST", "/kv/bulk/get", {"keys": ["app/x", "other"]}).status == 403
    rotated = token_command(cluster, root, "rotate", made["id"], "--overlap", "600").strip()
    everywhere(gateways, rotated, 200)
    assert {ask(gateway, token, "GET", "/kv/app%2Fx").status for gateway in gateways} == {200}
    assert made["id"] in token_command(cluster, root, "list")
    token_command(cluster, root, "revoke", made["id"])
    for dead in (token, rotated):
        everywhere(gateways, dead, 401)  # not 503, which a table that has grown too old would give


def test_status_of_the_command_line_takes_a_token(cluster: LocalCluster, root: str) -> None:
    refused = cluster.command("status", "--url", cluster.url)
    assert refused.returncode == exits.DENIED
    assert "CONCORD_TOKEN" in refused.stderr
    assert cluster.command("status", "--url", cluster.url, "--token", root).returncode == 0


def test_a_gateway_without_placement_refuses_every_token_after_a_while_though_the_data_is_there(
    cluster: LocalCluster, root: str, gateways: list[Client]
) -> None:
    gateway = gateways[0]
    stopped = [cluster.pid(name) for name in ("n1", "n2")]  # two of the three that host placement
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        alive = spared_keys(root, gateway)
        assert ask(gateway, root, "PUT", f"/kv/{alive[0]}", {"value": 1}).status == 200
        wait_until(lambda: "confirmed" in message(ask(gateway, root, "GET", f"/kv/{alive[0]}")), "it fails closed")
        for key in alive:
            reply = ask(gateway, root, "PUT", f"/kv/{key}", {"value": 2})
            assert (reply.status, reply.json()["error"]["applied"]) == (503, False)
        assert ask(gateway, "", "GET", "/readyz").status == 503
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    wait_until(lambda: ask(gateway, root, "GET", f"/kv/{alive[0]}").status == 200, "tokens are confirmed again", 30)
    assert ask(gateway, root, "GET", f"/kv/{alive[0]}").data["value"] == 1


def spared_keys(root: str, gateway: Client) -> list[str]:
    """Keys whose group still has a leader."""
    keys = [f"key{number}" for number in range(64)]
    end = time.monotonic() + AGE_S_MAX
    while True:
        headers = {"Authorization": f"Bearer {root}", "X-Concord-Timeout-Ms": "300"}
        operations = [{"key": key, "value": 1} for key in keys]
        reply = gateway.send("POST", "/kv/bulk", {"operations": operations}, headers)
        if reply.status == 200 and (alive := [item["key"] for item in reply.data if item["status"] == "ok"]):
            return alive
        assert time.monotonic() < end, reply.body


def message(reply: Reply) -> str:
    return str(reply.json().get("error", {}).get("message", ""))


def test_no_secret_is_in_a_log_or_on_a_disk(cluster: LocalCluster, root: str) -> None:
    secret = root.split("_")[3]
    forms = [secret.encode(), bytes.fromhex(secret)]
    files = [path for path in Path(cluster.data_dir).rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        content = path.read_bytes()
        assert not any(form in content for form in forms), path
    assert secret not in cluster.output


def test_a_token_that_is_in_use_everywhere_is_refused_for_good_once_it_is_revoked(guarded: Guarded) -> None:
    """One round of `python -m tests.chaos.revocation`, which measures how soon."""
    lateness = revoke_under_load(guarded, Strike.NOTHING)
    assert lateness.relapses == 0
    assert lateness.requests > 0
