"""Which gateways a command asks, and with which token: the same arguments and variables for every command."""

import os

from concord.cli.arguments import Parser

DEFAULT_URL = "http://127.0.0.1:4000"
URL_VARIABLE = "CONCORD_URL"
TOKEN_VARIABLE = "CONCORD_TOKEN"  # noqa: S105 - the name of a variable


def add_gateway_arguments(parser: Parser) -> None:
    """Say which gateways to ask, and with which token."""
    parser.add_argument(
        "--url",
        default=os.environ.get(URL_VARIABLE) or DEFAULT_URL,
        metavar="URL",
        help=f"a gateway, or several with commas between them; else {URL_VARIABLE} (%(default)s)",
    )
    parser.add_argument(
        "--token",
        default=os.environ.get(TOKEN_VARIABLE, ""),
        metavar="TOKEN",
        help=f"if the gateway asks for one; better in {TOKEN_VARIABLE}, where no list of processes shows it",
    )


def urls_of(text: str) -> list[str]:
    """The gateways that were named."""
    return [url.strip() for url in text.split(",") if url.strip()]
