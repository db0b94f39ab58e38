"""Who a client is, by its address. Pure.

Behind a load balancer every connection is the balancer's; `X-Forwarded-For` says whose request it is. Anybody can write that
header, so it counts only as far as it was written by proxies that are trusted: it is read from its end, where the nearest
proxy has added to it, up to the first address that is none of theirs.
"""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

HOPS_MAX = 16
TEXT_MAX = 64
IPV6_PREFIX = 64  # one subscriber has at least this much (RFC 6177), so an address more or less says nothing


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks (`10.0.0.0/8`).

    Raises:
        ValueError: one of them is neither.
    """
    return tuple(ipaddress.ip_network(text) for text in texts)


def client_address(peer: str, forwarded: bytes | None, trusted: Sequence[Network]) -> str:
    """The address that a request comes from.

    Args:
        peer: the other end of the connection.
        forwarded: the header X-Forwarded-For, all its lines joined by commas.
        trusted: the proxies whose word counts.
    """
    if not trusted or not forwarded or not _is_in(peer, trusted):
        return peer
    address = peer
    for part in reversed(forwarded.rsplit(b",", HOPS_MAX)[-HOPS_MAX:]):
        found = _parse(part.decode("latin-1").strip())
        if found is None:
            break
        address = str(found)
        if not _is_in(address, trusted):
            break
    return address


@lru_cache(maxsize=4096)
def party(address: str) -> str:
    """Whose share an address counts to: its own, with IPv6 that of its /64; "" when it is not known."""
    found = _parse(address)
    if found is None:
        return ""
    if found.version == 6:
        return str(ipaddress.ip_network((found, IPV6_PREFIX), strict=False))
    return str(found)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    if len(text) > TEXT_MAX:
        return None
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    found = _parse(address)
    return found is not None and any(found in network for network in networks)
