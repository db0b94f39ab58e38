"""`concord lock run`: the command under the lock, its exit code, and what happens when the lock is lost."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from concord.cli import exits, main
from concord.cli.running import run_until
from tests.sdk.fake import REFUSED, refused
from tests.sdk.memory import Memory

PYTHON = sys.executable
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concord.cli.lock.first_alive", lambda urls, _timeout_s: urls[0])


def locked(*words: str, flags: tuple[str, ...] = ()) -> int:
    return main(["lock", "run", "nightly", *flags, "--", *words])


def test_the_command_finds_the_fence_and_its_code_is_ours(memory: Memory, tmp_path: Path) -> None:
    file = tmp_path / "seen"
    script = f"import os; open({str(file)!r}, 'w').write(os.environ['CONCORD_FENCE'] + os.environ['CONCORD_LOCK'])"
    assert locked(PYTHON, "-c", script) == 0
    assert file.read_text() == "1nightly"
    assert memory.holder is None
    assert locked("sh", "-c", "exit 7") == 7
    assert locked("sh", "-c", "kill -9 $$") == 137
    assert memory.holder is None


def test_a_command_that_cannot_start_gives_the_lock_back(memory: Memory, tmp_path: Path) -> None:
    assert locked("no-such-command-here") == exits.NO_SUCH_COMMAND
    (tmp_path / "plain").write_text("text")
    assert locked(str(tmp_path / "plain")) == exits.NOT_EXECUTABLE
    assert memory.holder is None


@pytest.mark.parametrize(
    ("answer", "said"), [(REFUSED, "nobody answers"), (refused(401, "UNAUTHORIZED"), "CONCORD_TOKEN")]
)
def test_without_the_lock_the_command_does_not_run(
    memory: Memory, tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: object, said: str
) -> None:
    memory.answers = [answer] * 20  # type: ignore[list-item] # those above
    assert locked("touch", str(tmp_path / "ran"), flags=("--timeout", "0.01", "--wait", "0")) == exits.LOCK_REFUSED
    assert said in capsys.readouterr().err
    memory.answers, memory.holder = [], "another"
    assert locked("touch", str(tmp_path / "ran"), flags=("--wait", "0")) == exits.LOCK_REFUSED
    assert not (tmp_path / "ran").exists()


def test_when_the_lock_is_lost_the_command_is_ended(
    memory: Memory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first renewal, after a third of the time to live, finds that another has it."""
    file = tmp_path / "ended"
    script = f"trap 'echo term > {file}; exit 3' TERM; echo > {tmp_path / 'began'}; while true; do sleep 0.05; done"

    def steal() -> None:
        while not (tmp_path / "began").exists():
            time.sleep(0.01)
        memory.holder = "another"

    thief = threading.Thread(target=steal)
    thief.start()
    assert locked("sh", "-c", script, flags=("--ttl", "1")) == exits.LOCK_LOST
    thief.join()
    assert file.read_text() == "term\n"
    assert memory.holder == "another"
    assert "was lost" in capsys.readouterr().err


def test_who_does_not_listen_is_killed_with_all_that_it_started() -> None:
    event = threading.Event()
    reader, writer = os.pipe()
    script = f"trap '' TERM; sh -c \"trap '' TERM; echo ready >&{writer}; exec sleep 60\" & wait; sleep 60"
    os.set_inheritable(writer, True)

    def lose() -> None:
        assert os.read(reader, 6) == b"ready\n"
        event.set()

    thread = threading.Thread(target=lose)
    thread.start()
    # Popen closes what is not passed on, so the pipe goes as stdout
    saved = os.dup(1)
    os.dup2(writer, 1)
    try:
        code = run_until(
            ["sh", "-c", script.replace(f">&{writer}", "")], os.environ, event, grace_s=0.2, has_terminal=False
        )
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(writer)
    thread.join()
    assert code == 128 + signal.SIGKILL
    assert os.read(reader, 1) == b"", "something still holds the pipe"
    os.close(reader)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_go_to_the_command(number: signal.Signals, tmp_path: Path) -> None:
    script = (
        "import os, threading; from concord.cli.running import run_until\n"
        f"words = ['sh', '-c', 'trap \"exit 9\" {number.name[3:]}; touch {tmp_path / 'began'}; while true; do sleep 0.05; done']\n"
        "raise SystemExit(run_until(words, os.environ, threading.Event(), grace_s=1, has_terminal=False))"
    )
    with subprocess.Popen([PYTHON, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT / "sdk")}) as process:
        while not (tmp_path / "began").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(30) == 9


def test_nobody_at_the_url_is_said_at_once(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    assert locked("true", flags=("--url", "http://127.0.0.1:1")) == exits.LOCK_REFUSED
    assert "nobody answers" in capsys.readouterr().err
    assert memory.asked == []
