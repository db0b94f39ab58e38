"""`concord token`: make, list, revoke and rotate the tokens of a cluster, through a gateway. A secret is shown once."""

import argparse
import re
import sys
from typing import TypeVar

import msgspec

from concord.cli.arguments import Commands, Parser, number_up_to
from concord.cli.console import table
from concord.cli.gateways import add_gateway_arguments
from concord.cli.output import print_json
from concord.cli.probe import ask

DESCRIPTION = """Manage the tokens of a cluster whose gateways ask for them (concord gateway --auth on). It takes a token with
admin itself, in CONCORD_TOKEN or --token. The first one is made by `concord token bootstrap`, which asks the nodes."""
BOOTSTRAP_HELP = "make the first token of a cluster (needs concord[server]; see concord token bootstrap --help)"
VERBS = ("read", "write", "lock", "watch", "admin")
SCOPE_HELP = f'VERBS:PREFIX, as in read,write:app/ or admin: (verbs: {" ".join(VERBS)}; an empty prefix is "every key")'
TOKENS_PATH = "/api/v1/tokens"
TIMEOUT_S = 10.0
LIMIT_SECONDS = 10 * 365 * 24 * 3600
LIMIT_OVERLAP_S = 30 * 24 * 3600

T = TypeVar("T", bound=msgspec.Struct)
_ID = re.compile(r"[0-9a-f]{12}")


class Scope(msgspec.Struct, frozen=True):
    """Verbs on all keys that begin with `prefix`."""

    prefix: str
    verbs: list[str]


class Token(msgspec.Struct, frozen=True, omit_defaults=True):
    """A token as a gateway shows it; times are ISO 8601. `token` has the secret, in the answer that it was made for."""

    id: str
    name: str
    scopes: list[Scope]
    created_at: str
    expires_at: str | None
    rotated_at: str | None
    old_secret_until: str | None
    token: str = ""


class _One(msgspec.Struct, frozen=True):
    data: Token


class _Many(msgspec.Struct, frozen=True):
    data: list[Token]


class _Revoked(msgspec.Struct, frozen=True):
    status: str


class _NewToken(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    scopes: list[Scope]
    expires_in: int | None = None


class _Rotation(msgspec.Struct, frozen=True):
    overlap: int


def add_parser(commands: Commands) -> None:
    """Register the command."""
    parser = commands.add_parser("token", help="manage the tokens of a cluster", description=DESCRIPTION)
    actions = parser.add_subparsers(metavar="ACTION", required=True, parser_class=Parser)
    actions.add_parser("bootstrap", help=BOOTSTRAP_HELP)  # run before this parser is asked; named here for the help
    create = _action(actions, "create", "make a token")
    create.add_argument("name", metavar="NAME", help="what people call it")
    create.add_argument("--scope", action="append", required=True, type=scope, metavar="VERBS:PREFIX", help=SCOPE_HELP)
    create.add_argument(
        "--expires-in", type=number_up_to(LIMIT_SECONDS), metavar="SECONDS", help="after that it is worth nothing"
    )
    create.set_defaults(run=_create)
    _action(actions, "list", "show the tokens, without their secrets").set_defaults(run=_list)
    revoke = _action(actions, "revoke", "make a token worth nothing, everywhere within a second")
    revoke.add_argument("id", type=token_id, metavar="ID")
    revoke.set_defaults(run=_revoke)
    rotate = _action(actions, "rotate", "give a token another secret")
    rotate.add_argument("id", type=token_id, metavar="ID")
    rotate.add_argument(
        "--overlap",
        type=number_up_to(LIMIT_OVERLAP_S),
        default=0,
        metavar="SECONDS",
        help="how long the old secret stays good (not at all)",
    )
    rotate.set_defaults(run=_rotate)


def scope(text: str) -> Scope:
    """An argument type: `read,write:prefix`."""
    verbs, separator, prefix = text.partition(":")
    if not separator or not verbs:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form VERBS:PREFIX, as in read,write:app/")
    for verb in verbs.split(","):
        if verb not in VERBS:
            raise argparse.ArgumentTypeError(f"{verb!r} is no verb: there are {', '.join(VERBS)}")
    return Scope(prefix, verbs.split(","))


def token_id(text: str) -> str:
    """An argument type: a token's id. A whole token is not taken, it does not belong on a command line."""
    if not _ID.fullmatch(text):
        raise argparse.ArgumentTypeError("an id has 12 hexadecimal digits: concord token list")
    return text


def _action(actions: Commands, name: str, meaning: str) -> Parser:
    parser = actions.add_parser(name, help=meaning, description=meaning[:1].upper() + meaning[1:] + ".")
    add_gateway_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, a line for each result")
    return parser


def _create(options: argparse.Namespace) -> int:
    wanted = _NewToken(options.name, options.scope, options.expires_in)
    return _show_made(options, _ask(options, "POST", TOKENS_PATH, _One, wanted).data)


def _rotate(options: argparse.Namespace) -> int:
    path = f"{TOKENS_PATH}/{options.id}/rotate"
    return _show_made(options, _ask(options, "POST", path, _One, _Rotation(options.overlap)).data)


def _list(options: argparse.Namespace) -> int:
    tokens = _ask(options, "GET", TOKENS_PATH, _Many).data
    if options.json:
        for token in tokens:
            print_json(token)
    else:
        rows = [
            [token.id, token.name, scopes_text(token.scopes), token.created_at, token.expires_at or "never"]
            for token in tokens
        ]
        sys.stdout.write(table(["ID", "NAME", "SCOPES", "CREATED", "EXPIRES"], rows, sys.stdout))
    return 0


def _revoke(options: argparse.Namespace) -> int:
    _ask(options, "DELETE", f"{TOKENS_PATH}/{options.id}", _Revoked)
    if options.json:
        print_json({"revoked": options.id})
    else:
        sys.stdout.write(f"token {options.id} is revoked\n")
    return 0


def scopes_text(scopes: list[Scope]) -> str:
    """Scopes as they are given on the command line."""
    return " ".join(f"{','.join(each.verbs)}:{each.prefix}" for each in scopes)


def _show_made(options: argparse.Namespace, token: Token) -> int:
    """The secret alone on stdout, so that a script can take it; what it is for on stderr."""
    if options.json:
        print_json(token)
        return 0
    sys.stdout.write(f"{token.token}\n")
    old = f"; the old secret is good until {token.old_secret_until}" if token.old_secret_until else ""
    sys.stderr.write(f"token {token.id} ({token.name}) may {scopes_text(token.scopes)}. It is shown this once{old}.\n")
    return 0


def _ask(options: argparse.Namespace, method: str, path: str, kind: type[T], body: msgspec.Struct | None = None) -> T:
    content = msgspec.json.encode(body) if body is not None else b""
    return ask(method, options.url, path, kind, TIMEOUT_S, body=content, token=options.token)
