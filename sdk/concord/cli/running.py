"""Another program as a child: signals are passed on to it, and it is ended when an event says so.

When stdin is a terminal the child stays in our process group, so that it may read from it; the terminal itself sends
Ctrl-C to both. Otherwise it has a group of its own, and what it started is ended with it.
"""

import contextlib
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_until(
    words: Sequence[str], environ: Mapping[str, str], event: threading.Event, *, grace_s: float, has_terminal: bool
) -> int:
    """Run a program to its end, or until `event` is set: then it has `grace_s` seconds from SIGTERM to SIGKILL.

    Returns:
        Its exit code, 128 + n when signal n ended it.

    Raises:
        OSError: it cannot be started.
    """
    ends: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    with _forwarding(has_terminal=has_terminal) as child:
        process = subprocess.Popen(  # noqa: S603 - what the user asks to be run, without a shell
            list(words), env=dict(environ), process_group=None if has_terminal else 0
        )
        child.begin(process)
        threading.Thread(target=lambda: ends.put(process.wait()), daemon=True).start()
        threading.Thread(target=_tell, args=(event, ends), daemon=True).start()
        code = ends.get()
        if code is None:
            child.send(signal.SIGTERM)
            with contextlib.suppress(queue.Empty):
                code = ends.get(timeout=grace_s)
            child.send(signal.SIGKILL)  # also for what it has left behind in its group
            code = ends.get() if code is None else code
    assert code is not None, "the second end is that of the process"  # noqa: S101 - one thread puts None, once
    return 128 - code if code < 0 else code


def _tell(event: threading.Event, ends: "queue.SimpleQueue[int | None]") -> None:
    event.wait()
    ends.put(None)


class _Child:
    """Whom signals go to; those that came before it was there wait for it."""

    def __init__(self, *, has_terminal: bool) -> None:
        self._has_terminal = has_terminal
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: list[int] = []

    def begin(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        for number in self._waiting:
            self.send(number)

    def send(self, number: int) -> None:
        if self._process is None:
            self._waiting.append(number)
        elif self._has_terminal:
            self._process.send_signal(number)  # not when it has ended: another may have its pid by now
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def forward(self, number: int, _frame: object) -> None:
        if not (self._has_terminal and number == signal.SIGINT):  # the terminal has sent it
            self.send(number)


@contextlib.contextmanager
def _forwarding(*, has_terminal: bool) -> Iterator[_Child]:
    child = _Child(has_terminal=has_terminal)
    previous = {number: signal.signal(number, child.forward) for number in FORWARDED}
    try:
        yield child
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
