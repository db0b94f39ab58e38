"""A client for a command: made of its arguments, and its errors as one line with a hint and an exit code."""

import argparse
import contextlib
from collections.abc import Iterator, Sequence

import concord
from concord import Concord, ConcordError
from concord._transports import NO_ANSWER, NO_HTTP
from concord.cli import exits
from concord.cli.arguments import Parser, seconds_up_to
from concord.cli.console import CliError
from concord.cli.gateways import NO_GATEWAY, TOKEN_VARIABLE, add_gateway_arguments, checked_urls

TIMEOUT_S_DEFAULT = 5.0
PROBE_TIMEOUT_S = 2.0
LIMIT_TIMEOUT_S = 3600.0
_UNAVAILABLE = "nothing was applied; try again, or see concord doctor"

_CODES: tuple[tuple[type[ConcordError], int, str], ...] = (
    (concord.Unauthorized, exits.DENIED, f"set {TOKEN_VARIABLE} to a token that is good"),
    (concord.Forbidden, exits.DENIED, f"set {TOKEN_VARIABLE} to a token whose scopes cover it"),
    (concord.NotFound, exits.NOT_FOUND, ""),
    (concord.PreconditionFailed, exits.CONFLICT, "nothing was written; concord get KEY --json shows the revision"),
    (concord.Conflict, exits.CONFLICT, ""),
    (concord.CrossGroup, exits.CONFLICT, ""),
    (concord.InvalidRequest, exits.USAGE, ""),
    (concord.TooLarge, exits.USAGE, "see docs/limits.md"),
    (concord.UnknownOutcome, exits.UNKNOWN, "it may have been applied: read before you write again"),
    (concord.ConnectionFailed, exits.UNREACHABLE, "is it up? concord up"),
    (concord.Timeout, exits.UNAVAILABLE, _UNAVAILABLE),
    (concord.Unavailable, exits.UNAVAILABLE, _UNAVAILABLE),
    (concord.TooManyRequests, exits.UNAVAILABLE, _UNAVAILABLE),
)
"""The first that fits counts."""


def add_client_arguments(parser: Parser) -> None:
    """Say which gateways to ask, with which token, and for how long."""
    add_gateway_arguments(parser)
    parser.add_argument(
        "--timeout",
        type=seconds_up_to(LIMIT_TIMEOUT_S),
        default=TIMEOUT_S_DEFAULT,
        metavar="SECONDS",
        help="for each request, all attempts together (%(default)s)",
    )


@contextlib.contextmanager
def connected(options: argparse.Namespace) -> Iterator[Concord]:
    """A client that is closed afterwards.

    Raises:
        CliError: whatever the client raised inside.
    """
    urls = checked_urls(options.url)
    try:
        client = Concord(urls, token=options.token, timeout=options.timeout)
    except ValueError as error:
        raise CliError(str(error), f"check --token and {TOKEN_VARIABLE}", exits.USAGE) from error
    with client:
        try:
            yield client
        except ConcordError as error:
            raise _looked_into(error, urls, explained(error, options.url)) from error


def _looked_into(error: ConcordError, urls: Sequence[str], made: CliError) -> CliError:
    """The error, or what is behind it: when no answer came, there may be nobody who speaks HTTP."""
    if error.status or NO_ANSWER not in error.message:
        return made
    from concord.cli.probe import first_alive  # noqa: PLC0415 - only who got no answer needs it

    try:
        first_alive(urls, PROBE_TIMEOUT_S)
    except CliError as found:
        if made.exit_code != exits.UNKNOWN:
            return found
        return carried(CliError(f"{made.message}; {found.message}", made.hint, made.exit_code), error)
    return made


def explained(error: ConcordError, url: str) -> CliError:
    """The error as a command ends with it."""
    code, hint = next(((code, hint) for kind, code, hint in _CODES if isinstance(error, kind)), (exits.FAILED, ""))
    message = error.message or error.code
    is_refused = isinstance(error, concord.ConnectionFailed)
    if message == NO_HTTP:
        message, hint = f"{url} is no gateway: {message}", NO_GATEWAY if is_refused else hint
    elif is_refused:
        message = f"nobody answers at {url}: {message}"
    elif isinstance(error, concord.Conflict) and error.holder is not None:
        message = f"{message}: {error.holder.owner} has it for {error.holder.ttl} s"
    return carried(CliError(message, hint, code), error)


def carried(made: CliError, error: ConcordError) -> CliError:
    """The first with what the other says to a program."""
    made.code, made.applied, made.retryable = error.code, error.applied, error.retryable
    return made
