"""Sessions of Starlette, FastAPI and Flask applications on a real cluster."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any, TypeAlias

import flask
import httpx
import pytest
from fastapi import FastAPI
from fastapi import Request as FastApiRequest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from werkzeug.test import TestResponse

from concord import AsyncConcord, Concord
from concord.contrib.flask import ConcordSessions
from concord.contrib.starlette import SessionMiddleware
from tests.e2e.guarded import Guarded

Browser: TypeAlias = httpx.AsyncClient
COOKIE = re.compile(r"session=[\w-]{43}; Max-Age=60; Path=/; SameSite=Lax; HttpOnly; Secure")


async def who(request: Request) -> JSONResponse:
    return JSONResponse(request.session)


async def login(request: Request) -> PlainTextResponse:
    request.session["user"] = "ada"
    request.session["cart"] = []
    request.scope["session"].regenerate()
    return PlainTextResponse("welcome")


async def add(request: Request) -> PlainTextResponse:
    request.session["cart"].append("tea")
    return PlainTextResponse("added")


async def logout(request: Request) -> PlainTextResponse:
    request.session.clear()
    return PlainTextResponse("bye")


async def ping(_: Request) -> PlainTextResponse:
    return PlainTextResponse("pong")


ROUTES = [Route(f"/{view.__name__}", view, methods=["GET", "POST"]) for view in (who, login, add, logout, ping)]


def visit(guarded: Guarded, body: Callable[[Browser, Browser, AsyncConcord], Awaitable[None]], prefix: str) -> None:
    """Two browsers, and a client to look behind the scenes."""

    async def main() -> None:
        async with AsyncConcord(guarded.cluster.url, token=guarded.root) as client:
            middleware = Middleware(SessionMiddleware, client=client, ttl=60, prefix=prefix)
            transport = httpx.ASGITransport(Starlette(routes=ROUTES, middleware=[middleware]))
            async with (
                Browser(transport=transport, base_url="https://a") as one,
                Browser(transport=transport, base_url="https://a") as other,
            ):
                await body(one, other, client)

    asyncio.run(main())


async def keys(client: AsyncConcord, prefix: str) -> list[str]:
    return [key async for key in client.keys(prefix)]


def test_a_session_goes_from_login_to_logout(guarded: Guarded) -> None:
    async def body(browser: Browser, other: Browser, client: AsyncConcord) -> None:
        assert "set-cookie" not in (await browser.get("/who")).headers
        assert await keys(client, "s1/") == []
        answer = await browser.post("/login")
        assert COOKIE.fullmatch(answer.headers["set-cookie"])
        assert answer.headers["vary"] == "Cookie"
        assert (await browser.post("/add")).text == "added"
        answer = await browser.get("/who")
        assert answer.json() == {"user": "ada", "cart": ["tea"]}
        assert ("set-cookie" in answer.headers, answer.headers["vary"]) == (False, "Cookie")
        assert "vary" not in (await browser.get("/ping")).headers
        (key,) = await keys(client, "s1/")
        assert browser.cookies["session"] not in key
        assert (await other.get("/who")).json() == {}
        answer = await browser.post("/logout")
        assert answer.headers["set-cookie"].startswith("session=; Max-Age=0; Path=/;")
        assert await keys(client, "s1/") == []

    visit(guarded, body, "s1/")


def test_an_id_that_was_planted_or_stolen_before_the_login_is_worth_nothing(guarded: Guarded) -> None:
    async def body(victim: Browser, attacker: Browser, _: AsyncConcord) -> None:
        made_up = "A" * 43
        answer = await victim.post("/login", headers={"cookie": f"session={made_up}"})
        assert f"session={made_up}" not in answer.headers["set-cookie"]
        await attacker.post("/login")
        planted = attacker.cookies["session"]
        answer = await victim.post("/login", headers={"cookie": f"session={planted}"})
        assert planted not in answer.headers["set-cookie"]
        assert (await attacker.get("/who")).json() == {}

    visit(guarded, body, "s2/")


def test_what_is_no_change_is_no_write_and_a_logout_elsewhere_is_final(guarded: Guarded) -> None:
    async def body(browser: Browser, other: Browser, client: AsyncConcord) -> None:
        await browser.post("/login")
        (key,) = await keys(client, "s3/")
        before = await client.entry(key)
        for _ in range(3):
            await browser.get("/who")
        after = await client.entry(key)
        assert before is not None
        assert after is not None
        assert before.revision == after.revision
        other.cookies.update(browser.cookies)
        await other.post("/logout")
        assert (await browser.get("/who")).json() == {}
        assert await keys(client, "s3/") == []

    visit(guarded, body, "s3/")


def test_a_fastapi_application_has_them_too(guarded: Guarded) -> None:
    async def main() -> None:
        async with AsyncConcord(guarded.cluster.url, token=guarded.root) as client:
            app = FastAPI()
            app.add_middleware(SessionMiddleware, client=client, cookie="__Host-id", prefix="s4/")

            @app.get("/count")
            async def count(request: FastApiRequest) -> int:
                request.session["n"] = request.session.get("n", 0) + 1
                return int(request.session["n"])

            async with Browser(transport=httpx.ASGITransport(app), base_url="https://a") as browser:
                assert [(await browser.get("/count")).json() for _ in range(3)] == [1, 2, 3]
                assert list(browser.cookies) == ["__Host-id"]

    asyncio.run(main())


@pytest.mark.parametrize("wrong", [{"same_site": "none", "secure": False}, {"cookie": "a b"}, {"cookie": "a;b"}])
def test_a_cookie_that_browsers_would_not_take_is_refused_at_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"same_site|cookie"):
        SessionMiddleware(ping, AsyncConcord(), **wrong)  # type: ignore[arg-type] # never called


@pytest.fixture
def flask_app(guarded: Guarded) -> Iterator[flask.Flask]:
    app = flask.Flask("shop")
    app.config |= {"SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_SAMESITE": "Lax", "TESTING": True}
    app.permanent_session_lifetime = timedelta(seconds=60)

    @app.route("/who")
    def who() -> dict[str, Any]:
        return {"user": flask.session.get("user"), "flashed": flask.get_flashed_messages()}

    @app.route("/login")
    def login() -> str:
        flask.session["user"], flask.session["seen"] = "ada", (1, {"2": [b"three"]})
        flask.session.regenerate()  # type: ignore[attr-defined] # of ours
        flask.flash("welcome")
        return ""

    @app.route("/change")
    def change() -> str:
        flask.session["seen"][1]["2"].append(4)
        flask.session.permanent = True
        return str(flask.session["seen"])

    @app.route("/logout")
    def logout() -> str:
        flask.session.clear()
        return ""

    with Concord(guarded.cluster.url, token=guarded.root) as client:
        app.session_interface = ConcordSessions(client, "s5/")
        app.extensions["concord"] = client
        yield app


def cookie_of(answer: TestResponse) -> str:
    return answer.headers.get("Set-Cookie", "")


def test_a_flask_application_keeps_what_flask_keeps(flask_app: flask.Flask) -> None:
    client: Concord = flask_app.extensions["concord"]
    browser = flask_app.test_client()
    answer = browser.get("/who", base_url="https://a")
    assert (cookie_of(answer), answer.json) == ("", {"user": None, "flashed": []})
    assert list(client.keys("s5/")) == []
    first = cookie_of(browser.get("/login", base_url="https://a"))
    assert re.fullmatch(r"session=[\w-]{43}; Secure; HttpOnly; Path=/; SameSite=Lax", first)
    assert browser.get("/who", base_url="https://a").json == {"user": "ada", "flashed": ["welcome"]}
    changed = browser.get("/change", base_url="https://a")
    assert changed.text == "(1, {'2': [b'three', 4]})"
    assert "Expires=" in cookie_of(changed)
    second = cookie_of(browser.get("/login", base_url="https://a"))
    assert second[:51] != first[:51]
    assert len(list(client.keys("s5/"))) == 1
    assert "Max-Age=0" in cookie_of(browser.get("/logout", base_url="https://a"))
    assert list(client.keys("s5/")) == []
