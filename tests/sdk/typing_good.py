"""Typical user code: mypy strict checks it with everything else, so what it asserts of types is true."""

from typing import Annotated, Any, Literal, TypeAlias, assert_type

from flask import Flask
from litestar import Litestar
from litestar.stores.registry import StoreRegistry
from msgspec import Meta, Struct
from starlette.applications import Starlette
from starlette.middleware import Middleware

import concord
from concord import (
    AsyncConcord,
    AsyncFlags,
    AsyncLimiter,
    AsyncLock,
    AsyncRegistration,
    AsyncService,
    AsyncSessions,
    AsyncWatch,
    Concord,
    Entry,
    Event,
    Flags,
    Limiter,
    Lock,
    Read,
    Registration,
    Service,
    Sessions,
    StepResult,
    Steps,
    Txn,
    TxnResult,
    Watch,
    Written,
)
from concord.contrib.flask import ConcordSessions
from concord.contrib.litestar import ConcordStore
from concord.contrib.starlette import SessionMiddleware

Small: TypeAlias = Annotated[int, Meta(le=9)]


class Pool(Struct):
    size: int


def sync(client: Concord) -> None:
    assert_type(client.get("k", type=Pool), Pool | None)
    assert_type(client.get("k", type=int, default=0), int)
    assert_type(client.get("k", type=Pool, default="none"), Pool | str)
    assert_type(client.entry("k", type=bytes), Entry[bytes] | None)
    assert_type(client.put("k", Pool(1), ttl=3), int)
    assert_type(client.delete("k"), bool)
    assert_type(client.ttl("k"), int | None)
    assert_type(client.get_many(["k"], type=Pool), Read[Pool])
    assert_type(client.get_many(["k"]).check().values, dict[str, Any])
    assert_type(client.put_many({"k": 1}), Written)
    assert_type(next(client.scan("k", type=Pool)).value, Pool)
    assert_type(next(client.pages("k", type=Pool)).entries[0].value, Pool)
    assert_type(client.commit(Txn()), TxnResult)
    for event in client.watch("k", type=Pool):
        assert_type(event, Event[Pool])
    with client.lock("k") as lock, client.flags() as flags:
        assert_type(lock.fence, int)
        guarded(lock)
        assert_type(flags.get("k", default=True), bool)
        assert_type(flags.get("k", type=Pool), Pool | None)
        assert_type(flags.get("k", Pool(1), type=Pool), Pool)
        assert_type(flags.get("k", "none", type=Pool), Pool | str)
        several: list[Pool] | None = flags.get("k", type=list[Pool])
        either: Pool | int | None = flags.get("k", type=Pool | int)
        either = flags.get("k", Pool(1), type=Pool | int)
        assert several or either


def of_what_is_no_class(client: Concord) -> None:
    """Unions, literals and annotated types have no static type that a parameter could name: what comes of them is for the caller to say."""
    number: int | None = client.get("k", type=int | None)
    number = client.get("k", type=Small, default=3)
    mode: Literal["on", "off"] | None = client.get("k", type=Literal["on", "off"])
    entry: Entry[int | str] | None = client.entry("k", type=int | str)
    values: dict[str, int | str] = client.get_many(["k"], type=int | str).check().values
    entry = next(client.scan("k", type=int | str))
    entry = next(client.pages("k", type=int | str)).entries[0]
    with client.watch("k", type=int | str) as watch:
        event: Event[int | str] = next(watch)
    assert_type(client.get("k", type=list[int]), list[int] | None)
    assert [number, mode, entry, values, event]


def guarded(lock: Lock) -> tuple[str, int]:
    """What a client returns can be named."""
    return lock.name, lock.fence


class Named:
    """Nor is there anything that a client takes or gives and that cannot be."""

    watch: Watch[int] | AsyncWatch[int]
    flags: Flags | AsyncFlags
    limiter: Limiter | AsyncLimiter
    service: Service | AsyncService
    registration: Registration | AsyncRegistration
    sessions: Sessions | AsyncSessions
    lock: AsyncLock
    steps: Steps
    result: StepResult


async def asynchronous(client: AsyncConcord) -> None:
    assert_type(await client.get("k", type=Pool), Pool | None)
    assert_type(await client.get("k", type=int, default=0), int)
    assert_type(await client.get_many(["k"], type=Pool), Read[Pool])
    number: int | None = await client.get("k", type=int | None)
    assert number
    async for entry in client.scan("k", type=Pool):
        assert_type(entry, Entry[Pool])
    async for event in client.watch("k", type=Pool):
        assert_type(event, Event[Pool])
    async with client.lock("k") as lock:
        assert_type(lock.fence, int)


async def embedded() -> None:
    with concord.open("data/", durability="os") as db:
        assert_type(db, concord.Embedded)
        assert_type(db.get("k", type=Pool), Pool | None)
        sync(db)
    async with await concord.open_async(durability="memory") as other:
        assert_type(other, concord.AsyncEmbedded)
        await asynchronous(other)


async def in_frameworks(client: Concord, other: AsyncConcord) -> None:
    store = ConcordStore(other, namespace="shop")
    assert_type(store.with_namespace("carts"), ConcordStore)
    assert_type(await store.get("k", renew_for=60), bytes | None)
    Litestar(stores=StoreRegistry(default_factory=store.with_namespace))
    Starlette(middleware=[Middleware(SessionMiddleware, client=other, ttl=1800)])
    Flask("shop").session_interface = ConcordSessions(client)
