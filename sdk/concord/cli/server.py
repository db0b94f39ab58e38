"""`concord node` and `concord gateway`: find the process in the installed server, and make it end with its supervisor.

The client does not import the server: the entry points of the group `concord.commands` say where a process starts.

A process that `concord up` starts must not outlive it, not even when `up` is killed with SIGKILL and can do nothing any
more. So the process asks the kernel for a SIGKILL at its parent's end (prctl(2), PR_SET_PDEATHSIG). It asks for itself,
after exec: a hook between fork and exec is unsafe beside threads, and a pipe from the parent would need a thread that
still runs when the process hangs. SIGKILL because it cannot be missed; nothing acknowledged is lost by it.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points

from concord.cli.console import CliError

ENTRY_POINTS = "concord.commands"
SUPERVISOR_VARIABLE = "CONCORD_SUPERVISOR_PID"
PR_SET_PDEATHSIG = 1


def run(command: str, argv: Sequence[str]) -> int:
    """Start the server process `command` in this process and return its exit code.

    Raises:
        CliError: the server is not installed.
    """
    _end_with_supervisor()
    found = list(entry_points(group=ENTRY_POINTS, name=command))
    if not found:
        raise CliError(f"this installation knows no concord {command}", "install Concord with its extra 'server'")
    try:
        start: Callable[[Sequence[str]], int] = found[0].load()
    except ImportError as error:
        raise CliError(
            f"concord {command} needs the server, which is not installed ({error})",
            "install Concord with its extra 'server'",
        ) from error
    return start(argv)


def _end_with_supervisor() -> None:
    supervisor = os.environ.pop(SUPERVISOR_VARIABLE, "")
    if not supervisor or sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(supervisor):  # it ended before we asked
        raise CliError("the supervisor is gone")
