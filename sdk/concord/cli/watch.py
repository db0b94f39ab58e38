"""`concord watch`: a line for each change of the keys with a prefix, for as long as it runs."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from concord.cli import exits
from concord.cli.arguments import Commands, number_up_to, seconds_up_to
from concord.cli.connect import add_client_arguments, connected
from concord.cli.gateways import urls_of
from concord.cli.output import named, print_json, write_line
from concord.cli.probe import first_alive
from concord.cli.values import row_of, shown_on_a_line

if TYPE_CHECKING:
    from concord import Event

DESCRIPTION = """Print a line for each change of the keys with a prefix: what happened (put, delete, expired), the key, and the
value as JSON, with tabs between. It goes on over restarts of gateways; when changes were missed for good, 'state' tells
each key as it is. Ctrl-C ends it."""
LIMIT_EVENTS = 1_000_000_000
LIMIT_PATIENCE_S = 1e6
PROBE_TIMEOUT_S = 5.0


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event as a line of JSON; `id` is for --after."""

    event: str
    key: str = ""
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    encoding: str = ""
    revision: int = 0
    id: str = ""


def add_parser(commands: Commands) -> None:
    """Register the command."""
    parser = commands.add_parser("watch", help="print every change of keys", description=DESCRIPTION)
    parser.add_argument("prefix", nargs="?", default="", metavar="PREFIX")
    add_client_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, a line for each change")
    parser.add_argument("--state", action="store_true", help="begin with the keys as they are, and a line 'synced'")
    parser.add_argument("--after", default="", metavar="ID", help="go on after a change, by the id that --json told")
    parser.add_argument("--limit", type=number_up_to(LIMIT_EVENTS), metavar="N", help="end after so many lines (never)")
    parser.add_argument(
        "--patience",
        type=seconds_up_to(LIMIT_PATIENCE_S),
        metavar="SECONDS",
        help="end when no gateway was heard for so long (never)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print changes until there were enough of them."""
    from concord._values import AS_STORED  # noqa: PLC0415 - the client is for those who connect

    first_alive(urls_of(options.url), PROBE_TIMEOUT_S)
    told, is_synced = 0, False
    with (
        connected(options) as client,
        client.watch(options.prefix, type=AS_STORED, after=options.after, patience=options.patience) as events,
    ):
        for event in events:
            is_first_state = not is_synced and event.kind in {"state", "synced"}
            is_synced = is_synced or event.kind == "synced"
            if is_first_state and not options.state:
                continue
            _print(event, as_json=options.json)
            told += 1
            if told == options.limit:
                break
    return exits.DONE


def _print(event: "Event[Any]", *, as_json: bool) -> None:
    if as_json:
        print_json(_change(event))
    else:
        write_line("\t".join([event.kind, named(event.key), shown_on_a_line(event.value)]).rstrip("\t"))
    sys.stdout.flush()


def _change(event: "Event[Any]") -> Change:
    if event.value is None:
        return Change(event.kind, event.key, revision=event.revision, id=event.id)
    from concord import Entry  # noqa: PLC0415 - likewise

    row = row_of(Entry(event.key, event.value, event.revision))
    return Change(event.kind, event.key, row.value, row.encoding, event.revision, event.id)
