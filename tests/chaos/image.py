"""A file system that can lose power: ext4 in a file, mounted through a loop device.

What a copy of the file holds is what the file system had put on its disk by then, no more. So to cut the power: stop the
processes, copy the file, kill them, and mount the copy in the place of the file. Needs root.
"""

import os
import shutil
import subprocess
from pathlib import Path

from tests.e2e.cluster import wait_until

COPIES_MAX = 50


class Image:
    """One disk. `folder` holds the file; the disk is mounted at `mountpoint`."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.mountpoint = folder / "disk"
        self._file = folder / "disk.img"
        self._copy = folder / "disk.copy"
        self._size_bytes = size_bytes
        self._mounted = False

    def create(self) -> None:
        """Make an empty file system and mount it."""
        with self._file.open("wb") as file:
            file.truncate(self._size_bytes)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self._file))
        self.mountpoint.mkdir(exist_ok=True)
        self._mount()

    def copy(self) -> None:
        """Keep what is on the disk at one moment. Whoever writes to it must have been stopped.

        The kernel goes on writing what they left behind. A copy that is equal to the file afterwards is what the disk held
        when the one reading ended and the other began; any other mixes moments, as no loss of power does.
        """
        for _ in range(COPIES_MAX):
            _run("cp", "--sparse=always", str(self._file), str(self._copy))
            if subprocess.run(["cmp", "-s", str(self._file), str(self._copy)], check=False).returncode == 0:
                return
        message = f"{self._file} did not stand still for {COPIES_MAX} copies"
        raise OSError(message)

    def lose_power(self) -> None:
        """Go back to what `copy` kept. Whoever had files open must have been killed."""
        self.close()
        os.replace(self._copy, self._file)  # noqa: PTH105 - replaces
        self._mount()

    def close(self) -> None:
        """Unmount, if it is mounted."""
        if self._mounted:
            wait_until(self._unmount, f"{self.mountpoint} is not busy")
            self._mounted = False

    def _unmount(self) -> bool:
        """Threads of a process that was killed may keep its files open for a moment after it became a zombie."""
        return subprocess.run(["umount", str(self.mountpoint)], capture_output=True, check=False).returncode == 0

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._file), str(self.mountpoint))
        self._mounted = True


def why_not() -> str:
    """Why images cannot be used here, "" when they can."""
    missing = [name for name in ("mkfs.ext4", "mount", "umount") if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not found (Debian: e2fsprogs, mount)"
    if os.geteuid() != 0:
        return "only root may mount a file system"
    return "" if Path("/dev/loop-control").exists() else "there are no loop devices"


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"{' '.join(words)}: {done.stderr.strip()}"
        raise OSError(message)
