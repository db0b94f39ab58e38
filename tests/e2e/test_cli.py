"""The command line against a real cluster: docs/cli.md as it is written, and what survives export and import."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from concord.cli import exits, main
from concord.cli.commands import MODULES
from tests.e2e.cluster import ROOT, wait_until
from tests.e2e.guarded import Guarded
from tests.test_readme import matches, steps

PAGE = ROOT / "docs" / "cli.md"
Output = pytest.CaptureFixture[str]


@pytest.fixture
def cluster(guarded: Guarded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Guarded:
    """The shared cluster, as the one that commands ask; we are in an empty directory."""
    monkeypatch.setenv("CONCORD_URL", guarded.cluster.url)
    monkeypatch.setenv("CONCORD_TOKEN", guarded.root)
    monkeypatch.chdir(tmp_path)
    return guarded


def test_the_page_is_true(cluster: Guarded, capfd: Output) -> None:
    """In this process, which is quicker; a command that is not `concord` is run."""
    for step in steps(PAGE.read_text()):
        words = shlex.split(step.command)
        if words[0] == "concord":
            main(words[1:])
        else:
            subprocess.run(words, check=True)
        shown = capfd.readouterr()
        actual = (shown.out or shown.err).replace(cluster.cluster.url, "http://127.0.0.1:4000")
        assert matches(step.expected, actual), f"$ {step.command}\n{actual}\ninstead of\n{step.expected}"
    assert main(["delete", "--prefix", "demo/"]) == 0


def test_the_page_has_every_command_and_every_exit_code() -> None:
    text = PAGE.read_text()
    assert set(re.findall(r"^### (\w+)", text, re.MULTILINE)) == set(MODULES)
    codes = re.findall(r"^\| (\d+) \| (.*) \|$", text, re.MULTILINE)
    assert {int(code): meaning for code, meaning in codes} == exits.MEANINGS


@pytest.mark.usefixtures("cluster")
def test_values_and_times_to_live_survive_export_and_import(tmp_path: Path, capfd: Output) -> None:
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(range(256)))
    assert main(["put", "trip/raw", f"@{raw}", "--content-type", "image/png", "--ttl", "500"]) == 0
    assert main(["put", "trip/json", '{"a":  [1.50, null]}']) == 0
    assert main(["put", "trip/text", "caf\u00e9\n", "--type", "text", "--ttl", "600"]) == 0
    assert main(["export", "trip/", "-o", "out.jsonl"]) == 0
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [row["key"] for row in rows] == ["trip/json", "trip/raw", "trip/text"]
    assert (rows[1]["encoding"], rows[1]["content_type"]) == ("base64", "image/png")
    assert 490 < rows[1]["ttl"] <= 500
    assert main(["delete", "--prefix", "trip/"]) == 0
    assert main(["import", "out.jsonl"]) == 0
    capfd.readouterr()
    assert main(["ls", "trip/", "--values", "--json"]) == 0
    again = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    for before, after in zip(rows, again, strict=True):
        assert before.pop("revision") < after.pop("revision")
        assert after.pop("ttl", 0) <= before.pop("ttl", 0)
        assert before == after
    assert main(["get", "trip/json"]) == 0
    assert capfd.readouterr().out == '{"a":  [1.50, null]}\n'
    assert main(["delete", "--prefix", "trip/"]) == 0


def test_without_a_token_the_code_says_so(cluster: Guarded, monkeypatch: pytest.MonkeyPatch, capfd: Output) -> None:
    monkeypatch.delenv("CONCORD_TOKEN")
    for words in (["get", "a"], ["ls"], ["watch", "--limit", "1"], ["members"], ["status"], ["bench"], ["export"]):
        assert main(words) == exits.DENIED, words
        assert "CONCORD_TOKEN" in capfd.readouterr().err
    assert main(["lock", "run", "a", "--", "true"]) == exits.LOCK_REFUSED
    assert main(["doctor"]) == exits.FAILED
    assert len(cluster.ports) == 3


def _take_interrupts() -> None:
    """A shell that runs the tests in the background has them ignored, and what it starts inherits that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_watch_and_a_write_go_on_when_their_gateway_is_killed(
    cluster: Guarded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch is a process of its own, which is ended as a person would."""
    monkeypatch.setenv("CONCORD_URL", ",".join(f"http://127.0.0.1:{port}" for port in cluster.ports[:2]))
    words = [sys.executable, "-P", "-m", "concord.cli", "watch", "seen-by-cli/", "--state"]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'sdk'}"}
    output = tmp_path / "output"
    with (
        output.open("wb") as file,
        subprocess.Popen(words, env=environ, stdout=file, stderr=file, preexec_fn=_take_interrupts) as process,  # noqa: PLW1509 - no thread holds a lock that it needs
    ):
        try:
            wait_until(lambda: output.read_text() == "synced\n", "the watch is synced")
            cluster.cluster.kill("gateway1")
            assert main(["put", "seen-by-cli/a", "1", "--timeout", "30"]) == 0
            told = "synced\nput\tseen-by-cli/a\t1\n"
            wait_until(lambda: output.read_text() == told, "the change is told", 40)
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == exits.INTERRUPTED
            assert output.read_text() == told
        finally:
            process.kill()
    wait_until(lambda: all(one.pid for one in cluster.cluster.processes()), "the gateway is back", 30)
    assert main(["delete", "seen-by-cli/a", "--timeout", "30"]) == 0
