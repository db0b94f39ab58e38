"""A Litestar application on a real cluster: its stores, its sessions and its cached answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from litestar import Litestar, Request, get, post
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.stores.registry import StoreRegistry

from concord import AsyncConcord
from concord.contrib.litestar import ConcordStore
from tests.e2e.guarded import Guarded


@asynccontextmanager
async def stored(guarded: Guarded, namespace: str) -> AsyncIterator[ConcordStore]:
    async with AsyncConcord(guarded.cluster.url, token=guarded.root) as client:
        yield ConcordStore(client, namespace)


def run(guarded: Guarded, namespace: str, body: Callable[[ConcordStore], Awaitable[None]]) -> None:
    async def main() -> None:
        async with stored(guarded, namespace) as store:
            await body(store)

    asyncio.run(main())


def test_values_are_bytes_that_expire(guarded: Guarded) -> None:
    async def body(store: ConcordStore) -> None:
        assert await store.get("a") is None
        assert not await store.exists("a")
        await store.set("a", "text", expires_in=timedelta(seconds=49.5))
        await store.set("b", b"\x00\xff")
        assert (await store.get("a"), await store.get("b")) == (b"text", b"\x00\xff")
        assert await store.exists("a")
        assert await store.expires_in("a") == 50
        assert [await store.expires_in(key) for key in ("b", "none")] == [None, None]
        assert await store.get("a", renew_for=timedelta(seconds=90)) == b"text"
        assert await store.expires_in("a") == 90
        assert await store.get("b", renew_for=90) == b"\x00\xff"
        assert await store.expires_in("b") is None
        await store.set("a", b"now", expires_in=0)
        await store.delete("b")
        await store.delete("b")
        assert [await store.exists(key) for key in ("a", "b")] == [False, False]

    run(guarded, "values", body)


def test_namespaces_are_apart_and_a_parent_clears_its_children(guarded: Guarded) -> None:
    async def body(store: ConcordStore) -> None:
        child, neighbour = store.with_namespace("child"), ConcordStore(store._client, "spacesuit")
        all_of = (store, child, child.with_namespace("grand"), neighbour)
        for number, one in enumerate(all_of):
            await one.set("child:x", str(number))
        assert [await one.get("child:x") for one in all_of] == [b"0", b"1", b"2", b"3"]
        await child.delete_all()
        assert [await one.get("child:x") for one in all_of] == [b"0", None, None, b"3"]
        await child.set("x", b"1")
        await store.delete_all()
        assert [await one.exists("child:x") for one in all_of] == [False, False, False, True]
        assert not await child.exists("x")

    run(guarded, "spaces", body)
    with pytest.raises(ValueError, match="colon"):
        ConcordStore(AsyncConcord(), "a:b")


def test_an_application_keeps_its_sessions_and_answers_there(guarded: Guarded) -> None:
    calls: list[int] = []

    @post("/login")
    async def login(request: Request[Any, Any, Any]) -> None:
        request.set_session({"user": "ada"})

    @get("/who")
    async def who(request: Request[Any, Any, Any]) -> dict[str, Any]:
        return dict(request.session)

    @get("/slow", cache=60, sync_to_thread=False)
    def slow() -> int:
        calls.append(1)
        return len(calls)

    async def body(store: ConcordStore) -> None:
        sessions = ServerSideSessionConfig(renew_on_access=True)
        app = Litestar(
            [login, who, slow],
            middleware=[sessions.middleware],
            stores=StoreRegistry(default_factory=store.with_namespace),
        )
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type] # Litestar's messages have narrower types
        async with httpx.AsyncClient(transport=transport, base_url="https://testserver") as browser:
            assert (await browser.get("/who")).json() == {}
            await browser.post("/login")
            assert (await browser.get("/who")).json() == {"user": "ada"}
            assert [(await browser.get("/slow")).json() for _ in range(3)] == [1, 1, 1]
        await store.delete_all()

    run(guarded, "application", body)
