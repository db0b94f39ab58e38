"""`concord import`: what `concord export` wrote, back into a cluster, some thousand keys at a time.

Importing a line again sets the same key to the same value, so an import that is repeated, from the beginning or from the
last position, comes to the same; only times to live begin anew. `FILE.position` says up to which byte all is written.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from concord.cli import exits
from concord.cli.arguments import Commands
from concord.cli.connect import add_client_arguments, connected, explained
from concord.cli.console import Bar, CliError, complain, tell
from concord.cli.jsonlines import NotLinesError, Piece, Reader
from concord.cli.keys import LIMIT_COMPLAINTS, LIMIT_TTL_S, complain_of
from concord.cli.output import print_json
from concord.cli.positions import Position, load, remove, save
from concord.cli.values import Row

if TYPE_CHECKING:
    from concord import Concord, ConcordError, Put

DESCRIPTION = """Set the keys of a file that concord export wrote: JSON Lines with key, value, and perhaps ttl, encoding and
content_type. A key that is there is replaced, and no other is touched. What cannot be written is told, and the rest is.
To import again does no harm, but that times to live begin anew."""
LIMIT_KEY_BYTES = 1024
BATCH_KEYS = 4000
BATCH_BYTES = 16 << 20
STDIN = "-"

_row = msgspec.json.Decoder(Row)


class Batch(msgspec.Struct):
    """Lines that are written together.

    Attributes:
        puts: what they set.
        keys: how many of them have a key.
        faults: what is wrong with the others that are not blank, by the number of the line.
        lines: how many there are.
        size: in bytes.
    """

    puts: "dict[str, Put]"
    faults: dict[int, str]
    keys: int = 0
    lines: int = 0
    size: int = 0

    def take(self, piece: "Piece[tuple[str, Put]]") -> None:
        """One more."""
        self.lines += piece.lines
        self.size += piece.size
        if piece.value is not None:
            key, self.puts[key] = piece.value
            self.keys += 1
        elif piece.fault:
            self.faults[piece.number] = piece.fault

    @property
    def is_full(self) -> bool:
        """Whether it is time to write it."""
        return self.lines >= BATCH_KEYS or self.size >= BATCH_BYTES


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
    """Set all keys; exit code 2 when some lines cannot be read, else 1 when some keys could not be written."""
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
    if done.unreadable:
        return exits.USAGE
    return exits.FAILED if done.failed else exits.DONE


def _import_file(options: argparse.Namespace, path: Path, file: BinaryIO) -> Position:
    begun = Position(_name(file))
    if options.resume:
        begun = load(path)
        if begun.name != _name(file):
            raise CliError(f"{path} has changed since", "leave out --resume to begin anew", exits.USAGE)
        file.seek(begun.bytes)
    kept = None if options.dry_run or not _can_keep(path, begun, as_json=options.json) else path
    try:
        done = _import(options, file, begun, kept)
    except NotLinesError:
        if kept:  # to go on there would come to the same
            remove(path)
        raise
    except (CliError, KeyboardInterrupt):
        if not options.dry_run and not options.json:
            how = "go on with --resume" if kept else "import it again"
            sys.stderr.write(f"not all of {path} is imported: {how}\n")
        raise
    if kept:
        remove(path)
    return done


def _can_keep(path: Path, begun: Position, *, as_json: bool) -> bool:
    """Whether a position can be kept beside the file; it is no reason not to import it."""
    try:
        save(path, begun)
    except CliError as error:
        if not as_json:
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
            for batch in batches(file, begun.lines):
                refused = {} if options.dry_run else _write(client, batch.puts, options.url)
                if refused or batch.faults:
                    bar.clear()
                _complain_of(batch, refused, LIMIT_COMPLAINTS - done.failed, as_json=options.json)
                done = _behind(done, batch, len(refused))
                if path is not None:
                    save(path, done)
                bar.show(done.count, done.bytes / total if total else None)
    finally:
        bar.clear()
    return done


def _behind(done: Position, batch: Batch, refused: int) -> Position:
    """The position behind a batch."""
    unreadable = len(batch.faults)
    return Position(
        done.name,
        "",
        done.bytes + batch.size,
        done.count + batch.keys + unreadable,
        done.failed + refused + unreadable,
        done.unreadable + unreadable,
        done.lines + batch.lines,
    )


def _complain_of(batch: Batch, refused: "dict[str, ConcordError]", at_most: int, *, as_json: bool) -> None:
    """Say what could not be read or written, up to a number of lines; how many there are is said at the end."""
    hint = "expected what concord export writes"
    faults = [CliError(f"line {number}: {fault}", hint, exits.USAGE) for number, fault in batch.faults.items()]
    for error in faults[: max(0, at_most)]:
        tell(error, as_json=as_json)
    complain_of(refused, at_most - len(faults), as_json=as_json)


def _write(client: "Concord", puts: "Mapping[str, Put]", url: str) -> "dict[str, ConcordError]":
    """Set keys, and return those that cannot be set.

    A gateway refuses a request with a part that is against the rules as a whole: then each half is tried for itself.

    Raises:
        CliError: some may be set later, or with another token.
    """
    from concord import InvalidRequest, TooLarge, Unauthorized  # noqa: PLC0415 - the client is for those who connect

    errors = client.put_many(puts).errors
    for error in errors.values():
        if error.retryable or isinstance(error, Unauthorized):
            raise explained(error, url)
    suspects = [key for key, error in errors.items() if isinstance(error, InvalidRequest | TooLarge)]
    if len(suspects) > 1:
        half = len(suspects) // 2
        for some in (suspects[:half], suspects[half:]):
            for key in some:
                del errors[key]
            errors |= _write(client, {key: puts[key] for key in some}, url)
    return errors


def batches(file: BinaryIO, lines: int) -> Iterator[Batch]:
    """The lines of a file from its present place on, in bounded parts; `lines` are before it.

    Raises:
        NotLinesError: a line is over 16 MiB (exit code 2); all before it were given.
    """
    batch = Batch({}, {})
    try:
        for piece in Reader(file, _put, lines).pieces():
            batch.take(piece)
            if batch.is_full:
                yield batch
                batch = Batch({}, {})
    except NotLinesError:
        if batch.lines:
            yield batch
        raise
    if batch.lines:
        yield batch


def _put(text: bytes) -> "tuple[str, Put]":
    """The key and value of an object; raises ValueError."""
    from concord import Put  # noqa: PLC0415 - the client is for those who connect

    row = _row.decode(text)
    if not row.key:
        raise ValueError("the key is empty")
    if len(row.key.encode()) > LIMIT_KEY_BYTES:
        raise ValueError(f"the key is over {LIMIT_KEY_BYTES} bytes")
    if row.ttl is not None and not 1 <= row.ttl <= LIMIT_TTL_S:
        raise ValueError(f"ttl: {row.ttl} is not from 1 to {LIMIT_TTL_S}")
    if row.content_type and not row.encoding:
        raise ValueError("content_type: only values in base64 have one")
    return row.key, Put(row.given(), row.ttl, row.content_type or None)
