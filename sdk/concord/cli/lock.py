"""`concord lock run`: holds a lock while a command runs, and ends the command when the lock is lost."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from concord.cli import exits
from concord.cli.arguments import Commands, Parser, number_up_to, seconds_up_to
from concord.cli.connect import add_client_arguments, connected
from concord.cli.console import CliError, complain
from concord.cli.gateways import URL_VARIABLE, urls_of
from concord.cli.probe import first_alive
from concord.cli.running import run_until

if TYPE_CHECKING:
    from concord._held import Lock

DESCRIPTION = """Take a lock, run a command while it is held, give it back, and end with the command's exit code. The command
finds the fence in CONCORD_FENCE and the name in CONCORD_LOCK: it writes with --if-fence "$CONCORD_FENCE" what nobody may overwrite
who had the lock before. When the lock is lost, the command gets SIGTERM, after --grace SIGKILL, and the exit code is 124."""
FENCE_VARIABLE = "CONCORD_FENCE"
LOCK_VARIABLE = "CONCORD_LOCK"
TTL_S_DEFAULT = 30
LIMIT_TTL_S = 3600
LIMIT_WAIT_S = 1e6
LIMIT_GRACE_S = 3600.0
GRACE_S_DEFAULT = 5.0


def add_parser(commands: Commands) -> None:
    """Register the command and its own command."""
    lock = commands.add_parser("lock", help="run a command while a lock is held", description=DESCRIPTION)
    inner = lock.add_subparsers(metavar="WHAT", required=True, parser_class=Parser)
    parser = inner.add_parser("run", help="run a command while the lock is held", description=DESCRIPTION)
    parser.usage = "concord lock run [options] NAME -- COMMAND …"
    parser.add_argument("name", metavar="NAME", help="of the lock")
    add_client_arguments(parser)
    parser.add_argument(
        "--ttl",
        type=number_up_to(LIMIT_TTL_S),
        default=TTL_S_DEFAULT,
        metavar="SECONDS",
        help="after which another gets it when this process is gone (%(default)s)",
    )
    parser.add_argument(
        "--wait", type=wait, metavar="SECONDS", help="for the lock, 0 for not at all (as long as it takes)"
    )
    parser.add_argument(
        "--grace",
        type=seconds_up_to(LIMIT_GRACE_S),
        default=GRACE_S_DEFAULT,
        metavar="SECONDS",
        help="from SIGTERM to SIGKILL when the lock is lost (%(default)s)",
    )
    parser.set_defaults(run=run)


def wait(text: str) -> float:
    """An argument type: seconds from 0."""
    return 0.0 if text == "0" else seconds_up_to(LIMIT_WAIT_S)(text)


def run(options: argparse.Namespace) -> int:
    """Take the lock, run the command."""
    if not options.behind:
        raise CliError(
            "expected a command behind --, as in concord lock run nightly -- ./report", exit_code=exits.USAGE
        )
    try:
        first_alive(urls_of(options.url), options.timeout)  # so that only another's lock is waited for
        with connected(options) as client:
            return _run_locked(client.lock(options.name, ttl=options.ttl, wait=options.wait), options)
    except CliError as error:
        raise CliError(str(error), exit_code=exits.LOCK_REFUSED) from error


def _run_locked(lock: "Lock", options: argparse.Namespace) -> int:
    """Run the command within the lock; raises ConcordError when it is not got."""
    from concord import LockLost  # noqa: PLC0415 - the client is for those who connect

    try:
        with lock:
            fence = str(lock.fence)
            environ = {**os.environ, FENCE_VARIABLE: fence, LOCK_VARIABLE: options.name, URL_VARIABLE: options.url}
            return _run_command(options, environ, lock)
    except LockLost:
        complain(f"the lock {options.name} was lost: {options.behind[0]} was ended, or too late with its work")
        return exits.LOCK_LOST


def _run_command(options: argparse.Namespace, environ: dict[str, str], lock: "Lock") -> int:
    words = options.behind
    try:
        return run_until(words, environ, lock.lost, grace_s=options.grace, has_terminal=sys.stdin.isatty())
    except FileNotFoundError:
        complain(f"there is no command {words[0]}")
        return exits.NO_SUCH_COMMAND
    except OSError as error:
        complain(f"{words[0]}: {error.strerror}")
        return exits.NOT_EXECUTABLE
