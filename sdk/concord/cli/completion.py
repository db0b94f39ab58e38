"""`concord completion`: a script for a shell, made of the parser itself, so that it knows what the parser knows."""

import argparse
import sys
from collections.abc import Iterator, Sequence

import msgspec

from concord.cli import exits
from concord.cli.arguments import Commands

DESCRIPTION = """Print a script that completes the words of concord in a shell. For bash: source <(concord completion bash)
in ~/.bashrc; for zsh the same in ~/.zshrc, behind compinit; for fish: concord completion fish | source in its config.fish."""
SHELLS = ("bash", "zsh", "fish")
FILES, DIRECTORIES = "FILE", "DIR"
"""Names of values that are completed as such."""


class Flag(msgspec.Struct, frozen=True):
    """An option: its spellings, what it means, and what its value may be (None: it takes none; (): anything)."""

    names: list[str]
    meaning: str
    values: tuple[str, ...] | None


class Place(msgspec.Struct, frozen=True):
    """Where a word may stand: the words before it, and what may follow them."""

    path: tuple[str, ...]
    commands: dict[str, str]
    flags: list[Flag]
    takes_files: bool


def add_parser(commands: Commands) -> None:
    """Register the command."""
    parser = commands.add_parser("completion", help="print a completion script for a shell", description=DESCRIPTION)
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the script."""
    from concord.cli import SERVER_COMMANDS  # noqa: PLC0415 - it imports us
    from concord.cli.commands import parser_for  # noqa: PLC0415 - likewise

    found = list(places(parser_for([], "", SERVER_COMMANDS)))
    sys.stdout.write({"bash": bash, "zsh": zsh, "fish": fish}[options.shell](found))
    return exits.DONE


def places(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[Place]:
    """All places of a parser, the outermost first."""
    commands: dict[str, str] = {}
    inner: dict[str, argparse.ArgumentParser] = {}
    flags = []
    takes_files = False
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to ask what it knows
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - likewise
            meanings = {one.dest: one.help or "" for one in action._choices_actions}  # noqa: SLF001 - likewise
            commands = {name: meanings.get(name, "") for name in action.choices}
            inner = dict(action.choices)
        elif action.option_strings:
            flags.append(Flag(list(action.option_strings), _meaning(action, parser), _values(action)))
        elif action.choices:
            commands = dict.fromkeys(map(str, action.choices), "")
        else:
            takes_files = takes_files or action.metavar == FILES
    yield Place(path, commands, flags, takes_files)
    for name, one in inner.items():
        yield from places(one, (*path, name))


def _meaning(action: argparse.Action, parser: argparse.ArgumentParser) -> str:
    text = parser._get_formatter()._expand_help(action) if action.help else ""  # noqa: SLF001 - likewise
    return " ".join(text.split())


def _values(action: argparse.Action) -> tuple[str, ...] | None:
    if action.nargs == 0:
        return None
    if action.choices:
        return tuple(map(str, action.choices))
    return (str(action.metavar),) if action.metavar in {FILES, DIRECTORIES} else ()


def _quoted(text: str) -> str:
    """A word of any of the three shells."""
    return "'" + text.replace("'", "'\\''") + "'"


def _paths(found: Sequence[Place]) -> str:
    """The pattern of a case for all words that lead to another place."""
    return " | ".join(_quoted(" ".join(("concord", *place.path))) for place in found if place.path)


def bash(found: Sequence[Place]) -> str:
    """The script for bash 4 and newer."""
    cases = []
    for place in found:
        words = [*place.commands, *(name for flag in place.flags for name in flag.names)]
        lines = [f"        case $previous in\n{_bash_values(place)}        esac"] if _bash_values(place) else []
        lines.append(f'        mapfile -t COMPREPLY < <(compgen -W {_quoted(" ".join(words))} -- "$current")')
        if place.takes_files:
            lines.append('        [[ $current == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$current")')
        cases.append(f"    {_quoted(' '.join(('concord', *place.path)))})\n" + "\n".join(lines) + "\n        ;;\n")
    return (
        "# concord, for bash: source <(concord completion bash)\n"
        "_concord() {\n"
        "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} place=concord i\n"
        "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
        '        case "$place ${COMP_WORDS[i]}" in\n'
        f'        {_paths(found)}) place+=" ${{COMP_WORDS[i]}}" ;;\n'
        "        esac\n"
        "    done\n"
        "    COMPREPLY=()\n"
        '    case "$place" in\n' + "".join(cases) + "    esac\n"
        "}\n"
        "complete -o filenames -F _concord concord\n"
    )


def _bash_values(place: Place) -> str:
    """What completes the value of an option, for the cases of the word before it."""
    lines = []
    for flag in place.flags:
        if flag.values is None:
            continue
        kinds: dict[tuple[str, ...], str] = {(FILES,): "-f", (DIRECTORIES,): "-d"}
        words = kinds.get(flag.values, f"-W {_quoted(' '.join(flag.values))}")
        reply = f'mapfile -t COMPREPLY < <(compgen {words} -- "$current"); ' if flag.values else ""
        lines.append(f"        {' | '.join(flag.names)}) {reply}return ;;\n")
    return "".join(lines)


def zsh(found: Sequence[Place]) -> str:
    """The script for zsh."""
    cases = []
    for place in found:
        lines = [
            f"            {'|'.join(flag.names)}) {_zsh_values(flag.values)}; return ;;"
            for flag in place.flags
            if flag.values is not None
        ]
        body = (["        case $words[CURRENT-1] in", *lines, "        esac"] if lines else []) + [
            *_zsh_described("verbs", place.commands, ""),
            *_zsh_described("flags", {name: flag.meaning for flag in place.flags for name in flag.names}, "-o "),
            *(["        _files"] if place.takes_files else []),
        ]
        cases.append(f"    {_quoted(' '.join(('concord', *place.path)))})\n" + "\n".join(body) + "\n        ;;\n")
    return (
        "#compdef concord\n"
        "# concord, for zsh: source <(concord completion zsh), behind compinit\n"
        "_concord() {\n"
        "    local place=concord word\n"
        "    local -a verbs flags\n"
        "    for word in ${words[2,CURRENT-1]}; do\n"
        '        case "$place $word" in\n'
        f'        ({_paths(found)}) place="$place $word" ;;\n'
        "        esac\n"
        "    done\n"
        '    case "$place" in\n' + "".join(cases) + "    esac\n"
        "}\n"
        "compdef _concord concord\n"
    )


def _zsh_described(what: str, words: dict[str, str], kind: str) -> list[str]:
    """Lines that offer words with their meanings."""
    if not words:
        return []
    described = " ".join(_quoted(f"{name}:{meaning}") for name, meaning in words.items())
    return [f"        {what}=({described})", f"        _describe {kind}{what} {what}"]


def _zsh_values(values: tuple[str, ...]) -> str:
    if values == (FILES,):
        return "_files"
    if values == (DIRECTORIES,):
        return "_files -/"
    return "compadd -- " + " ".join(map(_quoted, values)) if values else "_message value"


def fish(found: Sequence[Place]) -> str:
    """The script for fish."""
    lines = ["# concord, for fish: concord completion fish | source", "complete -c concord -f"]
    for place in found:
        condition = _quoted(_fish_condition(place))
        for name, meaning in place.commands.items():
            lines.append(f"complete -c concord -n {condition} -a {_quoted(name)} -d {_quoted(meaning)}")
        for flag in place.flags:
            spelled = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names)
            lines.append(f"complete -c concord -n {condition} {spelled}{_fish_values(flag)} -d {_quoted(flag.meaning)}")
        if place.takes_files:
            lines.append(f"complete -c concord -n {condition} -F")
    return "\n".join(lines) + "\n"


def _fish_condition(place: Place) -> str:
    if not place.path:
        return "__fish_use_subcommand"
    seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in place.path)
    return seen + (f"; and not __fish_seen_subcommand_from {' '.join(place.commands)}" if place.commands else "")


def _fish_values(flag: Flag) -> str:
    if flag.values is None:
        return ""
    if flag.values == (FILES,):
        return " -r -F"
    if flag.values == (DIRECTORIES,):
        return " -x -a '(__fish_complete_directories)'"
    return f" -x -a {_quoted(' '.join(flag.values))}" if flag.values else " -x"
