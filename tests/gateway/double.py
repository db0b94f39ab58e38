"""A cluster in memory behind the RPC seam, and an HTTP client that speaks ASGI: no socket, no granian.

The client compares every answer with the OpenAPI document of its gateway.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cache
from itertools import groupby
from typing import Any, TypeVar, cast

import msgspec
from litestar.types import HTTPScope, Message, Receive, Send

from gateway.app import Gateway
from gateway.caller import Pace
from gateway.health import HealthPace
from gateway.limits import HttpLimits
from gateway.pool import ClosableChannel
from gateway.settings import GatewaySettings
from gateway.watch import WatchPace
from shard.history import History
from shard.machine import Change, Record
from tests.gateway.described import check_answer
from wire.errors import Applied, Code, Failure, RpcError
from wire.messages import (
    ChangeKind,
    ClusterMap,
    Delete,
    GroupInfo,
    GroupStatus,
    ItemResult,
    ListEntry,
    ListReply,
    ListRequest,
    NodeInfo,
    NodeStatus,
    OperationId,
    Put,
    PutItem,
    ReadReply,
    ReadRequest,
    SlotRange,
    Status,
    StatusRequest,
    Touch,
    WatchMapRequest,
    WatchReply,
    WatchRequest,
    WriteReply,
    WriteRequest,
)
from wire.rpc import Method
from wire.slots import SLOT_COUNT, slot_of

T = TypeVar("T")
Req = TypeVar("Req")
Rep = TypeVar("Rep")

NAME = "test"
SETTINGS = GatewaySettings(nodes=["127.0.0.1:1"], cluster=NAME)
QUICK = Pace(attempt_s=0.05, pause_first_s=0.001, pause_max_s=0.01)

QUICK_WATCH = WatchPace(wait_s=0.02, heartbeat_s=0.05, linger_s=0.02, pause_max_s=0.01)

NOT_LEADER = Failure(Code.NOT_LEADER, "not the leader")
CONNECTION_LOST = Failure(Code.UNKNOWN, "connection lost", Applied.UNKNOWN)


class Fault(msgspec.Struct):
    """What a node does to the next request that `matches`: fail, apply first, or never answer (failure None)."""

    failure: Failure | None
    applies: bool = False
    node: str = ""
    times: int = 1
    request: type[object] = object


@cache
def _even_owners(groups: int) -> Sequence[int]:
    """Slot → group, numbered from 1."""
    return [slot * groups // SLOT_COUNT + 1 for slot in range(SLOT_COUNT)]


class FakeCluster:
    """Nodes n1..n3, `groups` groups; each group is led by one node and keeps what was written to it."""

    def __init__(self, groups: int = 4, nodes: int = 3) -> None:
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]
        self.groups = list(range(1, groups + 1))
        self.addresses = {node: f"127.0.0.1:{node.removeprefix('n')}" for node in self.nodes}
        self.leaders = {group: self.nodes[group % nodes] for group in self.groups}
        self.owners = list(_even_owners(groups))
        self.epoch = 1
        self.data: dict[int, dict[str, tuple[bytes, int, int]]] = defaultdict(dict)
        self.applied: list[tuple[int, str]] = []
        self.index = 0
        self.faults: list[Fault] = []
        self.down: set[str] = set()
        self.fenced: set[tuple[str, int]] = set()  # (node, group)
        self.broken: dict[int, Failure] = {}  # groups that fail every request
        self.memory: dict[tuple[int, int, int], list[ItemResult]] = {}
        self.floors: dict[tuple[int, int], int] = {}
        self.calls: list[tuple[str, object]] = []
        self.list_page_max = 1000
        self.reply_bytes_max = 1 << 40
        self.histories = {group: History(0, 1000, 1 << 30) for group in self.groups}
        self.watch_bytes_max = 1 << 20
        self._changes: dict[int, list[Change]] = defaultdict(list)
        self._waiting: list[Callable[[], None]] = []

    @property
    def map(self) -> ClusterMap:
        """The map as of now."""
        ranges: list[SlotRange] = []
        first = 0
        for group, slots in groupby(self.owners):
            end = first + len(list(slots))
            ranges.append(SlotRange(first, end - 1, group))
            first = end
        nodes = [NodeInfo(node, self.addresses[node], "zone", "host", "i") for node in self.nodes]
        return ClusterMap(NAME, self.epoch, nodes, [GroupInfo(group, self.nodes) for group in self.groups], ranges)

    def group_of(self, key: str) -> int:
        return self.owners[slot_of(key)]

    def key_in(self, group: int, start: int = 0) -> str:
        """Some key of a group."""
        return next(key for number in range(start, 1 << 20) if self.group_of(key := f"k{number}") == group)

    def move(self, key: str, group: int) -> None:
        """Give a key's slot, with what it holds, to another group; gateways are not told."""
        source = self.group_of(key)
        self.owners[slot_of(key)] = group
        self.epoch += 1
        for held in [held for held in self.data[source] if slot_of(held) == slot_of(key)]:
            self.data[group][held] = self.data[source].pop(held)

    def requests(self, kind: type[T]) -> list[T]:
        """The requests of one kind that reached a node."""
        return [request for _, request in self.calls if isinstance(request, kind)]

    def open_channel(self, address: str) -> ClosableChannel:
        return FakeChannel(self, next((node for node in self.nodes if self.addresses[node] == address), self.nodes[0]))

    def handle(self, node: str, request: object) -> object:
        """Answer as a node would."""
        self.calls.append((node, request))
        if isinstance(request, (ReadRequest, WriteRequest, ListRequest)) and request.group in self.broken:
            raise RpcError(self.broken[request.group])
        match request:
            case StatusRequest():
                return self._status(node)
            case ReadRequest() | ListRequest():
                if request.consistency == 0:
                    self._check_leader(node, request.group)
                return self._read(request) if isinstance(request, ReadRequest) else self._list(request)
            case WriteRequest():
                self._check_leader(node, request.group)
                return self._write(request)
            case _:
                raise RpcError(Failure(Code.INVALID, "no such method"))

    def take_fault(self, node: str, request: object) -> Fault | None:
        for fault in self.faults:
            if fault.node in ("", node) and isinstance(request, fault.request):
                fault.times -= 1
                if fault.times == 0:
                    self.faults.remove(fault)
                return fault
        return None

    def _check_leader(self, node: str, group: int) -> None:
        if self.leaders[group] != node:
            raise RpcError(msgspec.structs.replace(NOT_LEADER, leader=self.leaders[group]))

    def _read(self, request: ReadRequest) -> ReadReply:
        results = [self._read_key(request.group, key) for key in request.keys]
        if sum(len(result.value) for result in results) > self.reply_bytes_max:
            raise RpcError(Failure(Code.TOO_LARGE, "the reply is over the limit of a frame", Applied.UNKNOWN))
        return ReadReply(results, self.index, 7 if request.consistency else 0)

    def _read_key(self, group: int, key: str) -> ItemResult:
        if self.group_of(key) != group:
            return ItemResult(Status.WRONG_GROUP)
        found = self.data[group].get(key)
        if found is None:
            return ItemResult(Status.NOT_FOUND)
        value, ttl_ms, revision = found
        return ItemResult(Status.OK, revision, value, "", ttl_ms)

    def _list(self, request: ListRequest) -> ListReply:
        keys = sorted(k for k in self.data[request.group] if k.startswith(request.prefix) and k > request.after)
        limit = min(request.limit, self.list_page_max)
        entries = []
        for key in keys[:limit]:
            value, ttl_ms, revision = self.data[request.group][key]
            entries.append(ListEntry(key, revision, ttl_ms, "", value if request.with_values else b""))
        return ListReply(entries, len(keys) > limit, self.index, 7 if request.consistency else 0)

    def _write(self, request: WriteRequest) -> WriteReply:
        name, place = request.id, (request.group, request.id.session)
        known = self.memory.get((*place, name.sequence))
        if known is not None:
            return WriteReply(known, self.index)
        if name.sequence < self.floors.get(place, 0):
            return WriteReply([ItemResult(Status.STALE_OPERATION)], self.index)
        self._forget(place, name)
        self.index += 1
        results = self._apply(request)
        self.tell()
        self.memory[(*place, name.sequence)] = results
        return WriteReply(results, self.index)

    def _forget(self, place: tuple[int, int], name: OperationId) -> None:
        self.floors[place] = max(self.floors.get(place, 0), name.floor)
        for held in [held for held in self.memory if held[:2] == place and held[2] < self.floors[place]]:
            del self.memory[held]

    def _apply(self, request: WriteRequest) -> list[ItemResult]:
        group, operation = request.group, request.operation
        match operation:
            case Put(items):
                return [self._change(group, item.key, item) for item in items]
            case Touch(touched):
                return [self._change(group, item.key, item.ttl_ms) for item in touched]
            case Delete(keys):
                return [self._change(group, key, None) for key in keys]
            case _:
                raise NotImplementedError(operation)

    def _change(self, group: int, key: str, change: PutItem | int | None) -> ItemResult:
        if self.group_of(key) != group:
            return ItemResult(Status.WRONG_GROUP)
        store = self.data[group]
        if isinstance(change, PutItem):
            store[key] = (change.value, change.ttl_ms, self.index)
        elif key not in store:
            return ItemResult(Status.NOT_FOUND)
        elif change is None:
            del store[key]
        else:
            store[key] = (store[key][0], change, self.index)
        if key in store:
            self._changes[group].append(Change(ChangeKind.PUT, key, Record(store[key][0], "", self.index, 0)))
        else:
            self._changes[group].append(Change(ChangeKind.DELETE, key, None))
        self.applied.append((group, key))
        return ItemResult(Status.OK, self.index)

    def put(self, *keys: str, value: bytes = b"1", content_type: str = "") -> None:
        """An entry of each group that sets keys, whoever wrote it."""
        self.index += 1
        for key in keys:
            record = Record(value, content_type, self.index, 0)
            self.data[self.group_of(key)][key] = (value, 0, self.index)
            self._changes[self.group_of(key)].append(Change(ChangeKind.PUT, key, record))
        self.tell()

    def expire(self, key: str) -> None:
        """A key reaches its end."""
        self.index += 1
        del self.data[self.group_of(key)][key]
        self._changes[self.group_of(key)].append(Change(ChangeKind.EXPIRED, key, None))
        self.tell()

    def tell(self) -> None:
        """The entry is applied: answer those who wait for changes."""
        for group, changes in self._changes.items():
            self.histories[group].add(self.index, changes)
        self._changes.clear()
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer()

    def watch(self, node: str, request: WatchRequest, future: asyncio.Future[Any]) -> None:
        """Answer with changes as soon as there are any, or with none when the wait is over."""
        self.calls.append((node, request))

        def answer(*, last: bool = False) -> None:
            if future.done():
                return
            if self.leaders[request.group] != node:
                _fail(future, msgspec.structs.replace(NOT_LEADER, leader=self.leaders[request.group]))
                return
            history = self.histories[request.group]
            found = history.after(request.index, request.taken, self.index, self.watch_bytes_max)
            if found is None:
                future.set_result(WatchReply([], self.index, resync=True))
            elif found.events or last:
                future.set_result(WatchReply(found.events, found.index, found.taken))
            else:
                self._waiting.append(answer)

        answer(last=request.wait_ms == 0)
        asyncio.get_running_loop().call_later(request.wait_ms / 1000, lambda: answer(last=True))

    def _status(self, node: str) -> NodeStatus:
        groups = [self._group_status(node, group) for group in self.groups]
        placement = GroupStatus(0, "leader" if node == "n1" else "follower", "n1", 1, 5, 5, 5, 0, 0, 0)
        return NodeStatus(
            node, "zone", self.addresses[node], NAME, self.epoch, "fsync", 1.0, 100, 10, 3, 2, 1, [placement, *groups]
        )

    def _group_status(self, node: str, group: int) -> GroupStatus:
        role = "leader" if self.leaders[group] == node else "follower"
        size = sum(len(value) for value, _, _ in self.data[group].values())
        fenced = (node, group) in self.fenced
        return GroupStatus(
            group, role, self.leaders[group], 1, 9, 9, 9, 0, len(self.data[group]), size, checked_index=7, fenced=fenced
        )


class FakeChannel:
    """A connection to one node of a FakeCluster."""

    def __init__(self, cluster: FakeCluster, node: str) -> None:
        self._cluster = cluster
        self._node = node

    def call(self, method: Method[Req, Rep], request: Req, timeout_s: float) -> asyncio.Future[Rep]:
        del method
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if isinstance(request, WatchMapRequest):
            self._watch(future, request)
        elif self._node in self._cluster.down:
            future.set_exception(RpcError(Failure(Code.UNAVAILABLE, "connection refused")))
        else:
            self._serve(future, request, timeout_s)
        return future

    async def close(self) -> None:
        """Nothing is open."""

    def _watch(self, future: asyncio.Future[Any], request: WatchMapRequest) -> None:
        def answer() -> None:
            if not future.done():
                future.set_result(self._cluster.map)

        news = self._cluster.epoch > request.epoch
        asyncio.get_running_loop().call_later(0.0 if news else 0.05, answer)

    def _serve(self, future: asyncio.Future[Any], request: object, timeout_s: float) -> None:
        fault = self._cluster.take_fault(self._node, request)
        if fault is not None:
            if fault.applies:
                self._cluster.handle(self._node, request)
            lost = fault.failure or Failure(Code.TIMEOUT, "no answer", Applied.UNKNOWN)
            wait_s = timeout_s if fault.failure is None else 0.0
            asyncio.get_running_loop().call_later(wait_s, _fail, future, lost)
            return
        if isinstance(request, WatchRequest):
            if request.group in self._cluster.broken:
                _fail(future, self._cluster.broken[request.group])
            else:
                self._cluster.watch(self._node, request, future)
            return
        try:
            future.set_result(self._cluster.handle(self._node, request))
        except RpcError as error:
            future.set_exception(error)


def _fail(future: asyncio.Future[Any], failure: Failure) -> None:
    if not future.done():
        future.set_exception(RpcError(failure))


class Sse(msgspec.Struct, frozen=True):
    """One block of a stream of server-sent events; `id` None when it has none, `event` "" when it has no data."""

    event: str
    data: Any
    id: str | None


class Watcher:
    """A client of a stream; what it was sent is in `blocks`, its last event id in `last_id`."""

    def __init__(
        self, client: "Client", target: str, headers: Sequence[tuple[str, str]], address: str = "127.0.0.1"
    ) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.part_bytes_max = 0
        self.body = b""
        self.ended = False
        self.reads = asyncio.Event()  # cleared: it takes nothing more
        self.reads.set()
        self._gone = asyncio.Event()
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "method": "GET",
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers],
            "client": (address, 1),
        }
        self._task = asyncio.ensure_future(self._follow(client.gateway, cast("HTTPScope", scope)))

    @property
    def blocks(self) -> list[Sse]:
        """The whole blocks so far."""
        return [_block(text) for text in self.body.decode().split("\n\n")[:-1]]

    @property
    def events(self) -> list[Sse]:
        """Those with data, as an EventSource would dispatch them."""
        return [block for block in self.blocks if block.event]

    @property
    def last_id(self) -> str:
        """What an EventSource would send as Last-Event-ID."""
        return next((block.id for block in reversed(self.blocks) if block.id is not None), "")

    def told(self) -> list[tuple[str, str]]:
        """Event and key of everything that has a key."""
        return [(event.event, event.data["key"]) for event in self.events if "key" in event.data]

    async def until(self, name: str) -> "Watcher":
        """Wait for an event of this name."""
        await until(lambda: any(event.event == name for event in self.events))
        return self

    async def leave(self) -> None:
        """Close the connection, and wait until the gateway has noticed."""
        self._gone.set()
        await self._task

    async def end(self) -> None:
        """Wait until the gateway ends the stream."""
        async with asyncio.timeout(10):
            await self._task

    async def _follow(self, gateway: Gateway, scope: HTTPScope) -> None:
        await gateway.dispatcher(scope, cast("Receive", self._receive), cast("Send", self._send))
        check_answer(gateway, "GET", scope["raw_path"].decode(), status=self.status, headers=self.headers, body=b"")

    async def _receive(self) -> dict[str, object]:
        if not self.status:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message["body"]
            self.part_bytes_max = max(self.part_bytes_max, len(message["body"]))
            self.ended = not message["more_body"]


def _block(text: str) -> Sse:
    fields = dict(line.partition(":")[::2] for line in text.split("\n") if line.partition(":")[0] in _FIELDS)
    data = json.loads(fields["data"].strip()) if "data" in fields else None
    return Sse(fields.get("event", "").strip(), data, fields["id"].strip() if "id" in fields else None)


_FIELDS = {"id", "event", "data"}


class Reply(msgspec.Struct):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error code."""
        return str(self.json["error"]["code"])

    @property
    def data(self) -> Any:
        return self.json["data"]


class Client:
    """Speaks ASGI to a gateway's dispatcher; `checks` that each answer is as the gateway's document says."""

    def __init__(self, gateway: Gateway, cluster: FakeCluster, *, checks: bool = True) -> None:
        self.gateway = gateway
        self.cluster = cluster
        self._checks = checks

    async def send(
        self,
        method: str,
        target: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        chunks: Iterable[bytes] | None = None,
        headers: Sequence[tuple[str, str]] = (),
        gone: asyncio.Event | None = None,
        address: str = "127.0.0.1",
    ) -> Reply:
        """Send a request; `body` is encoded as JSON, `raw` and `chunks` are sent as they are.

        When `gone` is set the client has closed its connection. What it would have been answered is then empty, status 0.
        """
        whole = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        sent = [(name.encode(), value.encode()) for name, value in headers]
        if chunks is None:
            sent.append((b"content-length", b"%d" % len(whole)))
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": sent,
            "client": (address, 1),
        }
        answers: list[Any] = []
        receive = _receiver([whole] if chunks is None else chunks, gone)

        async def collect(message: Message) -> None:
            answers.append(message)

        await self.gateway.dispatcher(cast("HTTPScope", scope), cast("Receive", receive), cast("Send", collect))
        if not answers:
            return Reply(0, {}, b"")
        start, *parts = answers
        assert [part["more_body"] for part in parts] == [True] * (len(parts) - 1) + [False]
        body = b"".join(part["body"] for part in parts)
        reply = Reply(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body)
        if self._checks:
            check_answer(self.gateway, method, path, status=reply.status, headers=reply.headers, body=reply.body)
        return reply

    def watch(
        self,
        query: str = "",
        *,
        last_event_id: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        address: str = "127.0.0.1",
    ) -> Watcher:
        """Begin to watch."""
        resumed = [] if last_event_id is None else [("last-event-id", last_event_id)]
        return Watcher(self, "/api/v1/watch" + query, [*headers, *resumed], address)


def _receiver(chunks: Iterable[bytes], gone: asyncio.Event | None) -> Callable[[], Awaitable[dict[str, object]]]:
    waiting = iter(chunks)
    ended = False

    async def receive() -> dict[str, object]:
        nonlocal ended
        if ended:
            await (gone or asyncio.Event()).wait()
            return {"type": "http.disconnect"}
        chunk = next(waiting, None)
        ended = chunk is None
        return {"type": "http.request", "body": chunk or b"", "more_body": not ended}

    return receive


def run(
    scenario: Callable[[Client], Awaitable[T]],
    cluster: FakeCluster | None = None,
    *,
    limits: HttpLimits | None = None,
    started: bool = False,
    knows_map: bool = True,
    pace: Pace = QUICK,
    settings: GatewaySettings = SETTINGS,
    watch_pace: WatchPace | None = None,
) -> T:
    """Run a scenario against a gateway of a fake cluster; `started` also runs the watcher and the probes."""

    async def main() -> T:
        fake = cluster or FakeCluster()
        gateway = Gateway(
            settings,
            fake.open_channel,
            limits=limits,
            pace=pace,
            health_pace=HealthPace(probe_interval_s_unready=0.005),
            watch_pace=watch_pace or QUICK_WATCH,
        )
        if knows_map:
            gateway.holder.publish(fake.map)
        if started:
            await gateway.start()
        try:
            return await scenario(Client(gateway, fake))
        finally:
            await gateway.close()

    return asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, with an end."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition is a plain value of the code under test
            await asyncio.sleep(0.001)
