"""Addresses as text: `host:port`, with brackets around an IPv6 host."""

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
