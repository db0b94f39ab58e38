"""Writes the audit log: one thread, one file, so that a slow or full disk never holds the event loop up.

Lines are handed over within FLUSH_S and are then in the operating system's hands; they are not synced. While the file cannot be
written, lines wait in the backlog, and the same bytes are tried again, from where the last attempt ended. When the
file at the path is another one (rotated away), or `reopen` was called, the next line goes into a newly opened one.
"""

import errno
import logging
import os
import stat
import threading
import time
from collections.abc import Callable

from gateway.audit.backlog import Backlog
from gateway.audit.lines import dropped_line

_log = logging.getLogger(__name__)

BACKLOG_BYTES = 32 << 20
BATCH_BYTES = 1 << 20
FLUSH_S = 0.05
RETRY_S = 0.5
ROTATED_EVERY_S = 1.0
CLOSE_S = 5.0
MODE = 0o600
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class AuditLog:
    """The file, the thread that writes it, and what waits for it. `start` opens it, `close` ends it.

    Args:
        path: where it is; made with mode 0600, and an existing one is given that mode.
        on_dropped: told, by the thread that adds, that a line was dropped.
        backlog_bytes: what may wait.
        write: `os.write`.
    """

    def __init__(
        self,
        path: str,
        *,
        on_dropped: Callable[[], object] = lambda: None,
        backlog_bytes: int = BACKLOG_BYTES,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        self.is_failing = False
        self._path = path
        self._on_dropped = on_dropped
        self._write = write
        self._backlog = Backlog(backlog_bytes)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._reopens = False
        self._stops = False
        self._file = -1
        self._looked_at = 0.0
        self._pending = b""
        self._written = 0
        self._thread = threading.Thread(target=self._run, name="audit-log", daemon=True)

    @property
    def waiting_bytes(self) -> int:
        """What waits to be written."""
        return self._backlog.size + len(self._pending) - self._written

    def start(self) -> None:
        """Open the file and begin to write.

        Raises:
            OSError: it cannot be opened, or is no regular file.
        """
        self._open()
        self._thread.start()

    def close(self) -> bool:
        """Write what waits, for as long as CLOSE_S; whether all was written."""
        if not self._thread.is_alive():
            return True
        self._stops = True
        self._wake.set()
        self._thread.join(CLOSE_S)
        return not self._thread.is_alive() and not self.waiting_bytes

    def reopen(self) -> None:
        """Open the file at the path anew before the next line (SIGHUP)."""
        self._reopens = True
        self._wake.set()

    def reserve(self) -> bool:
        """Keep room for one line; `add` or `release` must follow. False when it might not be written."""
        with self._lock:
            return not self.is_failing and self._backlog.reserve()

    def release(self) -> None:
        """The room that was reserved is not needed."""
        with self._lock:
            self._backlog.release()

    def add(self, line: bytes, *, was_reserved: bool) -> None:
        """Have a line written, or dropped and counted when there is no room for it."""
        with self._lock:
            is_kept = self._backlog.add(line, was_reserved=was_reserved)
        if not is_kept:
            self._on_dropped()

    # --- the thread

    def _run(self) -> None:
        while True:
            self._wake.wait(RETRY_S if self.is_failing else FLUSH_S)
            self._wake.clear()
            stops = self._stops
            is_done = self._turn()
            if stops and (is_done or self.is_failing):
                break
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _turn(self) -> bool:
        """Write what waits; False when it could not be written, or not all of it yet."""
        try:
            self._follow_rotation()
            while self._fill():
                self._put()
        except OSError as error:
            if not self.is_failing:
                _log.error("the audit log cannot be written: %s", error.strerror)
            self.is_failing = True
            return False
        if self.is_failing:
            _log.warning("the audit log is written again")
        self.is_failing = False
        return True

    def _fill(self) -> bool:
        """Whether there is anything to write."""
        if self._written < len(self._pending):
            return True
        with self._lock:
            lines = self._backlog.take(BATCH_BYTES)
            dropped = self._backlog.take_dropped()
        if dropped:
            lines.append(dropped_line(time.time_ns() // 1_000_000, dropped))
        self._pending, self._written = b"".join(lines), 0
        return bool(lines)

    def _put(self) -> None:
        while self._written < len(self._pending):
            self._written += self._write(self._file, self._pending[self._written :])

    def _follow_rotation(self) -> None:
        """Open the file again when that was asked for, or when the path names another one."""
        now = time.monotonic()
        if self._file >= 0 and not self._reopens and now - self._looked_at < ROTATED_EVERY_S:
            return
        self._looked_at = now
        if self._file >= 0 and not self._reopens and self._is_in_place():
            return
        self._reopens = False
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._open()

    def _is_in_place(self) -> bool:
        try:
            found = os.lstat(self._path)
        except FileNotFoundError:
            return False
        ours = os.fstat(self._file)
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)

    def _open(self) -> None:
        file = os.open(self._path, _FLAGS, MODE)
        try:
            _prepare(file)
        except BaseException:
            os.close(file)
            raise
        self._file = file
        self._written = self._pending.rfind(b"\n", 0, self._written) + 1


def _prepare(file: int) -> None:
    """See that lines may be added to a file that was opened.

    Raises:
        OSError: not to this one.
    """
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    if stat.S_IMODE(found.st_mode) != MODE:
        os.fchmod(file, MODE)
    # A line that was cut off, here or by a crash, must not swallow the next one.
    if found.st_size and os.pread(file, 1, found.st_size - 1) != b"\n":
        os.write(file, b"\n")
