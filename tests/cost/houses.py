"""A node behind a gateway, in one process: all of the code between the two, no socket, no clock and no disk."""

import asyncio
from collections.abc import Callable
from typing import Any

from shard.service import ShardService
from tests.gateway.double import NAME
from tests.shard.fakes import FAR
from tests.shard.house import House
from wire.errors import Failure, RpcError
from wire.frame import REPLY, REQUEST, Frame, FrameDecoder, encode_header
from wire.limits import DEFAULT_LIMITS
from wire.messages import ClusterMap, GroupInfo, NodeInfo, SlotRange
from wire.rpc import Call, Method, Peer, Rep, Req, encode
from wire.slots import SLOT_COUNT

NODE, ADDRESS, GROUP = "n1", "127.0.0.1:1", 1
MAP = ClusterMap(
    NAME,
    1,
    [NodeInfo(NODE, ADDRESS, "zone", "host", "i")],
    [GroupInfo(GROUP, [NODE])],
    [SlotRange(0, SLOT_COUNT - 1, GROUP)],
)


class LoneNode:
    """A node that hosts one group whose replica commits as soon as it is asked; a channel to it; and its side of every call."""

    def __init__(self) -> None:
        self._house = House()
        self._handlers: dict[int, Callable[[Call[Any, Any]], None]] = {}
        self._frames = FrameDecoder(DEFAULT_LIMITS.frame_bytes_max)
        self._waiting: dict[int, tuple[Method[Any, Any], asyncio.Future[Any]]] = {}
        self._correlation = 0
        ShardService({GROUP: self._house.group}, self)

    def on(self, method: Method[Req, Rep], handler: Callable[[Call[Req, Rep]], None]) -> None:
        """See shard.service.Registrar."""
        self._handlers[method.number] = handler

    def call(self, method: Method[Req, Rep], request: Req, timeout_s: float) -> asyncio.Future[Rep]:
        """See gateway.pool.Channel: encode, frame, decode, handle, and take the loop's turns that follow."""
        del timeout_s  # time stands still
        self._correlation += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[self._correlation] = (method, future)
        payload = encode(request)
        frame = self._carried(encode_header(len(payload), REQUEST, method.number, self._correlation) + payload)
        asked = method.decode_request(frame.payload)
        self._handlers[method.number](Call(asked, Peer(), FAR, frame.correlation, len(payload), self))
        self._settle()
        return future

    async def close(self) -> None:
        """See gateway.pool.ClosableChannel."""

    def answer(self, call: Call[Any, Any], value: object) -> None:
        """See wire.rpc.Desk."""
        payload = encode(value)
        frame = self._carried(encode_header(len(payload), REPLY, 0, call.correlation) + payload)
        method, future = self._waiting.pop(frame.correlation)
        future.set_result(method.decode_reply(frame.payload))

    def refuse(self, call: Call[Any, Any], failure: Failure) -> None:
        """See wire.rpc.Desk."""
        self._waiting.pop(call.correlation)[1].set_exception(RpcError(failure))

    def _carried(self, data: bytes) -> Frame:
        [frame] = self._frames.receive(data)
        return frame

    def _settle(self) -> None:
        house = self._house
        house.scheduler.turn()
        if house.replica.asked:
            house.replica.grant()
        while house.replica.proposed:
            house.replica.commit()
            house.scheduler.turn()
