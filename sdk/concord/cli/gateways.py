"""Which gateways a command asks, and with which token: the same arguments and variables for every command."""

import os
from urllib.parse import urlsplit

from concord.cli.arguments import Parser
from concord.cli.console import CliError
from concord.cli.exits import USAGE

DEFAULT_URL = "http://127.0.0.1:4000"
URL_VARIABLE = "CONCORD_URL"
NO_GATEWAY = "is it a node's RPC port? --url is that of a gateway"
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


def checked_urls(text: str) -> list[str]:
    """The gateways that were named, at least one.

    Raises:
        CliError: there is none, or one is no URL (exit code 2).
    """
    urls = urls_of(text)
    if not urls:
        raise CliError("no URL of a gateway is given", f"check --url and {URL_VARIABLE}", USAGE)
    for url in urls:
        check_url(url)
    return urls


def check_url(url: str) -> None:
    """Say what is wrong with a URL.

    Raises:
        CliError: something is (exit code 2).
    """
    fault = "" if "://" in url else "http:// or https:// is missing"
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError when it is none
    except ValueError as error:
        fault = fault or str(error)
    else:
        if not fault and parts.scheme not in {"http", "https"}:
            fault = f"it begins with {parts.scheme}:// instead of http:// or https://"
        elif not fault and not parts.hostname:
            fault = "the name of the host is missing"
        elif not fault and (parts.username or parts.path.strip("/") or parts.query or parts.fragment):
            fault = "there is more than the place of a gateway in it"
    if fault:
        hint = "expected one like http://127.0.0.1:4000 in --url or " + URL_VARIABLE
        raise CliError(f"{url!r} is not the URL of a gateway: {fault}", hint, USAGE)
