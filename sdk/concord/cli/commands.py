"""Which module has which command, and the parser made of them: of one module for a command, of all for the help."""

import argparse
import importlib
from collections.abc import Sequence

from concord.cli import exits
from concord.cli.arguments import Commands, Parser
from concord.cli.console import CliError

MODULES = {
    "up": "up",
    "status": "status",
    "members": "members",
    "groups": "members",
    "get": "keys",
    "put": "keys",
    "delete": "keys",
    "ls": "keys",
    "incr": "keys",
    "touch": "keys",
    "ttl": "keys",
    "watch": "watch",
    "lock": "lock",
    "export": "exporting",
    "import": "importing",
    "bench": "bench",
    "doctor": "doctor",
    "token": "token",
    "certs": "certs",
    "completion": "completion",
}
"""The module of this package with the command's `add_parser`, in the order of the help."""
ALIASES = {"set": "put", "list": "ls", "del": "delete", "rm": "delete"}
"""What commands are called elsewhere."""
DESCRIPTION = "A strongly consistent, sharded key-value store."
END_OF_OPTIONS = "--"


def resolved(words: Sequence[str]) -> list[str]:
    """The words with the command's own name: `set k v` as `put k v`, `help put` as `put --help`, `version` as `--version`."""
    first, rest = list(words[:1]), list(words[1:])
    if first == ["help"]:
        return [*(ALIASES.get(word, word) for word in rest), "--help"]
    if first == ["version"]:
        return ["--version", *rest]
    return [*(ALIASES.get(word, word) for word in first), *rest]


def parted(words: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """The words of `lock run`, and those behind its `--`, which are another program's; None when there is no `--`."""
    if list(words[:1]) != ["lock"] or END_OF_OPTIONS not in words:
        return list(words), None
    place = list(words).index(END_OF_OPTIONS)
    return list(words[:place]), list(words[place + 1 :])


def parser_for(words: Sequence[str], version: str, server_commands: Sequence[str]) -> Parser:
    """A parser that knows the command that the words begin with, or every one if they begin with none."""
    parser = Parser(
        prog="concord",
        description=DESCRIPTION,
        epilog=f"also: {', '.join(f'{alias} for {name}' for alias, name in ALIASES.items())}\n\n{exits.epilog()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"concord {version}")
    commands: Commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    wanted = words[0] if words else ""
    if wanted and not wanted.startswith("-") and wanted not in {*MODULES, *server_commands}:
        import difflib  # noqa: PLC0415 - only who is wrong pays for it

        near = difflib.get_close_matches(wanted, [*MODULES, *ALIASES, *server_commands], 1)
        raise CliError(
            f"there is no command {wanted}", f"did you mean {near[0]}?" if near else "see concord --help", exits.USAGE
        )
    every = [] if wanted == "--version" else dict.fromkeys(MODULES.values())
    for module in [MODULES[wanted]] if wanted in MODULES else every:
        importlib.import_module(f"concord.cli.{module}").add_parser(commands)
    for command in server_commands:  # run elsewhere; named here for the help
        commands.add_parser(command, help=f"run one {command} process (needs concord[server])")
    return parser
