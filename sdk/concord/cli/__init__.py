"""The command line `concord`: `up`, `status`, `token` and `certs` for people, `node` and `gateway` for server processes.

Exit codes: 0 done; 1 failed, or (`status`) the cluster is not whole; 2 wrong use; 3 (`status`) nobody answers at the URL.
Errors are one line on stderr. Only what a command needs is imported when it runs, so that every command starts quickly.
"""

import sys
from collections.abc import Sequence

from concord import __version__
from concord.cli.console import CliError, complain

SERVER_COMMANDS = ("node", "gateway")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words and words[0] in SERVER_COMMANDS:
            from concord.cli import server  # noqa: PLC0415 - only what a command needs

            return server.run(words[0], words[1:])
        if words[:2] == ["token", "bootstrap"]:
            from concord.cli import server  # noqa: PLC0415 - likewise

            return server.run("token-bootstrap", words[2:])
        return _run_client_command(words)
    except CliError as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # as in `concord status | head -1`
        sys.stderr.close()
        return 1


def _run_client_command(words: Sequence[str]) -> int:
    from concord.cli import certs, status, token, up  # noqa: PLC0415 - a node process needs none of them
    from concord.cli.arguments import Parser  # noqa: PLC0415 - likewise

    parser = Parser(
        prog="concord",
        description="A strongly consistent, sharded key-value store.",
    )
    parser.add_argument("--version", action="version", version=f"concord {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    up.add_parser(commands)
    status.add_parser(commands)
    token.add_parser(commands)
    certs.add_parser(commands)
    for command in SERVER_COMMANDS:  # run above; named here for the help
        commands.add_parser(command, help=f"run one {command} process (needs concord[server])")
    options = parser.parse_args(words)
    code: int = options.run(options)
    return code
