"""A disk that fails or is slow on demand, for real processes: a preloaded shim, and the rules that it obeys.

    disk = FaultDisk(folder)                               # builds the shim with gcc, once a folder
    subprocess.Popen(words, env={**os.environ, **disk.environ})
    disk.set(Rule("sync", "*/n1/wal/*", error=errno.EIO))  # from now on, in every process that was started so
    disk.set(Rule("sync", "*/n1/wal/*", delay_ms=200))     # replaces the rules before
    disk.clear()

Rules lie in a file that the processes map into memory: they hold from the next call on, and `hits` says how often each
was obeyed. Children inherit the shim, so one FaultDisk serves a whole cluster; patterns tell the nodes apart. Files that
are mapped into memory are beyond its reach: Concord maps none.
"""

import errno
import mmap
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import pytest

SOURCE = Path(__file__).with_name("shim.c")
RULES_MAX = 16
_COUNT = struct.Struct("<II")
_RULE = struct.Struct("<16s232siIII")
_COUNTERS = struct.Struct("<QQQ")
_SIZE = _COUNT.size + RULES_MAX * (_RULE.size + _COUNTERS.size)

Call: TypeAlias = Literal["open", "read", "write", "sync", "reserve", "truncate", "rename", "unlink", "mkdir", "lock"]
"""What can be made to fail: `sync` is fsync and fdatasync, of directories too; `reserve` is fallocate, `lock` flock."""


class Rule(msgspec.Struct, frozen=True):
    """What happens to some calls.

    Attributes:
        call: which calls.
        pattern: of the absolute path (`fnmatch`; `*` crosses slashes); of a rename, of its target.
        error: the errno that they fail with; 0: they are made.
        delay_ms: how long they take longer.
        skip: how many are spared first.
        limit: how many are hit after that; 0: all.
    """

    call: Call
    pattern: str
    error: int = 0
    delay_ms: int = 0
    skip: int = 0
    limit: int = 0

    def __str__(self) -> str:
        name = errno.errorcode.get(self.error, "")
        return f"{self.call} of {self.pattern}: {name}{f' +{self.delay_ms} ms' if self.delay_ms else ''}"


def why_not() -> str:
    """Why the shim cannot be used here, "" when it can."""
    if not sys.platform.startswith("linux"):
        return "calls are intercepted on Linux only"
    return "" if shutil.which("gcc") else "gcc not found (Debian: gcc, libc6-dev)"


def require_faultdisk() -> None:
    """Skip a test where the shim cannot be built."""
    if reason := why_not():
        pytest.skip(reason)


def build(folder: Path) -> Path:
    """Compile the shim into a folder, unless it is there already."""
    library = folder / "faultdisk.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / "faultdisk.unfinished"
        words = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(unfinished), str(SOURCE)]
        done = subprocess.run([*words, "-ldl"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        unfinished.replace(library)
    return library


class FaultDisk:
    """The rules that the processes started with `environ` obey."""

    def __init__(self, folder: Path) -> None:
        """`folder` gets the shim and the rules; processes need it for as long as they run."""
        self._library = build(folder)
        self._path = folder / "faultdisk.rules"
        with self._path.open("w+b") as file:
            file.truncate(_SIZE)
            self._memory = mmap.mmap(file.fileno(), _SIZE)

    @property
    def environ(self) -> dict[str, str]:
        """What to add to the environment of a process."""
        return {"LD_PRELOAD": str(self._library), "FAULTDISK_CONTROL": str(self._path)}

    def set(self, *rules: Rule) -> None:
        """Let these rules hold and no others; all counters begin at zero."""
        assert len(rules) <= RULES_MAX, "too many rules"
        self.clear()
        for number, rule in enumerate(rules):
            call, pattern = rule.call.encode(), rule.pattern.encode()
            assert len(pattern) < 232, "the pattern is too long"
            at = self._at(number)
            _RULE.pack_into(self._memory, at, call, pattern, rule.error, rule.delay_ms, rule.skip, rule.limit)
            _COUNTERS.pack_into(self._memory, at + _RULE.size, 0, 0, 0)
        _COUNT.pack_into(self._memory, 0, len(rules), 0)

    def clear(self) -> None:
        """Let the disk be well again. Counters stay until the next `set`."""
        _COUNT.pack_into(self._memory, 0, 0, 0)

    def hits(self, number: int = 0) -> int:
        """How often the rule of this number was obeyed."""
        return int(self._counters(number)[1])

    def first_hit_s(self, number: int = 0) -> float:
        """When it was for the first time, on the clock of `time.monotonic`."""
        _, hits, first_ns = self._counters(number)
        assert hits, "the rule was never obeyed"
        return int(first_ns) / 1e9

    def close(self) -> None:
        """Let go of the rules; they hold no more."""
        self.clear()
        self._memory.close()

    def _at(self, number: int) -> int:
        return _COUNT.size + number * (_RULE.size + _COUNTERS.size)

    def _counters(self, number: int) -> tuple[int, ...]:
        return _COUNTERS.unpack_from(self._memory, self._at(number) + _RULE.size)
