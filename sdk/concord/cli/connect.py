"""A client for a command: made of its arguments, and its errors as one line with a hint and an exit code."""

import argparse
import contextlib
from collections.abc import Iterator

import concord
from concord import Concord, ConcordError
from concord.cli import exits
from concord.cli.arguments import Parser, seconds_up_to
from concord.cli.console import CliError
from concord.cli.gateways import TOKEN_VARIABLE, add_gateway_arguments, urls_of

TIMEOUT_S_DEFAULT = 5.0
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
    try:
        client = Concord(urls_of(options.url), token=options.token, timeout=options.timeout)
    except ValueError as error:
        raise CliError(str(error), "check --url and --token", exits.USAGE) from error
    with client:
        try:
            yield client
        except ConcordError as error:
            raise explained(error, options.url) from error


def explained(error: ConcordError, url: str) -> CliError:
    """The error as a command ends with it."""
    code, hint = next(((code, hint) for kind, code, hint in _CODES if isinstance(error, kind)), (exits.FAILED, ""))
    message = error.message or error.code
    if isinstance(error, concord.ConnectionFailed):
        message = f"nobody answers at {url}: {message.rpartition('] ')[2]}"
    elif isinstance(error, concord.Conflict) and error.holder is not None:
        message = f"{message}: {error.holder.owner} has it for {error.holder.ttl} s"
    return carried(CliError(message, hint, code), error)


def carried(made: CliError, error: ConcordError) -> CliError:
    """The first with what the other says to a program."""
    made.code, made.applied, made.retryable = error.code, error.applied, error.retryable
    return made
