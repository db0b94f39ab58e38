"""`concord get`, `put`, `delete`, `ls`, `incr`, `touch` and `ttl`: the operations on keys, one call of the client each."""

import argparse
import contextlib
import itertools
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from concord.cli import exits
from concord.cli.arguments import Commands, Parser, number_up_to, revision, whole_number
from concord.cli.connect import add_client_arguments, carried, connected
from concord.cli.console import CliError, tell
from concord.cli.output import named, print_json, write, write_line
from concord.cli.values import KINDS, Kind, Row, read_value, row_of, shown, shown_on_a_line

if TYPE_CHECKING:
    from concord import Concord, ConcordError, Consistency

LIMIT_TTL_S = 10 * 365 * 24 * 3600
LIMIT_LISTED = 1_000_000_000
PAGE_KEYS = 1000
DELETE_AT_ONCE = 4000
STDIN = "-"
LIMIT_COMPLAINTS = 10

GET = "Print the value of a key: a string as its characters, other JSON as it is stored, bytes as they are."
PUT = """Set a key and print its revision. A VALUE that is JSON is kept as that JSON, any other as a string: 10 is a number,
'"10"' and ten are strings. '-' takes it from stdin, '@FILE' from a file, and --type says what it is."""
LS = "List the keys with a prefix, in order, one a line; those of another page may be newer."
INCR = "Add to a number and print the new one. It counts once, however often it had to be sent."


def add_parser(commands: Commands) -> None:
    """Register the commands."""
    get = _command(commands, "get", "print the value of a key", GET)
    get.add_argument("key", metavar="KEY")
    get.add_argument("--stale", action="store_true", help="from any replica, which may be a moment behind")
    get.set_defaults(run=_get)
    _add_put(commands)
    _add_delete(commands)
    ls = _command(commands, "ls", "list keys", LS)
    ls.add_argument("prefix", nargs="?", default="", metavar="PREFIX")
    ls.add_argument("--values", action="store_true", help="with values: KEY, a tab, and the value as JSON on one line")
    ls.add_argument("--limit", type=number_up_to(LIMIT_LISTED), metavar="N", help="no more than so many (all)")
    ls.add_argument("--stale", action="store_true", help="from any replica, which may be a moment behind")
    ls.set_defaults(run=_ls)
    _add_incr(commands)
    touch = _command(commands, "touch", "set the seconds that a key has to live", "")
    touch.add_argument("key", metavar="KEY")
    touch.add_argument("seconds", type=number_up_to(LIMIT_TTL_S), metavar="SECONDS")
    touch.set_defaults(run=_touch)
    ttl = _command(commands, "ttl", "print the seconds that a key has to live, or 'never' when it does not expire", "")
    ttl.add_argument("key", metavar="KEY")
    ttl.set_defaults(run=_ttl)


def _command(commands: Commands, name: str, meaning: str, description: str) -> Parser:
    parser = commands.add_parser(name, help=meaning, description=description or meaning[:1].upper() + meaning[1:] + ".")
    add_client_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, a line for each result")
    return parser


def _add_put(commands: Commands) -> None:
    put = _command(commands, "put", "set a key", PUT)
    put.add_argument("key", metavar="KEY")
    put.add_argument("value", metavar="VALUE", help="the value, or - for stdin, or @FILE")
    kinds = put.add_mutually_exclusive_group()
    kinds.add_argument("--type", choices=KINDS, default="auto", help="what the value is (%(default)s)")
    kinds.add_argument("--raw", dest="type", action="store_const", const="raw", help="the same as --type raw: bytes")
    put.add_argument("--content-type", metavar="TYPE", help="of bytes, as image/png (application/octet-stream)")
    put.add_argument("--ttl", type=number_up_to(LIMIT_TTL_S), metavar="SECONDS", help="to live (for ever)")
    put.add_argument("--if-absent", action="store_true", help="only when it is not there")
    _add_conditions(put)
    put.set_defaults(run=_put)


def _add_delete(commands: Commands) -> None:
    delete = _command(
        commands,
        "delete",
        "delete keys",
        "Delete keys; one that is not there is no error. Prints for each what was there, or with --prefix how many.",
    )
    delete.add_argument("keys", nargs="*", metavar="KEY")
    delete.add_argument("--prefix", metavar="PREFIX", help="all keys that begin with this")
    _add_conditions(delete)
    delete.set_defaults(run=_delete)


def _add_conditions(parser: Parser) -> None:
    parser.add_argument("--if-revision", type=revision, metavar="N", help="only when it has this revision (0: is new)")
    parser.add_argument("--if-value", metavar="VALUE", help="only when its value is equal to this as JSON")
    parser.add_argument("--if-fence", type=revision, metavar="N", help="only when no greater fence was used on it")


def _add_incr(commands: Commands) -> None:
    incr = _command(commands, "incr", "add to a number", INCR)
    incr.add_argument("key", metavar="KEY")
    incr.add_argument("by", nargs="?", type=whole_number, default=1, metavar="BY", help="what to add (%(default)s)")
    incr.add_argument("--initial", type=whole_number, default=0, metavar="N", help="of a new one (%(default)s)")
    incr.add_argument("--min", type=whole_number, metavar="N", help="the least that may come out")
    incr.add_argument("--max", type=whole_number, metavar="N", help="the most that may come out")
    incr.add_argument(
        "--ttl", type=number_up_to(LIMIT_TTL_S), metavar="SECONDS", help="to live of a new one (for ever)"
    )
    incr.set_defaults(run=_incr)


def _get(options: argparse.Namespace) -> int:
    from concord._values import AS_STORED  # noqa: PLC0415 - the client is for those who connect

    with connected(options) as client:
        entry = client.entry(options.key, type=AS_STORED, consistency="stale" if options.stale else None)
    if entry is None:
        raise _no_key(options.key)
    if options.json:
        print_json(row_of(entry))
    else:
        write(shown(entry.value))
    return exits.DONE


def _put(options: argparse.Namespace) -> int:
    kind: Kind = "raw" if options.content_type else options.type
    if options.type not in {kind, "auto"}:
        raise CliError(f"--content-type is for bytes, not for --type {options.type}", exit_code=exits.USAGE)
    if options.value == options.if_value == STDIN:
        raise CliError("stdin is VALUE or --if-value, not both", exit_code=exits.USAGE)
    value = read_value(options.value, kind, sys.stdin.buffer)
    expected = _expected(options, "auto" if kind == "raw" else kind)
    with connected(options) as client:
        made = client.put(
            options.key,
            value,
            ttl=options.ttl,
            content_type=options.content_type,
            if_absent=True if options.if_absent else None,
            if_revision=options.if_revision,
            if_value=expected,
            if_fence=options.if_fence,
        )
    _say({"revision": made}, str(made), as_json=options.json)
    return exits.DONE


def _expected(options: argparse.Namespace, kind: Kind) -> object:
    """The value of --if-value for the client."""
    return msgspec.UNSET if options.if_value is None else read_value(options.if_value, kind, sys.stdin.buffer)


def _delete(options: argparse.Namespace) -> int:
    conditional = any(one is not None for one in (options.if_revision, options.if_value, options.if_fence))
    if options.prefix is not None:
        if options.keys or conditional or not options.prefix:
            raise CliError("--prefix goes alone, and is not empty", exit_code=exits.USAGE)
        with connected(options) as client:
            return _delete_prefix(client, options.prefix, as_json=options.json)
    if not options.keys or (conditional and len(options.keys) > 1):
        raise CliError("expected a KEY, just one with a condition, or --prefix", exit_code=exits.USAGE)
    expected = _expected(options, "auto")
    with connected(options) as client:
        for key in options.keys:
            was_there = client.delete(
                key, if_revision=options.if_revision, if_value=expected, if_fence=options.if_fence
            )
            said = {"key": key, "deleted": was_there}
            _say(said, f"{named(key)} {'deleted' if was_there else 'was not there'}", as_json=options.json)
    return exits.DONE


def _delete_prefix(client: "Concord", prefix: str, *, as_json: bool) -> int:
    """Delete all keys with a prefix, as they are listed."""
    keys, done, failed = client.keys(prefix), 0, 0
    while some := list(itertools.islice(keys, DELETE_AT_ONCE)):
        written = client.delete_many(some)
        done += len(written.done)
        failed += complain_of(written.errors, LIMIT_COMPLAINTS - failed, as_json=as_json)
    _say({"deleted": done, "failed": failed}, f"{done} deleted", as_json=as_json)
    return exits.FAILED if failed else exits.DONE


def complain_of(errors: "Mapping[str, ConcordError]", at_most: int, *, as_json: bool) -> int:
    """Say which keys could not be written, up to a number of lines; returns how many there are."""
    for key, error in itertools.islice(errors.items(), max(0, at_most)):
        tell(carried(CliError(f"{named(key)}: {error.message}"), error), as_json=as_json)
    return len(errors)


def _ls(options: argparse.Namespace) -> int:
    with connected(options) as client:
        for line in itertools.islice(_listed(client, options), options.limit):
            if isinstance(line, Row):
                print_json(line)
            else:
                write_line(line)
    return exits.DONE


def _listed(client: "Concord", options: argparse.Namespace) -> Iterator[str | Row]:
    from concord._values import AS_STORED  # noqa: PLC0415 - the client is for those who connect

    level: Consistency | None = "stale" if options.stale else None
    if not options.values:
        for key in client.keys(options.prefix, consistency=level):
            yield msgspec.json.encode(key).decode() if options.json else named(key)
        return
    limit = min(PAGE_KEYS, options.limit or PAGE_KEYS)
    for page in client.pages(options.prefix, type=AS_STORED, limit=limit, consistency=level):
        for entry in page.entries:
            yield row_of(entry) if options.json else f"{named(entry.key)}\t{shown_on_a_line(entry.value)}"


def _incr(options: argparse.Namespace) -> int:
    with connected(options) as client:
        number = client.increment(
            options.key, options.by, initial=options.initial, ttl=options.ttl, min=options.min, max=options.max
        )
    _say({"value": number}, str(number), as_json=options.json)
    return exits.DONE


def _touch(options: argparse.Namespace) -> int:
    with connected(options) as client, _there(options.key):
        made = client.touch(options.key, options.seconds)
    _say({"revision": made}, str(made), as_json=options.json)
    return exits.DONE


def _ttl(options: argparse.Namespace) -> int:
    with connected(options) as client, _there(options.key):
        left = client.ttl(options.key)
    _say({"ttl": left}, "never" if left is None else str(left), as_json=options.json)
    return exits.DONE


@contextlib.contextmanager
def _there(key: str) -> Iterator[None]:
    """Name the key when it is not there."""
    from concord import NotFound  # noqa: PLC0415 - the client is for those who connect

    try:
        yield
    except NotFound as error:
        raise _no_key(key) from error


def _no_key(key: str) -> CliError:
    return CliError(f"there is no key {named(key)}", exit_code=exits.NOT_FOUND)


def _say(said: dict[str, object], line: str, *, as_json: bool) -> None:
    if as_json:
        print_json(said)
    else:
        write_line(line)
