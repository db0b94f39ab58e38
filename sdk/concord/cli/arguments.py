"""Command lines: a parser whose errors are one line, and the types of its arguments."""

import argparse
from collections.abc import Callable
from typing import NoReturn, TypeAlias

from concord.cli.console import complain

USAGE_EXIT = 2


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and which takes no abbreviated flags."""

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, **options)  # type: ignore[arg-type] # passed on as they come

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is, and leave."""
        complain(f"{message} (see {self.prog} --help)")
        raise SystemExit(USAGE_EXIT)


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 - the only name argparse has for it


def number_up_to(most: int) -> Callable[[str], int]:
    """An argument type: a whole number from 1 to `most`."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = 0
        if not 1 <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {most}")
        return value

    return number
