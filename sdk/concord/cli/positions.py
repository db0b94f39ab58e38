"""How far an export or import of a file has come: kept in `FILE.position` beside it, until it is done."""

from pathlib import Path

import msgspec

from concord.cli import exits
from concord.cli.console import CliError
from concord.cli.files import write_atomically


class Position(msgspec.Struct, frozen=True):
    """What is done.

    Attributes:
        name: which work it is: the prefix of an export; for an import what tells whether the file is the same.
        cursor: of an export: where to go on; "" for the beginning.
        bytes: of the file.
        count: keys, and lines that an import could not read.
        failed: of them, those that an import could not write or read.
        unreadable: of them, those that it could not read.
        lines: of the file.
    """

    name: str
    cursor: str = ""
    bytes: int = 0
    count: int = 0
    failed: int = 0
    unreadable: int = 0
    lines: int = 0


def position_path(path: Path) -> Path:
    """Where it is kept."""
    return path.with_name(path.name + ".position")


def save(path: Path, position: Position) -> None:
    """Keep it; it survives a power cut once this returns.

    Raises:
        CliError: it cannot be written.
    """
    try:
        write_atomically(position_path(path), msgspec.json.encode(position) + b"\n")
    except OSError as error:
        raise CliError(f"{position_path(path)}: {error.strerror}", "it is kept beside the file") from error


def load(path: Path) -> Position:
    """What was kept.

    Raises:
        CliError: nothing was, or it is none (exit code 2).
    """
    try:
        return msgspec.json.decode(position_path(path).read_bytes(), type=Position)
    except FileNotFoundError as error:
        raise CliError(
            f"{path} was not interrupted: there is no {position_path(path).name}", "leave out --resume", exits.USAGE
        ) from error
    except (OSError, msgspec.DecodeError) as error:
        raise CliError(f"{position_path(path)}: {error}", "begin anew", exits.USAGE) from error


def remove(path: Path) -> None:
    """It is done."""
    position_path(path).unlink(missing_ok=True)
