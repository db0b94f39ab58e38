"""The asyncio clients take a fence wherever `Concord` does; what it does is in contract.py."""

import asyncio

import pytest

import concord
from concord import AsyncConcord
from concord._transports import AsyncStream, Request, Response
from tests.sdk.fake import refused


class Refusing:
    """A network that refuses every write, and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def send(self, _url: str, request: Request, _timeout_s: float) -> Response:
        self.asked.append(request.body)
        return refused(412, "PRECONDITION_FAILED")

    async def stream(self, _url: str, _request: Request, _silence_s: float) -> AsyncStream:
        raise AssertionError("nobody watches")

    async def close(self) -> None:
        """There is nothing to close."""


async def write_under(client: AsyncConcord, fence: int) -> None:
    for one in (client.increment("a", if_fence=fence), client.touch("a", 9, if_fence=fence)):
        with pytest.raises(concord.PreconditionFailed):
            await one
    written = [
        await client.put_many({"a": 1}, ttl=9, if_fence=fence),
        await client.touch_many(["a"], 9, if_fence=fence),
        await client.delete_many(["a"], if_fence=fence),
    ]
    for result in written:
        assert isinstance(result.errors["a"], concord.PreconditionFailed)


def test_an_async_client_sends_it() -> None:
    async def write() -> list[bytes]:
        network = Refusing()
        async with AsyncConcord(transport=network) as client:
            await write_under(client, 7)
        return network.asked

    asked = asyncio.run(write())
    assert [b'"if_fence":7' in body for body in asked] == [True] * 5


def test_an_async_store_in_this_process_heeds_it() -> None:
    async def write() -> int | None:
        async with await concord.open_async(durability="memory") as db:
            await db.put("a", 1, if_fence=8)
            await write_under(db, 7)
            assert await db.increment("a", if_fence=8) == 2
            return await db.get("a", type=int)

    assert asyncio.run(write()) == 2
