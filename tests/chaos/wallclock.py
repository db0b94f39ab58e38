"""Wall clocks that are wrong, each in a way of its own: a library that is preloaded, and the file that tells it how far.

libfaketime would do the same, but with monotonic clocks left alone its clock_nanosleep fails, and a node sleeps.
"""

import mmap
import shutil
import struct
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).with_name("wallclock.c")
_FIELDS = struct.Struct("=qqq")


class WallClock:
    """The wall clock of one host; `environ` gives it to a process."""

    def __init__(self, library: Path, file: Path) -> None:
        file.write_bytes(bytes(_FIELDS.size))
        self.environ: Mapping[str, str] = {"LD_PRELOAD": str(library), "WALLCLOCK_FILE": str(file)}
        with file.open("r+b") as opened:
            self._shown = mmap.mmap(opened.fileno(), _FIELDS.size)

    def set(self, offset_s: float, drift: float = 0.0) -> None:
        """From now on it is `offset_s` ahead, and gains `drift` seconds a second."""
        _FIELDS.pack_into(self._shown, 0, int(offset_s * 1e9), int(drift * 1e6), time.monotonic_ns())


def build(folder: Path) -> Path:
    """Compile the library; needs gcc."""
    library = folder / "wallclock.so"
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    return library


def why_not() -> str:
    """Why it cannot be built here, "" when it can."""
    return "" if shutil.which("gcc") else "gcc not found"
