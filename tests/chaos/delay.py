"""A slow cable: the frames between a host and the switch pass through here and arrive later, in their order.

The kernels that this must run on have no `netem`. While it is slow, a host's port of the bridge is taken out of it, and a
thread with packet sockets carries every frame between that port and a second cable, which ends in the bridge. The frames
keep the header in which the kernel says what its network card was to do (checksums, cutting up), so they may be large.
"""

import math
import random
import select
import socket
import threading
import time
from collections import deque

from tests.chaos.namespaces import BRIDGE, FOLDER, SWITCH, Network, enter

FRAME_MAX = 1 << 17
QUEUE_MAX = 20_000  # frames; over it they are lost, as in any switch
POLL_S = 0.2
JOIN_TIMEOUT_S = 5.0
_ALL_PROTOCOLS = 0x0003
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23


class SlowCable:
    """The cable of one host; `begin` makes it slow, `end` as it was."""

    def __init__(self, network: Network, host: str) -> None:
        self._network = network
        self._host = host
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._times = 0

    def create(self) -> None:
        """Lay the second cable."""
        near, far = self._ends()
        self._network.link(SWITCH, near, SWITCH, far)
        self._network.configure(SWITCH, f"link set dev {near} up", f"link set dev {far} up")

    def begin(self, delay_s: float, jitter_s: float) -> None:
        """Delay each frame, in both directions, by between `delay_s` and `delay_s + jitter_s`.

        It may begin again while it lasts, which changes nothing but how often it must `end`.
        """
        with self._lock:
            self._times += 1
            if self._times == 1:
                self._slow_down(delay_s, jitter_s)

    def end(self) -> None:
        """Let through what is under way and put the port back into the bridge."""
        with self._lock:
            self._times -= 1
            if self._times == 0:
                self._speed_up()

    def _slow_down(self, delay_s: float, jitter_s: float) -> None:
        self._stopping.clear()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._carry, args=(delay_s, jitter_s, ready), daemon=True)
        self._thread.start()
        ready.wait(JOIN_TIMEOUT_S)
        self._swap(self._host, self._ends()[1])

    def _speed_up(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(JOIN_TIMEOUT_S)
            self._thread = None
        self._swap(self._ends()[1], self._host)

    def _swap(self, port: str, other: str) -> None:
        """One port leaves the bridge, which forgets who was behind it, and the other takes its place."""
        self._network.configure(SWITCH, f"link set dev {port} nomaster", f"link set dev {other} master {BRIDGE}")

    def _ends(self) -> tuple[str, str]:
        return f"{self._host}-slow", f"{self._host}-far"

    def _carry(self, delay_s: float, jitter_s: float, ready: threading.Event) -> None:
        enter(FOLDER / self._network.name(SWITCH))
        with _open(self._host) as port, _open(self._ends()[0]) as cable:
            ready.set()
            lines = [_Line(port, cable, delay_s, jitter_s), _Line(cable, port, delay_s, jitter_s)]
            while not self._stopping.is_set():
                wait_s = min(POLL_S, *(line.wait_s() for line in lines))
                readable = select.select([port, cable], [], [], wait_s)[0]
                for line in lines:
                    line.turn(read=line.source in readable)
            for line in lines:
                line.turn(read=False, until=math.inf)


class _Line:
    """One direction."""

    def __init__(self, source: socket.socket, target: socket.socket, delay_s: float, jitter_s: float) -> None:
        self.source = source
        self._target = target
        self._delay_s = delay_s
        self._jitter_s = jitter_s
        self._frames: deque[tuple[float, bytes]] = deque()
        self._last = 0.0

    def wait_s(self) -> float:
        """Seconds until a frame is due."""
        return max(0.0, self._frames[0][0] - time.monotonic()) if self._frames else POLL_S

    def turn(self, *, read: bool, until: float = 0.0) -> None:
        """Take what has come and send what is due, now or by a later time."""
        now = time.monotonic()
        try:
            while read and len(self._frames) < QUEUE_MAX:
                frame = self.source.recv(FRAME_MAX)
                self._last = max(self._last, now + self._delay_s + random.random() * self._jitter_s)
                self._frames.append((self._last, frame))
        except BlockingIOError:
            pass
        while self._frames and self._frames[0][0] <= max(now, until):
            frame = self._frames.popleft()[1]
            try:
                self._target.send(frame)
            except OSError:  # the other end is full or going away: a frame is lost, as on any cable
                continue


def _open(card: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
    opened.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    opened.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    opened.bind((card, 0))
    opened.setblocking(False)
    return opened
