"""The command line `concord`. What its exit codes mean is in `exits`, which modules have which commands in `commands`.

Errors are one line on stderr, of JSON with --json. Only what a command needs is imported when it runs, so that every command starts quickly.
"""

import itertools
import os
import sys
from collections.abc import Sequence

from concord import __version__
from concord.cli import exits
from concord.cli.console import CliError, tell

SERVER_COMMANDS = ("node", "gateway")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in itertools.takewhile(lambda word: word != "--", words)
    try:
        try:
            code = _run(words)
        except SystemExit as leaving:  # argparse, with a help text or a complaint
            if not isinstance(leaving.code, int):
                raise
            code = leaving.code
        sys.stdout.flush()
    except CliError as error:
        tell(error, as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:  # as in `concord ls | head -1`
        _abandon_stdout()
        return exits.FAILED
    except OSError as error:
        _abandon_stdout()
        tell(CliError(f"{error.filename or 'stdout'}: {error.strerror or error}"), as_json=as_json)
        return exits.FAILED
    return code


def _run(words: list[str]) -> int:
    if words[:1] == ["help"]:
        from concord.cli import commands  # noqa: PLC0415 - a node process needs none of them

        words = commands.resolved(words)
    if words and words[0] in SERVER_COMMANDS:
        from concord.cli import server  # noqa: PLC0415 - only what a command needs

        return server.run(words[0], words[1:])
    if words[:2] == ["token", "bootstrap"]:
        from concord.cli import server  # noqa: PLC0415 - likewise

        return server.run("token-bootstrap", words[2:])
    return _run_client_command(words)


def _run_client_command(words: Sequence[str]) -> int:
    from concord.cli import commands  # noqa: PLC0415 - a node process needs none of them

    words, behind = commands.parted(commands.resolved(words))
    options = commands.parser_for(words, __version__, SERVER_COMMANDS).parse_args(words)
    options.behind = behind
    code: int = options.run(options)
    return code


def _abandon_stdout() -> None:
    """Nobody takes what is still to be written: it must not be tried again at the end of the process."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # it is no file
        return
