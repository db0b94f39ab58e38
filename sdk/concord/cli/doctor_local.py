"""What `concord doctor --data-dir` finds out on this machine. It opens files to read only, and takes no lock."""

import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path

import msgspec

from concord.cli.diagnosis import Finding, fail, ok, warn
from concord.cli.members import size
from concord.cli.processes import Process, last_line, read_process_list

IDENTITY_FILE = "identity.json"
LOCK_FILE = "LOCK"
LAYOUT_FILE = "cluster.json"
FREE_BYTES_FAIL = 256 << 20
FREE_BYTES_WARN = 2 << 30
OPEN_FILES_MIN = 4096
RESTARTS_MAX = 3
SHORT_LIVED = {"tmpfs", "ramfs"}
REMOTE = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"}
ADVICE_DAMAGED = "see docs/storage-faults.md before you change anything"


class _Identity(msgspec.Struct, frozen=True):
    cluster: str
    node: str


class _Mark(msgspec.Struct, frozen=True):
    reason: str = ""
    trusted: bool = False


def findings(directory: Path) -> Iterator[Finding]:
    """All checks of the directory of a node, or of `concord up` with those of its nodes in it."""
    if not directory.is_dir():
        yield fail(f"directory {directory}", "is not there", "check --data-dir")
        return
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        yield fail(f"directory {directory}", "may not be read and written by this user", "run as the user of the node")
        return
    yield from disk_findings(directory)
    if (directory / LAYOUT_FILE).exists():
        yield from process_findings(directory)
        nodes = sorted(one.parent for one in directory.glob(f"*/{IDENTITY_FILE}"))
    else:
        nodes = [directory]
    pids = {}
    for node in nodes:
        yield from node_findings(node)
        pids[node] = holder(node / LOCK_FILE)
    yield from limit_findings({node.name: pid for node, pid in pids.items() if pid})


def disk_findings(directory: Path) -> Iterator[Finding]:
    """Room on the disk, and whether it keeps what is written to it."""
    figures = os.statvfs(directory)
    free = figures.f_bavail * figures.f_frsize
    if figures.f_flag & os.ST_RDONLY:
        yield fail("disk", "is mounted read-only, perhaps after an error", "see the kernel's log (dmesg)")
    if free < FREE_BYTES_FAIL:
        yield fail("disk", f"{size(free)} free: nodes end when it is full", "make room")
    elif free < FREE_BYTES_WARN or (figures.f_files and figures.f_favail < 10_000):
        yield warn("disk", f"{size(free)} and {figures.f_favail} files free", "make room before it is full")
    else:
        yield ok("disk", f"{size(free)} free")
    kind = file_system(directory, Path("/proc/self/mounts").read_text(errors="replace"))
    if kind in SHORT_LIVED:
        yield warn("file system", f"{kind}: it is gone after a restart of the machine", "use a disk")
    elif kind in REMOTE:
        yield warn(
            "file system",
            f"{kind}: locks and syncs of a remote disk may not hold what they promise",
            "use a local disk",
        )


def file_system(directory: Path, mounts: str) -> str:
    """The type of the file system that a directory is on, by /proc/self/mounts; "" when that does not tell."""
    path = directory.resolve()
    best = ("", "")
    for line in mounts.splitlines():
        _, where, kind, *_ = [*line.split(), "", "", ""]
        where = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), where)
        if where and path.is_relative_to(where) and len(where) >= len(best[0]):
            best = (where, kind)
    return best[1]


def process_findings(directory: Path) -> Iterator[Finding]:
    """What `concord up` says of its processes."""
    listed = read_process_list(directory)
    if listed is None:
        yield warn("processes", "concord up does not run there", f"start it with --data-dir {directory}")
        return
    if listed.supervisor_pid is None or not Path(f"/proc/{listed.supervisor_pid}").exists():
        yield fail("processes", "concord up ended without stopping them", f"start it with --data-dir {directory}")
        return
    for process in listed.processes:
        yield from _of_process(process)


def _of_process(process: Process) -> Iterator[Finding]:
    log = Path(process.log)
    if process.pid is None:
        said = last_line(log) if log.exists() else "it has no log"
        yield fail(f"process {process.name}", f"is down; the last that it wrote is: {said}", f"see {log}")
    elif process.restarts > RESTARTS_MAX:
        yield warn(f"process {process.name}", f"was started again {process.restarts} times", f"see {log}")
    else:
        yield ok(f"process {process.name}", f"runs, pid {process.pid}")


def node_findings(directory: Path) -> Iterator[Finding]:
    """Whose directory it is, whether a process has it, and whether a replica in it was found wrong."""
    name = f"data {directory}"
    try:
        identity = msgspec.json.decode((directory / IDENTITY_FILE).read_bytes().partition(b"\n")[0], type=_Identity)
    except FileNotFoundError:
        begun = (directory / "wal").exists() or (directory / "snapshots").exists()
        if begun:
            yield fail(name, f"has a log but no {IDENTITY_FILE}: the node refuses to start", ADVICE_DAMAGED)
        else:
            yield warn(name, "is of no node yet", "check --data-dir, or start a node on it")
        return
    except (OSError, msgspec.DecodeError) as error:
        yield fail(name, f"{IDENTITY_FILE} cannot be read: {error}", ADVICE_DAMAGED)
        return
    pid = holder(directory / LOCK_FILE)
    whose = f"node {identity.node} of cluster {identity.cluster}"
    if pid:
        yield ok(name, f"{whose}, held by process {pid}")
    else:
        yield warn(name, f"{whose}, held by no process", "start the node, unless it is stopped on purpose")
    for path in sorted(directory.glob("fenced-*.json")):
        yield from _of_mark(name, path)


def _of_mark(name: str, path: Path) -> Iterator[Finding]:
    group = path.stem.removeprefix("fenced-")
    try:
        mark = msgspec.json.decode(path.read_bytes(), type=_Mark)
    except (OSError, msgspec.DecodeError):
        mark = _Mark("the mark cannot be read")
    if not mark.trusted:
        hint = "it mends itself from the leader while the node runs; if it stays so, see docs/adr/0004"
        yield fail(name, f"the state of its replica of group {group} was found wrong: {mark.reason}", hint)


def holder(lock: Path) -> int | None:
    """The process that has a file locked, by /proc/locks; None when none has, or it is in another container.

    Layered file systems show another device there than in the file's status: then the pid in the file tells.
    """
    try:
        found = lock.stat()
        said = lock.read_text(errors="replace").strip()
        locks = Path("/proc/locks").read_text()
    except OSError:
        return None
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    for words in map(str.split, locks.splitlines()):
        where, _, inode = words[5].rpartition(":") if len(words) > 5 else ("", "", "")
        if inode == str(found.st_ino) and (where == device or words[4] == said) and int(words[4]) > 0:
            return int(words[4])
    return None


def limit_findings(pids: dict[str, int]) -> Iterator[Finding]:
    """How many files processes may have open: those that run, or one that is started from here."""
    limits = {name: limit for name, pid in pids.items() if (limit := open_files(pid)) is not None}
    if not limits:
        limits = {"a node started from here": resource.getrlimit(resource.RLIMIT_NOFILE)[1]}
    for name, limit in limits.items():
        if limit != resource.RLIM_INFINITY and limit < OPEN_FILES_MIN:
            hint = f"raise it to {OPEN_FILES_MIN} or more (ulimit -n, LimitNOFILE=)"
            yield warn("open files", f"{name} may have {limit}", hint)
    if not any(limit != resource.RLIM_INFINITY and limit < OPEN_FILES_MIN for limit in limits.values()):
        yield ok("open files", f"{', '.join(limits)} may have {OPEN_FILES_MIN} or more")


def open_files(pid: int) -> int | None:
    """How many files a process may have open; None when that is not told."""
    try:
        text = Path(f"/proc/{pid}/limits").read_text()
    except OSError:
        return None
    found = re.search(r"^Max open files\s+(\d+|unlimited)", text, re.MULTILINE)
    if found is None:
        return None
    return resource.RLIM_INFINITY if found[1] == "unlimited" else int(found[1])
