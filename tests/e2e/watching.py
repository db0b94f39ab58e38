"""A client that watches, is cut off again and again, and goes on where it was; and writers that note what they did."""

import http.client
import json
import random
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

from tests.e2e.cluster import Client
from tests.linearizability.watching import DELETE, PUT, Told, Written

READ_TIMEOUT_S = 5.0
CHUNK_BYTES = 512
CUT_BYTES = (100, 2500)


class Watcher(threading.Thread):
    """Watches a prefix at one gateway after another.

    Args:
        ports: of the gateways.
        prefix: which keys.
        seed: of the moments at which it is cut off.
        cut_bytes: after how many bytes that is, at least and below.

    Attributes:
        told: every event with a key, over all connections.
        connections: how many there were.
        ends: reasons that gateways gave for an end.
        begun: how often it had to begin with the state.
    """

    def __init__(self, ports: Sequence[int], prefix: str, seed: int, cut_bytes: tuple[int, int] = CUT_BYTES) -> None:
        super().__init__(name="watcher", daemon=True)
        self.told: list[Told] = []
        self.connections = 0
        self.ends: list[str] = []
        self.begun = 0
        self._ports = ports
        self._prefix = prefix
        self._cut_bytes = cut_bytes
        self._chunk_bytes = max(CHUNK_BYTES, cut_bytes[1] // 8)
        self._rng = random.Random(seed)
        self._last_id = ""
        self._stopping = threading.Event()
        self._socket: socket.socket | None = None

    def run(self) -> None:
        """Watch until told to stop."""
        while not self._stopping.is_set():
            try:
                self._watch_once()
            except (OSError, http.client.HTTPException):
                self._stopping.wait(0.05)

    def stop(self) -> None:
        """End soon."""
        self._stopping.set()
        if self._socket is not None:
            with suppress(OSError):  # it has closed it meanwhile
                self._socket.shutdown(socket.SHUT_RDWR)
        self.join(2 * READ_TIMEOUT_S)
        assert not self.is_alive()

    def _watch_once(self) -> None:
        """One connection, cut off after some bytes, in the middle of an event as likely as not."""
        connection = http.client.HTTPConnection("127.0.0.1", self._rng.choice(self._ports), timeout=READ_TIMEOUT_S)
        left = self._rng.randrange(*self._cut_bytes)
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        try:
            connection.request("GET", f"/api/v1/watch?prefix={self._prefix}", headers=headers)
            self._socket = connection.sock
            answer = connection.getresponse()
            if answer.status != 200:
                raise ConnectionError(answer.read())
            self.connections += 1
            self.begun += not self._last_id
            text = b""
            while left > 0 and not self._stopping.is_set() and (chunk := answer.read1(min(self._chunk_bytes, left))):
                left -= len(chunk)
                *blocks, text = (text + chunk).split(b"\n\n")
                for block in blocks:
                    self._take(block.decode())
        finally:
            connection.close()

    def _take(self, block: str) -> None:
        fields = {name: value.strip() for name, _, value in (line.partition(":") for line in block.split("\n"))}
        name, data = fields.get("event", ""), json.loads(fields.get("data", "{}"))
        self._last_id = fields.get("id", self._last_id)
        if "key" in data:
            self.told.append(Told(data["key"], name, data["revision"], str(data.get("value", ""))))
        elif name in {"goaway", "resync"}:
            self.ends.append(f"{name} {data['reason']}")


class Writer(threading.Thread):
    """Sets and deletes keys of its own, and notes what it was told."""

    def __init__(self, port: int, name: str, seed: int) -> None:
        super().__init__(name=name, daemon=True)
        self.written: list[Written] = []
        self._rng = random.Random(seed)
        self._client = Client(port)
        self._stopping = threading.Event()

    def run(self) -> None:
        """Write until told to stop."""
        number = 0
        while not self._stopping.wait(0.002):
            number += 1
            self._write(f"{self.name}/{self._rng.randrange(6)}", f"{self.name}-{number}")
        self._client.close()

    def stop(self) -> None:
        """End after the request under way."""
        self._stopping.set()
        self.join(30)
        assert not self.is_alive()

    def _write(self, key: str, value: str) -> None:
        draw = self._rng.random()
        ttl = 1 if draw < 0.1 else None
        is_delete = draw > 0.85
        intent = Written(key, DELETE) if is_delete else Written(key, PUT, value, is_mortal=ttl is not None)
        try:
            reply = self._client.send("DELETE", f"/kv/{key}") if is_delete else self._client.put(key, value, ttl)
        except ConnectionError:
            self.written.append(intent)
            return
        if reply.status == 504:
            self.written.append(intent)
        elif reply.status == 200 and (data := reply.data).get("revision") is not None:
            self.written.append(Written(key, intent.kind, intent.value, data["revision"], intent.is_mortal))
