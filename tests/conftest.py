"""Rules for every test: no network beyond this machine, and hypothesis without chance or deadlines."""

import ipaddress
import socket
import sys
from collections.abc import Callable
from typing import Any

from hypothesis import settings

settings.register_profile("concord", derandomize=True, deadline=None, database=None)
settings.load_profile("concord")

# Where these events (https://docs.python.org/3/library/audit_events.html) carry the host or address that is meant.
DESTINATION: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "socket.connect": lambda args: args[1],
    "socket.sendto": lambda args: args[1],
    "socket.getaddrinfo": lambda args: args[0],
}


def is_local(address: Any) -> bool:
    """Whether a host or socket address stays on this machine."""
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, bytes):
        host = host.decode()
    if host in {None, "", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_foreign_hosts(event: str, args: tuple[Any, ...]) -> None:
    """An audit hook: it sees every socket that Python opens, whichever library asks (uvloop's connects it does not)."""
    if event not in DESTINATION:
        return
    if event != "socket.getaddrinfo" and args[0].family == socket.AF_UNIX:
        return
    address = DESTINATION[event](args)
    if not is_local(address):
        message = f"a test reached for {address!r}: tests stay on loopback"
        raise RuntimeError(message)


sys.addaudithook(refuse_foreign_hosts)
