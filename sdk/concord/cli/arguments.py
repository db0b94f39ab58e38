"""Command lines: a parser whose errors are one line, and the types of its arguments."""

import argparse
import math
from collections.abc import Callable
from typing import NoReturn, TypeAlias

from concord.cli.console import CliError
from concord.cli.exits import USAGE


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and which takes no abbreviated flags."""

    def __init__(self, **options: object) -> None:
        super().__init__(allow_abbrev=False, **options)  # type: ignore[arg-type] # passed on as they come

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is."""
        raise CliError(message, f"see {self.prog} --help", USAGE)


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


def seconds_up_to(most: float) -> Callable[[str], float]:
    """An argument type: seconds above 0, up to `most`."""

    def seconds(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0, up to {most:g}")
        return value

    return seconds


def whole_number(text: str) -> int:
    """An argument type: any whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def revision(text: str) -> int:
    """An argument type: a whole number from 0."""
    value = whole_number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is below 0")
    return value
