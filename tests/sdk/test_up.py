"""What `concord up` and `concord status` promise, with stand-ins for the server's processes."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from concord.cli import main
from tests.e2e.cluster import ROOT, LocalCluster, is_alive, local_cluster, wait_until


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment in which `concord node` and `concord gateway` are the stand-ins."""
    metadata = tmp_path / "path" / "concord-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: concord\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text(
        "[concord.commands]\nnode = tests.sdk.standin:node\ngateway = tests.sdk.standin:gateway\n"
    )
    return {"PYTHONPATH": os.pathsep.join([str(metadata.parent), str(ROOT / "sdk"), str(ROOT)])}


@pytest.fixture
def cluster(tmp_path: Path, environ: dict[str, str]) -> Iterator[LocalCluster]:
    with local_cluster(tmp_path / "data", environ=environ) as cluster:
        yield cluster


def test_up_says_what_runs_where_and_what_to_try(cluster: LocalCluster) -> None:
    cluster.start()
    rows = {line.split()[0]: line.split() for line in cluster.output.splitlines() if line.startswith(("n", "gateway"))}
    assert set(rows) == {"n1", "n2", "n3", "gateway1"}
    for process in cluster.processes():
        assert rows[process.name][1:4] == [process.role, str(process.pid), process.address]
    assert rows["n2"][4] == "z2"
    assert rows["n1"][5:] == ["1-2", "4"]
    assert f"curl -X PUT {cluster.url}/api/v1/kv/hello" in cluster.output


def test_up_says_ready_only_when_every_gateway_is(tmp_path: Path, environ: dict[str, str]) -> None:
    with local_cluster(
        tmp_path / "data", "--gateways", "2", environ=environ | {"STANDIN_LATE": str(tmp_path)}
    ) as cluster:
        late = tmp_path / str(cluster.port + 1)
        late.touch()
        cluster.launch()
        asked = cluster.data_dir / "logs" / "gateway2.log"
        wait_until(lambda: asked.exists() and '"GET /readyz HTTP/1.1" 503' in asked.read_text(), "gateway2 is asked")
        assert "Concord is ready" not in cluster.output
        late.unlink()
        wait_until(lambda: "Concord is ready" in cluster.output, "both are ready")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_every_process_cleanly(cluster: LocalCluster, number: signal.Signals) -> None:
    cluster.start()
    processes = cluster.processes()
    assert cluster.stop(number) == 0
    assert not [process for process in processes if process.pid and is_alive(process.pid)]
    assert cluster.processes() == []
    assert "n1 stops cleanly" in (cluster.data_dir / "logs" / "n1.log").read_text()


def test_a_second_start_brings_the_same_cluster_back(cluster: LocalCluster) -> None:
    cluster.start()
    first = [(process.name, process.ports, process.zone) for process in cluster.processes()]
    cluster.stop()
    cluster.start()
    assert [(process.name, process.ports, process.zone) for process in cluster.processes()] == first


def test_a_process_that_dies_is_started_again_and_listed_anew(cluster: LocalCluster) -> None:
    cluster.start()
    old = cluster.kill("n2")

    def is_back() -> bool:
        (process,) = [process for process in cluster.processes() if process.name == "n2"]
        return process.pid not in {None, old} and process.restarts == 1

    wait_until(is_back, "n2 is back")
    assert "n2 was ended by SIGKILL; starting it again in 0.1 s" in cluster.output


def test_no_process_outlives_a_killed_supervisor(cluster: LocalCluster) -> None:
    cluster.start()
    pids = [process.pid for process in cluster.processes() if process.pid]
    assert len(pids) == 4
    assert cluster.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: not any(map(is_alive, pids)), "the children are gone")


def test_a_process_that_does_not_stop_is_killed_by_a_second_signal(tmp_path: Path, environ: dict[str, str]) -> None:
    with local_cluster(tmp_path / "data", environ=environ | {"STANDIN_DEAF": "n1"}) as cluster:
        cluster.start()
        deaf = cluster.pid("n1")
        others = [process.pid for process in cluster.processes() if process.name != "n1" and process.pid]
        os.kill(cluster.supervisor_pid, signal.SIGINT)
        wait_until(lambda: not any(map(is_alive, others)), "the others have stopped")
        assert is_alive(deaf)
        assert cluster.stop(signal.SIGINT) == 0
        assert not is_alive(deaf)


def test_a_node_that_cannot_start_ends_up_with_its_last_words(tmp_path: Path, environ: dict[str, str]) -> None:
    with local_cluster(tmp_path / "data", environ=environ | {"STANDIN_DIES": "n3"}) as cluster:
        cluster.launch()
        assert cluster.wait() == 1
        assert "concord: n3 does not start: this node cannot start (see " in cluster.output
        assert cluster.processes() == []


def test_other_sizes_than_the_data_has_are_refused(cluster: LocalCluster) -> None:
    cluster.start()
    cluster.stop()
    for flag in (["--nodes", "5"], ["--groups", "16"], ["--replicas", "1"]):
        refused = cluster.command("up", "--data-dir", str(cluster.data_dir), "--port", str(cluster.port), *flag)
        assert refused.returncode == 2
        assert "holds a cluster of 3 nodes, 8 groups and 3 replicas, which " + " ".join(flag) in refused.stderr
        assert refused.stderr.count("\n") == 1


def test_a_second_up_on_the_same_data_is_refused(cluster: LocalCluster) -> None:
    cluster.start()
    refused = cluster.command("up", "--data-dir", str(cluster.data_dir), "--port", str(cluster.port + 50))
    assert refused.returncode == 1
    assert f"another concord up (pid {cluster.supervisor_pid}) runs on" in refused.stderr


def test_a_port_in_use_is_named(cluster: LocalCluster) -> None:
    with socket.create_server(("127.0.0.1", cluster.port)):
        cluster.launch()
        assert cluster.wait() == 1
    assert f"concord: port {cluster.port} is in use (choose another with --port)" in cluster.output


def test_status_tells_whom_to_ask(cluster: LocalCluster) -> None:
    cluster.start()
    shown = cluster.command("status", "--url", cluster.url)
    assert shown.returncode == 0, shown.stderr
    assert "cluster local: 3 groups, epoch 3; every group has a leader" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert ["4", "n1", "n1", "n2", "n3"] in [line.split() for line in shown.stdout.splitlines()]


def test_status_as_json_joins_processes_and_what_they_lead(cluster: LocalCluster) -> None:
    cluster.start()
    shown = cluster.command("status", "--json", "--url", cluster.url, "--data-dir", str(cluster.data_dir))
    (line,) = shown.stdout.splitlines()
    report = json.loads(line)
    assert report["whole"]
    assert {process["name"]: process["leads"] for process in report["processes"]} == {
        "n1": [1, 2, 4],
        "n2": [],
        "n3": [],
        "gateway1": [],
    }
    assert {process["pid"] for process in report["processes"]} == {process.pid for process in cluster.processes()}


def test_status_exits_with_1_when_a_group_has_no_leader(tmp_path: Path, environ: dict[str, str]) -> None:
    with local_cluster(tmp_path / "data", environ=environ | {"STANDIN_LEADERLESS": "1"}) as cluster:
        cluster.start()
        shown = cluster.command("status", "--url", cluster.url)
        assert shown.returncode == 1
        assert "no leader: 1-2 4" in shown.stdout


def test_status_exits_with_3_when_nobody_answers(cluster: LocalCluster) -> None:
    shown = cluster.command("status", "--url", cluster.url)
    assert shown.returncode == 3
    assert shown.stderr.startswith(f"concord: nobody answers at {cluster.url}: ")
    assert shown.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "COMMAND"),
        (["dwon"], "dwon"),
        (["up", "--nodes", "0"], "--nodes"),
        (["up", "--port", "65536"], "--port"),
        (["up", "--port", "65535", "--gateways", "2"], "65536"),
        (["up", "--durability", "none"], "--durability"),
        (["up", "--node", "3"], "--node"),
        (["up", "--nodes", "2", "--replicas", "3"], "--replicas 3"),
        (["status", "--url", "127.0.0.1:4000"], "127.0.0.1:4000"),
        (["status", "--url", "http://h:port"], "http://h:port"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(
    tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if words[:1] == ["up"]:
        words = ["up", "--data-dir", str(tmp_path / "unused"), *words[1:]]
    assert main(words) == 2
    refused = capsys.readouterr().err
    assert said in refused
    assert refused.startswith("concord: ")
    assert refused.count("\n") == 1


def test_the_process_ends_with_the_code_of_wrong_use(cluster: LocalCluster) -> None:
    assert cluster.command("dwon").returncode == 2


def test_a_client_without_the_server_says_what_to_install(tmp_path: Path) -> None:
    environ = {"PYTHONPATH": str(ROOT / "sdk"), "PYTHONNOUSERSITE": "1"}
    metadata = tmp_path / "concord-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: concord\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text("[concord.commands]\nnode = no_such_room.process:main\n")
    with local_cluster(
        tmp_path / "data", environ=environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT / 'sdk'}"}
    ) as cluster:
        refused = cluster.command("node")
    assert refused.returncode == 1
    assert "install Concord with its extra 'server'" in refused.stderr
    assert "no_such_room" in refused.stderr
