"""A value that is not of the type costs a watch one event, not itself: both clients, over a stream that is a script. What has no JSON is not sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

import pytest

import concord
from concord import AsyncConcord, Concord
from concord._transports import Request, Response
from tests.sdk.memory import Memory


def event(kind: str, data: object = None, place: str = "") -> bytes:
    return (f"id: {place}\n" if place else "").encode() + f"event: {kind}\ndata: {json.dumps(data or {})}\n\n".encode()


STREAM = b"".join(
    [
        event("state", {"key": "a", "value": "text", "revision": 1}),
        event("state", {"key": "b", "value": 2, "revision": 2}),
        event("synced", place="p2"),
        event("put", {"key": "c", "value": "AA==", "encoding": "base64", "revision": 3}, "p3"),
        event("put", {"key": "d", "value": 4, "revision": 4}, "p4"),
    ]
)
TOLD = [("a", ""), "state b", "synced ", ("c", "p3"), "put d"]


def test_a_watch_goes_on_after_a_foreign_value() -> None:
    memory = Memory()
    memory.streams = [[STREAM]]
    told: list[object] = []
    said: list[str] = []
    with Concord(transport=memory) as client, client.watch(type=int) as watch:
        for _ in TOLD:
            try:
                happened = next(watch)
                told.append(f"{happened.kind} {happened.key}")
            except concord.InvalidValue as error:
                said.append(str(error))
                told.append((error.key, error.id))
    assert told == TOLD
    assert ["a: " in said[0], "c: " in said[1], "p3" in said[1]] == [True] * 3
    assert len(memory.asked) == 1  # all of it came over one connection


class Script:
    """A network of one stream."""

    status = 200
    headers: Mapping[str, str] = {}

    async def send(self, _url: str, _request: Request, _timeout_s: float) -> Response:
        raise AssertionError("nobody asks")

    async def stream(self, _url: str, _request: Request, _silence_s: float) -> "Script":
        return self

    async def chunks(self) -> AsyncIterator[bytes]:
        yield STREAM

    async def close(self) -> None:
        """There is nothing to close."""


def test_an_async_watch_does_so_too() -> None:
    async def read() -> list[object]:
        told: list[object] = []
        async with AsyncConcord(transport=Script()) as client, client.watch(type=int) as watch:
            for _ in TOLD:
                try:
                    happened = await anext(watch)
                    told.append(f"{happened.kind} {happened.key}")
                except concord.InvalidValue as error:
                    told.append((error.key, error.id))
        return told

    assert asyncio.run(read()) == TOLD


def test_async_listings_and_the_watch_of_a_store_in_this_process_go_on() -> None:
    async def read() -> None:
        async with await concord.open_async(durability="memory") as db:
            await db.put_many({"a": 1, "b": "text", "c": 3})
            entries = db.scan(type=int)
            assert (await anext(entries)).key == "a"
            with pytest.raises(concord.InvalidValue, match="b"):
                await anext(entries)
            assert [entry.key async for entry in entries] == ["c"]
            pages = db.pages(type=int, limit=2)
            with pytest.raises(concord.InvalidValue, match="b"):
                await anext(pages)
            assert [[entry.key for entry in page.entries] async for page in pages] == [["c"]]
            async with db.watch(type=int) as watch:
                assert (await anext(watch)).key == "a"
                with pytest.raises(concord.InvalidValue, match="b"):
                    await anext(watch)
                assert [(await anext(watch)).kind, (await anext(watch)).kind] == ["state", "synced"]

    asyncio.run(read())


@pytest.mark.parametrize("value", [object(), float("nan")])
def test_an_async_client_sends_nothing_of_what_has_a_value_without_json(value: object) -> None:
    async def write() -> None:
        async with AsyncConcord(transport=Script()) as client:
            with pytest.raises(concord.InvalidRequest, match="value of b"):
                await client.put_many({"a": b"goes by itself", "b": value})
            with pytest.raises(concord.InvalidRequest, match="value of b"):
                await client.put("b", {"x": value})

    asyncio.run(write())
