"""`concord export`: keys and values as JSON Lines, page by page, so that it can stop and go on.

A file that is not whole yet has a `FILE.position` beside it: the cursor of the last page in it and the size up to there.
It is replaced after each page is on the disk, and removed at the end. So whatever ended the export, `--resume` cuts off
what is behind that size and goes on at the cursor. No snapshot: each page is as it was when it was read.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from concord.cli import exits
from concord.cli.arguments import Commands
from concord.cli.connect import add_client_arguments, connected
from concord.cli.console import Bar, CliError
from concord.cli.members import groups
from concord.cli.output import print_json
from concord.cli.positions import Position, load, position_path, remove, save
from concord.cli.values import row_of

if TYPE_CHECKING:
    from concord import Concord

DESCRIPTION = """Write the keys with a prefix and their values as JSON Lines, for concord import: to stdout, or to a file,
where --resume goes on after an interruption. Pages of up to 1000 keys are read one after another: each is as it was at that
moment, all together are no snapshot of one instant. A time to live is what was left when the key was read."""


def add_parser(commands: Commands) -> None:
    """Register the command."""
    parser = commands.add_parser("export", help="write keys and values as JSON Lines", description=DESCRIPTION)
    parser.add_argument("prefix", nargs="?", default="", metavar="PREFIX")
    add_client_arguments(parser)
    parser.add_argument("--output", "-o", metavar="FILE", help="where to (stdout)")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--resume", action="store_true", help="go on with a FILE that is not whole")
    ways.add_argument("--force", action="store_true", help="replace a FILE that is there")
    parser.add_argument("--json", action="store_true", help="say how much was written to FILE as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write all pages."""
    if options.output is None:
        if options.resume or options.force or options.json:
            raise CliError("--resume, --force and --json need --output FILE", exit_code=exits.USAGE)
        with connected(options) as client:
            _write_pages(client, options, sys.stdout.buffer, Position(options.prefix), None)
        return exits.DONE
    path = Path(options.output)
    with _opened(path, options) as (file, begun):
        try:
            with connected(options) as client:
                done = _write_pages(client, options, file, begun, path)
        except (CliError, KeyboardInterrupt):
            if not options.json:
                sys.stderr.write(f"{path} is not whole: go on with --resume\n")
            raise
    remove(path)
    _say(path, done, as_json=options.json)
    return exits.DONE


@contextlib.contextmanager
def _opened(path: Path, options: argparse.Namespace) -> Iterator[tuple[BinaryIO, Position]]:
    """The file, and how much of it is there already.

    Raises:
        CliError: it cannot be written, is there already, or is not one to go on with (exit code 2).
    """
    begun = Position(options.prefix)
    try:
        if options.resume:
            begun = load(path)
            if begun.name != options.prefix:
                raise CliError(f"{path} is an export of the prefix {begun.name!r}", "name the same one", exits.USAGE)
            if path.stat().st_size < begun.bytes:
                raise CliError(f"{path} is shorter than it was", "begin anew with --force", exits.USAGE)
        file = path.open("r+b" if options.resume else "wb" if options.force else "xb")
    except FileExistsError as error:
        raise CliError(
            f"{path} is there already",
            "go on with --resume, or replace it with --force"
            if position_path(path).exists()
            else "replace it with --force",
            exits.USAGE,
        ) from error
    except OSError as error:
        raise CliError(f"{path}: {error.strerror}", "choose another --output", exits.USAGE) from error
    with file:
        file.truncate(begun.bytes)
        file.seek(begun.bytes)
        save(path, begun)
        yield file, begun


def _write_pages(
    client: "Concord", options: argparse.Namespace, file: BinaryIO, begun: Position, path: Path | None
) -> Position:
    """Write what is left to write; a page is on the disk before it counts as written."""
    from concord._values import AS_STORED  # noqa: PLC0415 - the client is for those who connect

    done, total = begun, _total(options)
    bar = Bar(sys.stderr, "keys")
    try:
        for page in client.pages(options.prefix, type=AS_STORED, cursor=begun.cursor):
            content = b"".join(msgspec.json.encode(row_of(entry)) + b"\n" for entry in page.entries)
            file.write(content)
            done = Position(options.prefix, page.cursor, done.bytes + len(content), done.count + len(page.entries))
            if path is not None and page.cursor:
                file.flush()
                os.fdatasync(file.fileno())
                save(path, done)
            bar.show(done.count, done.count / total if total else None)
        file.flush()
        if path is not None:
            os.fdatasync(file.fileno())
    finally:
        bar.clear()
    return done


def _total(options: argparse.Namespace) -> int | None:
    """How many keys there are about, for the bar; None when that cannot be known."""
    if options.prefix or not sys.stderr.isatty():
        return None
    try:
        return sum(group.keys for group in groups(options.url, options.token))
    except CliError:
        return None


def _say(path: Path, done: Position, *, as_json: bool) -> None:
    if as_json:
        print_json({"keys": done.count, "bytes": done.bytes})
    else:
        sys.stderr.write(f"{done.count} keys are in {path}\n")
