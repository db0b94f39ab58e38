"""Three applications form a cluster, with nothing else beside them."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.e2e.cluster import ROOT, Client, free_port

PROGRAM = ROOT / "tests" / "e2e" / "member_app.py"


class App:
    """One application, which may be killed and started again."""

    def __init__(self, path: Path, listen: str, join: Sequence[str]) -> None:
        self._words = [sys.executable, "-P", str(PROGRAM), str(path), listen, *join]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "sdk"), str(ROOT)])}
        self._process = subprocess.Popen(self._words, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def say(self, name: str, *arguments: Any) -> None:
        """Give it a command."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode([name, *arguments]) + b"\n")
        self._process.stdin.flush()

    def heard(self) -> Any:
        """The answer to the oldest command that was not heard yet."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the application has ended"
        return msgspec.json.decode(line)

    def do(self, name: str, *arguments: Any) -> Any:
        self.say(name, *arguments)
        return self.heard()

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._close()

    def end(self) -> int:
        """End its input, which ends it in order; its exit code."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._close()

    def close(self) -> None:
        if self._process is not None:
            self.kill()

    def _close(self) -> int:
        process, self._process = self._process, None
        assert process is not None
        code = process.wait(20)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()
        return code


@pytest.fixture
def apps(tmp_path: Path) -> Iterator[list[App]]:
    port = free_port()
    addresses = [f"127.0.0.1:{port + number}" for number in range(3)]
    started = [App(tmp_path / f"app{number}", address, addresses) for number, address in enumerate(addresses)]
    yield started
    for app in started:
        app.close()


def test_three_applications_form_a_cluster_that_survives_one(apps: list[App]) -> None:
    first, second, third = apps
    for app in apps:
        app.say("wait_ready")
    for app in apps:
        assert app.heard() is None
    first.do("put", "a", {"x": 1})
    assert [app.do("get", "a") for app in (second, third)] == [{"x": 1}, {"x": 1}]
    port = int(second.do("serve_http").rpartition(":")[2])
    with closing(Client(port)) as client:
        assert client.get("a", "?with_ttl=true").data["value"] == {"x": 1}

    first.kill()
    for key in range(9):  # in every group
        second.do("put", f"b/{key}", key)
    assert [third.do("get", f"b/{key}") for key in range(9)] == list(range(9))

    first.start()
    first.do("wait_ready")
    second.kill()  # from now on a majority needs what the first one has caught up with
    first.do("put", "c", 3)
    assert [third.do("get", f"b/{key}") for key in range(9)] == list(range(9))
    assert first.do("get", "c") == third.do("get", "c") == 3
    assert [app.end() for app in (first, third)] == [0, 0]
