"""What an attacker has: sockets by the thousand, peers that greet and then misbehave, the first bytes of a handshake."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from tests.attack.victims import Victims
from tests.wire.support import RawPeer, frame
from wire.frame import GOODBYE, REPLY, REQUEST, FrameDecoder
from wire.hello import read_goodbye
from wire.messages import StatusRequest
from wire.methods import STATUS
from wire.rpc import encode

TIMEOUT_S = 20.0
ASK_STATUS = frame(REQUEST, encode(StatusRequest()), STATUS.number, 1, 10_000)


@contextmanager
def sockets(target: tuple[str, int], count: int) -> Iterator[list[socket.socket]]:
    """So many TCP connections."""
    opened: list[socket.socket] = []
    try:
        opened.extend(socket.create_connection(target, TIMEOUT_S) for _ in range(count))
        yield opened
    finally:
        for each in opened:
            each.close()


def is_cut_off(sock: socket.socket) -> bool:
    """Whether the other side has ended the connection; what it said before is thrown away."""
    sock.setblocking(False)
    try:
        while sock.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def answer_to(target: tuple[str, int], context: ssl.SSLContext | None, words: bytes) -> str:
    """How a server refuses these words: `alert …` of TLS, `goodbye …`, or `silence` when it just hangs up.

    Raises:
        AssertionError: it does not: it replies.
    """
    sock = socket.create_connection(target, TIMEOUT_S)
    try:
        if context is not None:
            sock = context.wrap_socket(sock)
        return _last_words(sock, words)
    except ssl.SSLError as error:
        return f"alert {error.reason}"
    except ConnectionError:
        return "silence"
    finally:
        sock.close()


def _last_words(sock: socket.socket, words: bytes) -> str:
    decoder = FrameDecoder(1 << 20)
    with suppress(BrokenPipeError):
        sock.sendall(words)
        if not isinstance(sock, ssl.SSLSocket):
            sock.shutdown(socket.SHUT_WR)
    while data := sock.recv(1 << 16):
        for received in decoder.receive(data):
            assert received.kind != REPLY, "it was served"
            if received.kind == GOODBYE:
                return f"goodbye {read_goodbye(received)}"
    return "silence"


def client_hello(context: ssl.SSLContext) -> bytes:
    """The first flight of a TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


@asynccontextmanager
async def greeted(victims: Victims, context: ssl.SSLContext | None, count: int) -> AsyncIterator[list[RawPeer]]:
    """So many connections over which the server has said hello."""
    peers: list[RawPeer] = []
    try:
        for _ in range(count):
            peer = RawPeer(*await asyncio.open_connection(*victims.target, ssl=context))
            peers.append(peer)
            await peer.greet()
        yield peers
    finally:
        for peer in peers:
            await peer.close()
