"""Addresses as text: `host:port`, with brackets around an IPv6 host."""

import ipaddress

PORT_MAX = (1 << 16) - 1


def parse_address(address: str) -> tuple[str, int]:
    """Split `host:port`.

    Raises:
        ValueError: there is no host, or no port in 0..65535.
    """
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > PORT_MAX:
        raise ValueError(f"not an address of the form host:port: {address!r}")
    return host, int(port)


def format_address(host: str, port: int) -> str:
    """The inverse of `parse_address`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def address_of(setting: str, text: str) -> tuple[str, int]:
    """The address in a setting.

    Raises:
        ValueError: with the setting's name: it is none.
    """
    try:
        return parse_address(text)
    except ValueError as error:
        raise ValueError(f"{setting}: {error}") from None


def is_wildcard(host: str) -> bool:
    """Whether it stands for all addresses of a machine, so that nobody can be reached by it."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
