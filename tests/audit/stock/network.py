"""The library as shipped on real sockets of the loopback interface."""

import os
import random
import resource
import socket
import struct
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pysyncobj.pickle
from pysyncobj import SyncObj, SyncObjConf, replicated
from pysyncobj.encryptor import getEncryptor
from pysyncobj.poller import createPoller
from pysyncobj.tcp_connection import TcpConnection

from tests.audit.stock.members import Gate, Result, dumps

LIMIT_S = 20.0
SECRET = b"secret value"
ZEROS_MIB = 64


class Register(SyncObj):  # type: ignore[misc] # the library is untyped
    """The smallest application."""

    def __init__(self, port: int, *others: str, **settings: Any) -> None:
        conf = SyncObjConf(autoTick=False, bindAddress=f"127.0.0.1:{port}", pollerType="poll", **settings)
        super().__init__(f"127.0.0.1:{port}", others, conf=conf)
        self.commands: list[bytes] = []

    @replicated  # type: ignore[untyped-decorator] # the library is untyped
    def append(self, command: bytes) -> None:
        self.commands.append(command)

    def campaign(self) -> None:
        self._SyncObj__raftElectionDeadline = 0.0


def _until(condition: Callable[[], object], *nodes: Register) -> None:
    """Let nodes tick until a condition holds."""
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit, "waited for too long"
        for node in nodes:
            node.doTick(0.005)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _leader(port: int, **settings: Any) -> Register:
    """A group of one that leads."""
    register = Register(port, **settings)
    register.campaign()
    _until(register._isLeader, register)
    return register


def _frame(message: object) -> bytes:
    data = zlib.compress(dumps(message))
    return struct.pack("i", len(data)) + data


class _Stranger:
    """Anybody who can reach the port."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port))
        self._sock.setblocking(False)
        self._buffer = b""
        self.heard: list[Any] = []

    def say(self, *messages: object) -> None:
        self.send(b"".join(_frame(message) for message in messages))

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def hears(self, kind: str = "") -> bool:
        """Read what has come; whether there was a message, of a kind if one is given."""
        with suppress(BlockingIOError):
            self._buffer += self._sock.recv(1 << 20)
        while len(self._buffer) >= 4:
            (length,) = struct.unpack("i", self._buffer[:4])
            if len(self._buffer) < 4 + length:
                break
            self.heard.append(pysyncobj.pickle.loads(zlib.decompress(self._buffer[4 : 4 + length])))
            self._buffer = self._buffer[4 + length :]
        return any(not kind or (isinstance(message, dict) and message["type"] == kind) for message in self.heard)


class _Code:
    """What unpickles as a call."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self._path),)


def code_from_a_stranger(folder: Path) -> Result:
    port = _free_port()
    register = _leader(port)
    stranger = _Stranger(port)
    stranger.say(_Code(folder / "a stranger was here"))
    _until(lambda: list(folder.iterdir()), register)
    return {"ran": [path.name for path in folder.iterdir()]}


def data_for_a_stranger(_folder: Path) -> Result:
    """One says `readonly` and listens; another asks for a new member, and gets the group a majority that is not there."""
    port = _free_port()
    register = _leader(port, dynamicMembershipChange=True)
    register.append(SECRET)
    _until(lambda: register.commands, register)
    reader, admin = _Stranger(port), _Stranger(port)
    reader.say("readonly")
    _until(lambda: reader.hears("append_entries"), register)
    register.append(SECRET)
    _until(lambda: reader.hears() and SECRET.decode() in repr(reader.heard), register)
    admin.say(["add", "127.0.0.1:1"])
    _until(lambda: register.otherNodes, register)
    return {"read": SECRET.decode(), "members": 1 + len(register.otherNodes)}


def _impostor(register: Register, port: int, name: str) -> _Stranger:
    """A stranger that says that it is a member."""
    stranger = _Stranger(port)
    stranger.say(name)
    _until(lambda: register.isNodeConnected(next(iter(register.otherNodes))), register)
    return stranger


def a_term_of_a_stranger(_folder: Path) -> Result:
    port, peer = _free_port(), "127.0.0.1:65535"
    register = Register(port, peer)
    stranger = _impostor(register, port, peer)
    stranger.say({"type": "request_vote", "term": 10**12, "last_log_index": 1, "last_log_term": 0})
    _until(lambda: stranger.hears("response_vote"), register)
    return {"term": register.raftCurrentTerm}


def an_acknowledgement_of_a_stranger(_folder: Path) -> Result:
    """It says that it is the other member, votes, and acknowledges what it never stored."""
    port, peer = _free_port(), "127.0.0.1:65535"
    register = Register(port, peer)
    stranger = _impostor(register, port, peer)
    register.campaign()
    _until(lambda: stranger.hears("request_vote"), register)
    stranger.say({"type": "response_vote", "term": register.raftCurrentTerm})
    _until(register._isLeader, register)
    outcomes: list[tuple[Any, int]] = []
    register.append(b"nobody else has it", callback=lambda result, reason: outcomes.append((result, reason)))
    stranger.say({"type": "next_node_idx", "next_node_idx": 100, "reset": False, "success": True})
    _until(lambda: outcomes, register)
    return {"outcomes": outcomes}


def a_frame_three_times(_folder: Path) -> Result:
    """With a password: what somebody on the way saw, said again on the same connection."""
    one, two = socket.socketpair()
    three, four = socket.socketpair()
    for sock in (one, two, three, four):
        sock.setblocking(False)
    poller = createPoller("poll")
    heard: list[str] = []
    sender = TcpConnection(poller, socket=one)
    receiver = TcpConnection(poller, onMessageReceived=heard.append, socket=four)
    sender.encryptor = receiver.encryptor = getEncryptor("password")
    sender.sendRandKey = receiver.recvRandKey = random.randbytes(32)
    sender.send("apply_command")
    frame = two.recv(1 << 16)
    for _ in range(3):
        three.send(frame)
    for _ in range(10):
        poller.poll(0.01)
    return {"accepted": len(heard)}


def a_frame_that_unpacks(_folder: Path) -> Result:
    """A stranger sends few bytes that become many."""
    port = _free_port()
    register = _leader(port)
    stranger, frame = _Stranger(port), _frame(bytes(ZEROS_MIB << 20))
    sizes: list[int] = []
    decompress = zlib.decompress

    def measured(data: bytes) -> bytes:
        plain = decompress(data)
        sizes.append(len(plain))
        return plain

    zlib.decompress = measured  # type: ignore[assignment] # the library calls it by this name
    stranger.send(frame)
    _until(lambda: sizes, register)
    return {"KiB sent": len(frame) >> 10, "MiB unpacked": sizes[0] >> 20}


def out_of_descriptors(_folder: Path) -> Result:
    """For the time of one connection there is no descriptor left."""
    port = _free_port()
    register = _leader(port)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as sock:
        resource.setrlimit(resource.RLIMIT_NOFILE, (sock.fileno() + 1, hard))
        sock.connect(("127.0.0.1", port))
        for _ in range(5):
            register.doTick(0.005)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return {"listens": False}
    return {"listens": True}


def a_port_held_by_an_orphan(folder: Path) -> Result:
    """A server is killed while its forked child writes a snapshot; the server is started again."""
    port = _free_port()
    reader, writer = os.pipe()
    told, tell = os.pipe()
    server = os.fork()
    if server == 0:
        register = _leader(port, fullDumpFile=str(folder / "dump"), useFork=True)
        register.gate = Gate(reader)
        register.forceLogCompaction()
        register.doTick(0.0)
        os._exit(0)  # the child lives on
    os.waitpid(server, 0)
    found = {"port is free": _is_free(port)}
    os.close(tell)
    os.write(writer, b"!")
    os.read(told, 1)  # ends when the orphan has
    return found | {"once the orphan has ended": _is_free(port)}


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
            sock.listen()
        except OSError:
            return False
    return True
