"""Binding a port and accepting on it, whatever happens to single connections.

The event loops' own servers are not used: uvloop's stops listening for good when `accept` fails, as it does when the
process runs out of file descriptors, and neither tells of a connection before its TLS handshake is over, so unfinished
handshakes could not be counted.
"""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable

from process.address import format_address

log = logging.getLogger(__name__)

_BACKLOG = 1024
_PAUSE_S_MIN = 0.05
_PAUSE_S_MAX = 1.0


class InsecureBindError(Exception):
    """A server without TLS was told to listen where others than this machine can reach it."""


class Listener:
    """A listening socket that hands every accepted one to `accepted`."""

    def __init__(self, sock: socket.socket, accepted: Callable[[socket.socket], None]) -> None:
        self._socket = sock
        self._accepted = accepted
        self._task = asyncio.get_running_loop().create_task(self._accept_for_ever())

    @property
    def address(self) -> str:
        """`host:port` as bound."""
        host, port, *_ = self._socket.getsockname()
        return format_address(host, port)

    async def close(self) -> None:
        """Stop accepting."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self._socket.close()

    async def _accept_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = _PAUSE_S_MIN
        while True:
            try:
                sock, _ = await loop.sock_accept(self._socket)
            except OSError as error:  # no descriptors or memory left, or the peer was gone before it was accepted
                log.warning("cannot accept a connection, trying again in %g s: %s", pause_s, error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _PAUSE_S_MAX)
            else:
                pause_s = _PAUSE_S_MIN
                self._accepted(sock)


async def bind(host: str, port: int, *, exposed: bool) -> socket.socket:
    """A socket that listens on the first address of `host`; the kernel chooses the port when it is 0.

    Args:
        host: name or address.
        port: number in 0..65535.
        exposed: whether it may be an address that other machines can reach.

    Raises:
        InsecureBindError: it is such an address and may not.
        OSError: the name has no address, or the address cannot be bound.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    if not exposed and not ipaddress.ip_address(address[0]).is_loopback:
        raise InsecureBindError(
            f"refusing to listen on {host}, which other machines can reach, without TLS: set the certificate, key and "
            f"authority, listen on 127.0.0.1, or say that insecure is what you want"
        )
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise cannot_listen(error, host, port) from error
    return sock


def cannot_listen(error: OSError, host: str, port: int) -> OSError:
    """The same error, saying where: a process has several ports, and the system names none."""
    return OSError(error.errno, f"cannot listen on {format_address(host, port)}: {error.strerror or error}")
