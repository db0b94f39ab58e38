"""`concord doctor`: what it makes of a cluster and of a directory, each fault for itself; and `members` and `groups`."""

import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from concord.cli import doctor_local, exits, main
from concord.cli.diagnosis import Finding
from concord.cli.doctor_cluster import clock_findings, group_findings, node_findings, placement_findings
from concord.cli.doctor_local import file_system, findings, holder
from concord.cli.members import GroupState, Member, duration, size
from raft.datadir import DataDirectory

Output = pytest.CaptureFixture[str]
NODES = [
    Member(
        f"n{n}",
        f"127.0.0.1:{n}",
        f"z{n}",
        f"h{n}",
        reachable=True,
        durability="fsync",
        uptime_s=9.0,
        memory=1,
        log_bytes=1,
        epoch=4,
        replicas=1,
        leads=0,
    )
    for n in (1, 2, 3)
]
GROUP = GroupState(id=1, leader="n1", replicas=["n1", "n2", "n3"])


def changed(number: int, **changes: Any) -> list[Member]:
    return [msgspec.structs.replace(one, **changes) if place == number else one for place, one in enumerate(NODES)]


def levels(found: Iterator[Finding]) -> list[tuple[str, str]]:
    listed = list(found)
    assert all(one.hint for one in listed if one.level != "ok")
    return [(one.check, one.level) for one in listed]


def test_a_cluster_that_is_well_has_nothing_to_do() -> None:
    assert levels(node_findings(NODES)) == [("nodes", "ok"), ("durability", "ok")]
    assert levels(group_findings([GROUP])) == [("leaders", "ok"), ("replicas", "ok")]
    assert levels(placement_findings(NODES, [GROUP])) == [("copies", "ok")]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (changed(0, reachable=False, durability=None, epoch=None), ("node n1", "fail")),
        (changed(1, durability="memory"), ("durability", "warn")),
        (changed(1, durability="os"), ("durability", "warn")),
        (changed(2, epoch=3), ("cluster map", "warn")),
    ],
)
def test_each_fault_of_a_node_is_found(nodes: list[Member], expected: tuple[str, str]) -> None:
    assert expected in levels(node_findings(nodes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"leader": None}, ("leaders", "fail")),
        ({"fenced": ["n2"]}, ("group 1", "fail")),
        ({"diverged": True}, ("group 1", "fail")),
    ],
)
def test_each_fault_of_a_group_is_found(changes: dict[str, Any], expected: tuple[str, str]) -> None:
    assert expected in levels(group_findings([msgspec.structs.replace(GROUP, **changes)]))
    assert levels(group_findings([])) == [("groups", "fail")]


@pytest.mark.parametrize(
    ("nodes", "replicas", "expected"),
    [
        (NODES, ["n1"], ("copies", "warn")),
        (changed(0, reachable=False), ["n1", "n2", "n3"], ("copies", "warn")),
        (changed(0, zone="z2"), ["n1", "n2", "n3"], ("zones", "warn")),
        ([*NODES, msgspec.structs.replace(NODES[0], name="n4")], ["n1", "n2", "n3"], ("nodes", "warn")),
    ],
)
def test_what_the_next_failure_would_cost_is_told(
    nodes: list[Member], replicas: list[str], expected: tuple[str, str]
) -> None:
    assert expected in levels(placement_findings(nodes, [msgspec.structs.replace(GROUP, replicas=replicas)]))


def test_a_clock_that_is_off_is_told() -> None:
    date = "Thu, 26 Nov 2026 15:00:00 GMT"
    now = 1795705200.0
    assert levels(clock_findings("g", date, now - 1, now + 60)) == []
    assert levels(clock_findings("g", date, now + 60, now + 61)) == [("g clock", "warn")]
    assert levels(clock_findings("g", date, now - 61, now - 60)) == [("g clock", "warn")]
    assert levels(clock_findings("g", "", now, now)) == []


class Handler(http.server.BaseHTTPRequestHandler):
    """Asks for a token, and tells of one group without a leader."""

    answers: ClassVar[dict[str, tuple[int, object]]] = {
        "/health": (200, {}),
        "/readyz": (503, {"error": {"message": "groups 1 have no leader"}}),
        "/api/v1/status": (200, {}),
        "/api/v1/nodes": (200, {"data": msgspec.to_builtins(NODES)}),
        "/api/v1/groups": (200, {"data": [msgspec.to_builtins(msgspec.structs.replace(GROUP, leader=None))]}),
    }

    def do_GET(self) -> None:
        status, body = self.answers[self.path]
        if self.path.startswith("/api/") and self.headers["Authorization"] != "Bearer good":
            status, body = 401, {"error": {"message": "no token"}}
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        made = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("CONCORD_URL", made)
        monkeypatch.setenv("CONCORD_TOKEN", "good")
        yield made
        server.shutdown()
        thread.join()


def test_a_cluster_that_is_not_well_is_told_with_hints_and_an_exit_code(url: str, capsys: Output) -> None:
    assert main(["doctor"]) == exits.FAILED
    shown = capsys.readouterr().out
    assert f"fail  gateway {url} ready: groups 1 have no leader\n      → " in shown
    assert f"ok    gateway {url}: answers, and takes the token\n" in shown
    assert "fail  leaders: groups 1 have none" in shown
    assert shown.endswith(", 2 failed\n")
    assert main(["doctor", "--json"]) == exits.FAILED
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(row["check"], row["level"]) for row in rows} >= {("nodes", "ok"), ("leaders", "fail")}


def test_a_gateway_that_does_not_let_us_in_or_is_not_there_is_told(
    url: str, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONCORD_TOKEN", "")
    assert main(["doctor"]) == exits.FAILED
    assert "asks for a token\n      → set CONCORD_TOKEN" in capsys.readouterr().out
    assert main(["doctor", "--url", f"http://127.0.0.1:1,{url}", "--token", "good"]) == exits.FAILED
    shown = capsys.readouterr().out
    assert "fail  gateway http://127.0.0.1:1: nobody answers" in shown
    assert "ok    nodes: all 3 answer" in shown  # the other gateway tells


def test_members_and_groups_are_tables_and_json(url: str, capsys: Output) -> None:
    assert main(["members"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:4] == ["n1", "up", "127.0.0.1:1", "z1"]
    assert main(["members", "--json"]) == 0
    assert [msgspec.json.decode(line, type=Member) for line in capsys.readouterr().out.splitlines()] == NODES
    assert main(["groups"]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("no leader")
    assert main(["groups", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["replicas"] == ["n1", "n2", "n3"]
    assert main(["groups", "--token", "bad"]) == exits.DENIED
    assert main(["members", "--url", f"http://127.0.0.1:1,{url}"]) == 0


def test_a_data_directory_in_use_is_well_and_one_without_a_process_is_told(tmp_path: Path) -> None:
    directory = DataDirectory.open(tmp_path / "n1", cluster="c", node="n1")
    try:
        assert holder(tmp_path / "n1" / "LOCK") == os.getpid()
        found = {one.check: one for one in findings(tmp_path / "n1")}
        assert found[f"data {tmp_path / 'n1'}"].message == f"node n1 of cluster c, held by process {os.getpid()}"
    finally:
        directory.close()
    assert (f"data {tmp_path / 'n1'}", "warn") in levels(findings(tmp_path / "n1"))
    assert main(["doctor", "--local", "--data-dir", str(tmp_path / "n1")]) == 0


def test_each_fault_of_a_data_directory_is_found(tmp_path: Path) -> None:
    name = f"data {tmp_path / 'n1'}"
    assert levels(findings(tmp_path / "n1")) == [(f"directory {tmp_path / 'n1'}", "fail")]
    (tmp_path / "n1" / "wal").mkdir(parents=True)
    assert (name, "fail") in levels(findings(tmp_path / "n1"))
    (tmp_path / "n1" / "identity.json").write_text('{"cluster":"c"')
    assert (name, "fail") in levels(findings(tmp_path / "n1"))
    (tmp_path / "n1" / "identity.json").write_text('{"cluster":"c","node":"n1"}\n"crc32 0"\n')
    assert (name, "warn") in levels(findings(tmp_path / "n1"))  # no process has it
    (tmp_path / "n1" / "fenced-3.json").write_text('{"index":5,"reason":"it differs"}')
    assert (name, "fail") in levels(findings(tmp_path / "n1"))
    (tmp_path / "n1" / "fenced-3.json").write_text('{"index":5,"reason":"it differs","trusted":true}')
    assert (name, "fail") not in levels(findings(tmp_path / "n1"))


def test_the_processes_of_a_local_cluster_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text("{}")
    assert ("processes", "warn") in levels(findings(tmp_path))
    process: dict[str, Any] = {
        "name": "n1",
        "role": "node",
        "pid": None,
        "address": "",
        "ports": [],
        "zone": "",
        "log": "",
        "restarts": 0,
    }
    log = tmp_path / "n1.log"
    log.write_text("first\nthe disk is on fire\n")
    listed = {"url": "", "supervisor_pid": os.getpid(), "processes": [process | {"log": str(log)}]}
    (tmp_path / "processes.json").write_text(json.dumps(listed))
    found = {one.check: one for one in findings(tmp_path)}
    assert found["process n1"].level == "fail"
    assert "the disk is on fire" in found["process n1"].message
    listed["processes"] = [process | {"pid": 1, "restarts": 9}]
    (tmp_path / "processes.json").write_text(json.dumps(listed))
    assert ("process n1", "warn") in levels(findings(tmp_path))


def test_a_disk_that_is_nearly_full_or_forgets_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_local, "FREE_BYTES_FAIL", 1 << 60)
    assert ("disk", "fail") in levels(findings(tmp_path))
    monkeypatch.setattr(doctor_local, "FREE_BYTES_FAIL", 0)
    monkeypatch.setattr(doctor_local, "FREE_BYTES_WARN", 1 << 60)
    assert ("disk", "warn") in levels(findings(tmp_path))
    monkeypatch.setattr(doctor_local, "file_system", lambda *_: "tmpfs")
    assert ("file system", "warn") in levels(findings(tmp_path))
    monkeypatch.setattr(doctor_local, "OPEN_FILES_MIN", 1 << 40)
    assert ("open files", "warn") in levels(findings(tmp_path))


def test_the_file_system_is_that_of_the_innermost_mount(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    inner = str(tmp_path).replace(" ", "\\040") + "/a\\040b"
    mounts = f"/dev/a / ext4 rw 0 0\ntmpfs {inner} tmpfs rw 0 0\nx /other nfs rw 0 0\n"
    assert file_system(tmp_path / "a b", mounts) == "tmpfs"
    assert file_system(tmp_path, mounts) == "ext4"
    assert file_system(tmp_path, "") == ""


def test_sizes_and_durations_are_for_people() -> None:
    assert [size(count) for count in (None, 0, 1023, 1024, 20_000, 3 << 30)] == [
        "-",
        "0 B",
        "1023 B",
        "1.0 KiB",
        "20 KiB",
        "3.0 GiB",
    ]
    assert [duration(s) for s in (None, 5.0, 119.0, 120.0, 7200.0, 200_000.0)] == [
        "-",
        "5 s",
        "119 s",
        "2 min",
        "2 h",
        "2 d",
    ]
