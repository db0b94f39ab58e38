"""`concord import`: what `concord export` wrote, back into a cluster, some thousand keys at a time.

Importing a line again sets the same key to the same value, so an import that is repeated, from the beginning or from the
last position, comes to the same; only times to live begin anew. `FILE.position` says up to which byte all is written.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from concord.cli import exits
from concord.cli.arguments import Commands
from concord.cli.connect import add_client_arguments, connected, explained
from concord.cli.console import Bar, CliError, complain
from concord.cli.keys import LIMIT_COMPLAINTS, complain_of
from concord.cli.output import print_json
from concord.cli.positions import Position, load, remove, save
from concord.cli.values import Row

if TYPE_CHECKING:
    from concord import Concord, Put, Written

DESCRIPTION = """Set the keys of a file that concord export wrote: JSON Lines with key, value, and perhaps ttl, encoding and
content_type. A key that is there is replaced, and no other is touched. What cannot be written is told, and the rest is.
To import again does no harm, but that times to live begin anew."""
LIMIT_LINE_BYTES = 16 << 20
BATCH_KEYS = 4000
BATCH_BYTES = 16 << 20
STDIN = "-"

_row = msgspec.json.Decoder(Row)


class Batch(msgspec.Struct, frozen=True):
    """Lines that are written together; `end` is the place of the file behind them."""

    puts: "dict[str, Put]"
    lines: int
    end: int


def add_parser(commands: Commands) -> None:
    """Register the command."""
    parser = commands.add_parser("import", help="set keys from JSON Lines", description=DESCRIPTION)
    parser.add_argument("file", metavar="FILE", help="where from; - for stdin")
    add_client_arguments(parser)
    parser.add_argument("--resume", action="store_true", help="go on with a FILE whose import was interrupted")
    parser.add_argument("--dry-run", action="store_true", help="only look whether every line can be read")
    parser.add_argument("--json", action="store_true", help="say how much was written as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Set all keys; exit code 1 when some could not be written."""
    if options.file == STDIN:
        if options.resume:
            raise CliError("--resume needs a FILE", "what was imported may be imported again", exits.USAGE)
        done = _import(options, sys.stdin.buffer, Position(""), None)
    else:
        path = Path(options.file)
        try:
            with path.open("rb") as file:
                done = _import_file(options, path, file)
        except OSError as error:
            raise CliError(f"{path}: {error.strerror}", exit_code=exits.USAGE) from error
    said = "can be read" if options.dry_run else "imported"
    if options.json:
        print_json({"keys": done.count - done.failed, "failed": done.failed})
    else:
        sys.stderr.write(f"{done.count - done.failed} keys {said}, {done.failed} failed\n")
    return exits.FAILED if done.failed else exits.DONE


def _import_file(options: argparse.Namespace, path: Path, file: BinaryIO) -> Position:
    begun = Position(_name(file))
    if options.resume:
        begun = load(path)
        if begun.name != _name(file):
            raise CliError(f"{path} has changed since", "leave out --resume to begin anew", exits.USAGE)
        file.seek(begun.bytes)
    kept = None if options.dry_run or not _can_keep(path, begun) else path
    try:
        done = _import(options, file, begun, kept)
    except (CliError, KeyboardInterrupt):
        if not options.dry_run:
            how = "go on with --resume" if kept else "import it again"
            sys.stderr.write(f"not all of {path} is imported: {how}\n")
        raise
    if kept:
        remove(path)
    return done


def _can_keep(path: Path, begun: Position) -> bool:
    """Whether a position can be kept beside the file; it is no reason not to import it."""
    try:
        save(path, begun)
    except CliError as error:
        complain(f"{error}; an interruption means to import it again")
        return False
    return True


def _name(file: BinaryIO) -> str:
    """What tells whether a file is the same as before."""
    found = os.fstat(file.fileno())
    return f"{found.st_size} bytes of {found.st_mtime_ns}"


def _import(options: argparse.Namespace, file: BinaryIO, begun: Position, path: Path | None) -> Position:
    """Write what is left; what a batch of it came to is kept beside `path` before the next, if there is one."""
    done, total = begun, os.fstat(file.fileno()).st_size
    bar = Bar(sys.stderr, "keys")
    try:
        with connected(options) as client:
            for batch in batches(file, begun):
                failed = 0 if options.dry_run else _write(client, batch, options.url, LIMIT_COMPLAINTS - done.failed)
                done = Position(begun.name, "", batch.end, done.count + batch.lines, done.failed + failed)
                if path is not None:
                    save(path, done)
                bar.show(done.count, done.bytes / total if total else None)
    finally:
        bar.clear()
    return done


def _write(client: "Concord", batch: Batch, url: str, complaints: int) -> int:
    """Set the keys of a batch, and return how many cannot be set.

    Raises:
        CliError: some may be set later.
    """
    written: Written = client.put_many(batch.puts)
    for error in written.errors.values():
        if error.retryable:
            raise explained(error, url)
    return complain_of(written, complaints)


def batches(file: BinaryIO, begun: Position) -> Iterator[Batch]:
    """The lines of a file from its present place on, in bounded parts.

    Raises:
        CliError: a line is none (exit code 2); all before it were given.
    """
    from concord import Put  # noqa: PLC0415 - the client is for those who connect

    puts: dict[str, Put] = {}
    lines, size, end, number = 0, 0, begun.bytes, begun.count
    while line := file.readline(LIMIT_LINE_BYTES):
        number += 1
        if line.isspace():
            lines, end = lines + 1, end + len(line)
            continue
        try:
            key, put = _put(line)
        except (ValueError, msgspec.DecodeError) as error:
            if puts:
                yield Batch(puts, lines, end)
            raise CliError(f"line {number}: {error}", "expected what concord export writes", exits.USAGE) from error
        puts[key] = put
        lines, size, end = lines + 1, size + len(line), end + len(line)
        if lines == BATCH_KEYS or size >= BATCH_BYTES:
            yield Batch(puts, lines, end)
            puts, lines, size = {}, 0, 0
    if puts:
        yield Batch(puts, lines, end)


def _put(line: bytes) -> "tuple[str, Put]":
    """The key and value of a line; raises ValueError."""
    from concord import Put  # noqa: PLC0415 - likewise

    if not line.endswith(b"\n") and len(line) == LIMIT_LINE_BYTES:
        raise ValueError(f"over {LIMIT_LINE_BYTES} bytes")
    row = _row.decode(line)
    if not row.key:
        raise ValueError("the key is empty")
    if row.ttl is not None and row.ttl < 1:
        raise ValueError(f"ttl: {row.ttl} is below 1")
    if row.content_type and not row.encoding:
        raise ValueError("content_type: only values in base64 have one")
    return row.key, Put(row.given(), row.ttl, row.content_type or None)
