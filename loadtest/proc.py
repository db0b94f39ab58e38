"""What the kernel counts about processes (proc(5)): time on CPUs and memory."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from loadtest.errors import LoadtestError

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


class ProcessTimes(msgspec.Struct, frozen=True):
    """A process: who started it, its state (Z for a zombie), and its CPU time, user and system, in ticks."""

    parent: int
    state: str
    ticks: int


def parse_stat(text: str) -> ProcessTimes:
    """Read the content of /proc/<pid>/stat, whose second field may hold blanks and brackets."""
    fields = text.rpartition(")")[2].split()
    return ProcessTimes(parent=int(fields[1]), state=fields[0], ticks=int(fields[11]) + int(fields[12]))


def parse_memory(text: str, field: str) -> int:
    """Bytes of a field of /proc/<pid>/status, as in `VmRSS:   1234 kB`; 0 when it is missing."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    return 0


def times(pid: int) -> ProcessTimes | None:
    """What the kernel counts about a process, None when it is gone."""
    with suppress(OSError):
        return parse_stat((PROC / str(pid) / "stat").read_text())
    return None


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    found = times(pid)
    return found is not None and found.state not in {"Z", "X"}


def cpu_s(pids: Iterable[int]) -> float:
    """Seconds that processes have spent on CPUs so far, all threads together.

    Raises:
        LoadtestError: one of them is gone, so that a difference of two calls would say nothing.
    """
    total = 0
    for pid in pids:
        found = times(pid)
        if found is None:
            raise LoadtestError(f"process {pid} ended while it was measured")
        total += found.ticks
    return total / TICKS_PER_S


def parse_machine(text: str) -> float:
    """Seconds that all CPUs together were busy, from the content of /proc/stat; waiting for disks is not busy."""
    user, nice, system, _idle, _waiting, *interrupts = (int(ticks) for ticks in text.partition("\n")[0].split()[1:])
    return (user + nice + system + sum(interrupts[:2])) / TICKS_PER_S


def machine_cpu_s() -> float:
    """Seconds that all CPUs of this machine together were busy since it started."""
    return parse_machine((PROC / "stat").read_text())


def descendants(pid: int) -> list[int]:
    """Pids of the children of a process, their children, and so on; sorted."""
    parents = {int(path.name): found.parent for path in PROC.glob("[0-9]*") if (found := times(int(path.name)))}
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sorted(family - {pid})


def memory_bytes(pid: int) -> tuple[int, int]:
    """Resident memory of a process: now, and at its highest."""
    try:
        text = (PROC / str(pid) / "status").read_text()
    except OSError as error:
        raise LoadtestError(f"process {pid} is gone") from error
    return parse_memory(text, "VmRSS"), parse_memory(text, "VmHWM")


def written_bytes(pids: Iterable[int]) -> int:
    """Bytes that processes have had written to disks so far (`write_bytes` of proc(5)), all threads together.

    Raises:
        LoadtestError: one of them is gone, or belongs to somebody else.
    """
    total = 0
    for pid in pids:
        try:
            text = (PROC / str(pid) / "io").read_text()
        except OSError as error:
            raise LoadtestError(f"what process {pid} writes cannot be seen: {error.strerror}") from error
        total += parse_written(text)
    return total


def parse_written(text: str) -> int:
    """Bytes written to disks, from the content of /proc/<pid>/io."""
    return int(next(line for line in text.splitlines() if line.startswith("write_bytes:")).split()[1])
