"""Processes are found, measured, paused and ended by pid."""

import os
import sys
import time
from pathlib import Path

import pytest

from loadtest.children import Child, clean_environ, free_ports, paused, wait_until, wait_until_settled
from loadtest.errors import LoadtestError
from loadtest.proc import (
    ProcessTimes,
    cpu_s,
    descendants,
    is_alive,
    memory_bytes,
    parse_memory,
    parse_stat,
    parse_written,
    times,
    written_bytes,
)

STAT = "1234 (a (strange) name) S 77 1234 1234 0 -1 4194304 500 0 0 0 250 50 3 4 20 0 9 0 100 200 300"
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
try:
    time.sleep(60)
finally:
    child.kill()
    child.wait()
"""
OBSTINATE = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


def start(program: str, tmp_path: Path) -> Child:
    return Child([sys.executable, "-c", program], tmp_path / "log", clean_environ())


def test_the_fields_of_a_process_are_found_behind_any_name() -> None:
    assert parse_stat(STAT) == ProcessTimes(parent=77, state="S", ticks=300)


def test_memory_is_read_in_bytes() -> None:
    assert parse_memory("Name:\tx\nVmHWM:\t  20 kB\nVmRSS:\t  10 kB\n", "VmRSS") == 10240
    assert parse_memory("Name:\tx\n", "VmRSS") == 0


def test_bytes_written_are_those_that_reach_a_disk() -> None:
    assert parse_written("wchar: 99\nsyscw: 7\nwrite_bytes: 4096\ncancelled_write_bytes: 5\n") == 4096
    assert written_bytes([os.getpid()]) >= 0
    with pytest.raises(LoadtestError, match="cannot be seen"):
        written_bytes([1 << 30])


def test_this_process_uses_memory_and_time() -> None:
    now, highest = memory_bytes(os.getpid())
    assert 0 < now <= highest
    before = cpu_s([os.getpid()])
    wait_until(lambda: cpu_s([os.getpid()]) > before, "time passes", 20)


def test_a_process_that_ended_cannot_be_measured(tmp_path: Path) -> None:
    child = start("", tmp_path)
    assert child.stop(20)
    with pytest.raises(LoadtestError, match=str(child.pid)):
        cpu_s([child.pid])
    with pytest.raises(LoadtestError, match=str(child.pid)):
        memory_bytes(child.pid)


def test_children_of_children_are_found_and_a_stop_ends_the_child(tmp_path: Path) -> None:
    child = start(PARENT, tmp_path)
    wait_until(lambda: len(descendants(child.pid)) == 1, "there is a grandchild", 20)
    (grandchild,) = descendants(child.pid)
    assert grandchild in descendants(os.getpid())
    child.kill()
    assert not is_alive(child.pid)
    os.kill(grandchild, 9)
    wait_until(lambda: not is_alive(grandchild), "it is gone", 20)


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    child = start(OBSTINATE, tmp_path)
    wait_until(lambda: (tmp_path / "log").read_text() == "ready\n", "it ignores SIGTERM", 20)
    assert not child.stop(0.01)
    assert not is_alive(child.pid)


def test_a_child_that_ended_says_why(tmp_path: Path) -> None:
    child = start("raise SystemExit('no such thing')", tmp_path)
    wait_until(lambda: not is_alive(child.pid), "it ends", 20)
    with pytest.raises(LoadtestError, match="no such thing"):
        child.check()


def test_a_paused_process_goes_on_afterwards(tmp_path: Path) -> None:
    child = start("import time; time.sleep(60)", tmp_path)

    def is_paused() -> bool:
        found = times(child.pid)
        return found is not None and found.state == "T"

    def pause_and_fail() -> None:
        with paused([child.pid]):
            wait_until(is_paused, "it is paused", 20)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        pause_and_fail()
    wait_until(lambda: not is_paused(), "it goes on", 20)
    child.kill()


def test_waiting_has_an_end() -> None:
    with pytest.raises(LoadtestError, match="never"):
        wait_until(lambda: False, "never", 0)
    with pytest.raises(LoadtestError, match="never the same"):
        wait_until_settled(time.monotonic_ns, "never the same", 0.1, 0.2)


def test_something_settles_when_it_stays_the_same() -> None:
    seen = iter([None, 1, 2, 2, 2, 2, 2, 2, 2])
    assert wait_until_settled(lambda: next(seen), "the same", 0.05, 20) == 2


def test_settings_of_the_measured_systems_are_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCORD_DURABILITY", "memory")
    monkeypatch.setenv("ETCD_UNSAFE_NO_FSYNC", "true")
    environ = clean_environ(EXTRA="1")
    assert not {"CONCORD_DURABILITY", "ETCD_UNSAFE_NO_FSYNC"} & set(environ)
    assert environ["EXTRA"] == "1"


def test_free_ports_are_neighbours() -> None:
    ports = free_ports(6)
    assert ports == list(range(ports[0], ports[0] + 6))
