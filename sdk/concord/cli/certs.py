"""The command line of `concord certs`. What it does is in `issuing`, which needs the package cryptography."""

import argparse
import re

from concord.cli.arguments import Commands, Parser, number_up_to
from concord.cli.console import CliError

DESCRIPTION = """Make the certificates by which the nodes and gateways of a cluster know one another (mutual TLS 1.3).
'init' makes an authority and a certificate for each name given; 'node', 'gateway' and 'admin' add to an authority that
is there. No file is ever overwritten."""
ROLES = {"node": "n1,n2,n3", "gateway": "gateway1", "admin": "admin"}
"""What a certificate can be for, as wire/ knows it, and whom `init` makes one for unless told otherwise."""
DEFAULT_DIRECTORY = "concord-certs"
DEFAULT_CLUSTER = "concord"
DEFAULT_CA_DAYS = 3650
DEFAULT_DAYS = 365
LIMIT_DAYS = 36500

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")


def add_parser(commands: Commands) -> None:
    """Register the command and its own commands."""
    certs = commands.add_parser("certs", help="make certificates for a cluster", description=DESCRIPTION)
    inner = certs.add_subparsers(metavar="WHAT", required=True, parser_class=Parser)
    init = inner.add_parser("init", help="an authority, and certificates for a whole cluster")
    for role, names in ROLES.items():
        init.add_argument(
            f"--{role}s", type=_names, default=names, metavar="A,B,…", help=f"ids of its {role}s (%(default)s)"
        )
    _add_authority_flags(init)
    _add_leaf_flags(init)
    authority = inner.add_parser("ca", help="an authority alone")
    _add_authority_flags(authority)
    authority.set_defaults(**{f"{role}s": [] for role in ROLES}, days=DEFAULT_DAYS, hosts=[])
    for role in ROLES:
        leaf = inner.add_parser(role, help=f"certificates for {role}s, signed by the authority that is there")
        leaf.add_argument("ids", type=_name, nargs="+", metavar="ID", help=f"name of the {role}")
        leaf.set_defaults(role=role)
        _add_leaf_flags(leaf)
    for parser in inner.choices.values():
        parser.add_argument("--dir", default=DEFAULT_DIRECTORY, help="where the files are (%(default)s)")
        parser.add_argument("--json", action="store_true", help="say what was made as JSON")
        parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Make what was asked for; returns the exit code."""
    try:
        from concord.cli import issuing  # noqa: PLC0415 - the other commands do without cryptography
    except ImportError as error:
        raise CliError(
            f"concord certs needs cryptography ({error})", "install Concord with its extra 'certs'"
        ) from error
    return issuing.add(options) if "role" in options else issuing.begin(options)


def _add_authority_flags(parser: Parser) -> None:
    parser.add_argument("--cluster", type=_name, default=DEFAULT_CLUSTER, help="name of the cluster (%(default)s)")
    parser.add_argument(
        "--ca-days",
        type=number_up_to(LIMIT_DAYS),
        default=DEFAULT_CA_DAYS,
        metavar="N",
        help="how long the authority is good (%(default)s)",
    )


def _add_leaf_flags(parser: Parser) -> None:
    parser.add_argument(
        "--days",
        type=number_up_to(LIMIT_DAYS),
        default=DEFAULT_DAYS,
        metavar="N",
        help="how long the certificates are good (%(default)s)",
    )
    parser.add_argument(
        "--hosts",
        type=_hosts,
        default=[],
        metavar="A,B,…",
        help="host names and addresses to put in as well; Concord itself compares only who it is",
    )


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 to 64 of A-Z a-z 0-9 . _ -")
    return text


def _names(text: str) -> list[str]:
    return [_name(part) for part in dict.fromkeys(text.split(",")) if part]


def _hosts(text: str) -> list[str]:
    hosts = [part for part in text.split(",") if part]
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise argparse.ArgumentTypeError(f"{host!r} is neither a host name nor an address")
    return hosts
