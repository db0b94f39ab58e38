"""What a figure depends on besides the program: commit, versions, machine, disk."""

import importlib.metadata
import os
import platform
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from loadtest.errors import LoadtestError
from loadtest.figures import Latencies, latencies

ROOT = Path(__file__).parents[1]
LIBRARIES = ("granian", "litestar", "msgspec", "pysyncobj", "uvloop")
VOLATILE = {"tmpfs", "ramfs"}
SYNCS = 200
SYNC_BYTES = 4096


class Provenance(msgspec.Struct, frozen=True):
    """Everything but the figures; `load` is the load average of the last minute before the run."""

    commit: str
    versions: str
    machine: str
    filesystem: str
    sync: Latencies
    load: float


def collect(directory: Path, generated: Path) -> Provenance:
    """Look around; `directory` is where the systems keep their data, `generated` the file that is written now.

    Raises:
        LoadtestError: the directory is in memory, where a sync costs nothing.
    """
    filesystem = filesystem_of(directory, Path("/proc/self/mounts").read_text())
    if filesystem in VOLATILE:
        raise LoadtestError(f"{directory} is in memory ({filesystem}): choose a --directory on a disk")
    load = os.getloadavg()[0]
    return Provenance(_commit(generated), _versions(), _machine(), filesystem, time_syncs(directory), load)


def _commit(generated: Path) -> str:
    try:
        commit = _output(["git", "rev-parse", "--short=12", "HEAD"])
        changed = _output(["git", "status", "--porcelain", "--untracked-files=no", "--", ".", f":!{generated}"])
    except (OSError, subprocess.CalledProcessError):
        return "unknown, this is not a git checkout"
    return f"{commit} with uncommitted changes" if changed else commit


def python_build() -> str:
    """The version of this Python and how it was built, which is worth a tenth of an operation's time (docs/performance.md).

    A distribution's own lies under /usr and does not tell how it was optimized, so the distribution is named.
    """
    version = f"Python {platform.python_version()}"
    if sys.base_prefix == "/usr":
        return f"{version} of {platform.freedesktop_os_release()['NAME']}"
    return f"{version} built {'with' if was_told_to_optimize() else 'without'} optimizations"


def was_told_to_optimize() -> bool:
    """Whether this Python was configured with profile-guided optimization."""
    return "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")


def _versions() -> str:
    parts = [f"Concord {importlib.metadata.version('concord')}", python_build()]
    parts += [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES]
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout.split()  # exits with 1
    return ", ".join([*parts, " ".join(said[:2])])


def _machine() -> str:
    model = field_of(Path("/proc/cpuinfo").read_text(), "model name") or platform.machine()
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{len(os.sched_getaffinity(0))} cores ({model}), {gibibytes:.0f} GiB of memory, Linux {platform.release()}"


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def field_of(text: str, name: str) -> str:
    """The first value of a field of a file like /proc/cpuinfo, "" when there is none."""
    for line in text.splitlines():
        field, _, value = line.partition(":")
        if field.strip() == name:
            return value.strip()
    return ""


def filesystem_of(directory: Path, mounts: str) -> str:
    """Type of the file system that holds a directory; `mounts` is the content of /proc/self/mounts."""
    resolved, best, found = directory.resolve(), -1, "unknown"
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        mount = Path(point.replace("\\040", " "))
        if resolved.is_relative_to(mount) and len(mount.parts) >= best:  # a later mount covers an earlier one
            best, found = len(mount.parts), kind
    return found


def time_syncs(directory: Path) -> Latencies:
    """How long the disk takes to make a small append durable: the floor under every write."""
    path, times_ms = directory / "sync-probe", []
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        for _ in range(SYNCS):
            os.write(descriptor, bytes(SYNC_BYTES))
            began = time.perf_counter()
            os.fdatasync(descriptor)
            times_ms.append((time.perf_counter() - began) * 1000)
    finally:
        os.close(descriptor)
        path.unlink()
    return latencies(times_ms)
