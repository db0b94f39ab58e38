"""Sessions for Starlette, FastAPI and every other ASGI application: `request.session`, kept in the cluster.

The middleware is plain ASGI and imports no framework. The rules are those of `concord._web_sessions`.
"""

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, Literal, TypeAlias

import msgspec

from concord import AsyncConcord
from concord._values import encode
from concord._web_sessions import Act, AsyncWebSessions, Cookie, Opened
from concord.contrib._session_data import SessionDict

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_NO_VALUE = frozenset(' "(),/:;<=>?@[\\]{}')


class Session(SessionDict):
    """What `request.session` is."""

    def mark_accessed(self) -> None:
        """Starlette calls it when somebody asks for the session."""
        self.accessed = True


class SessionMiddleware:
    """Puts a `Session` into the scope, and keeps what a request made of it before its answer begins.

    A request without a cookie costs nothing, one with a cookie a read, one that changes something a write as well. What is changed
    after the answer has begun (in a background task, over a WebSocket) is not kept.

    Args:
        app: the application.
        client: of the event loop that it runs in.
        ttl: seconds that a session lives.
        rolling: whether that counts from the last use, or from when it was made.
        prefix: of the keys.
        cookie: its name. With `__Host-` in front browsers let no other host set it.
        secure: whether browsers send it over HTTPS only (and to localhost).
        same_site: which requests from other sites have it.
        path: of the cookie.
        domain: of the cookie; None for this host only.
    """

    def __init__(
        self,
        app: App,
        client: AsyncConcord,
        *,
        ttl: int = 1800,
        rolling: bool = True,
        prefix: str = "session/",
        cookie: str = "session",
        secure: bool = True,
        same_site: Literal["lax", "strict", "none"] = "lax",
        path: str = "/",
        domain: str | None = None,
    ) -> None:
        if not cookie or not cookie.isascii() or not cookie.isprintable() or _NO_VALUE & set(cookie):
            raise ValueError(f"cookie: {cookie!r} is no name of a cookie")
        if same_site == "none" and not secure:
            raise ValueError("same_site: browsers take none only with secure")
        self._app = app
        self._sessions = AsyncWebSessions(client.sessions(prefix, ttl=ttl), rolling=rolling)
        self._name = cookie
        parts = [f"Path={path}", f"Domain={domain}" if domain else "", f"SameSite={same_site.title()}", "HttpOnly"]
        self._attributes = "; ".join([part for part in parts if part] + (["Secure"] if secure else []))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        opened = await self._sessions.begin(_cookie(scope, self._name))
        scope["session"] = session = Session(msgspec.json.decode(opened.data) if opened else None, opened)

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *await self._headers(session, opened)]
            await send(message)

        await self._app(scope, receive, send_with_cookie)

    async def _headers(self, session: Session, opened: Opened | None) -> list[tuple[bytes, bytes]]:
        """Keep the session; what the answer says of it."""
        data = encode(session) if session else b""
        cookie = await self._sessions.finish(opened, data, rotate=session.rotated)
        headers = [(b"vary", b"Cookie")] if session.accessed or cookie.act is not Act.KEEP else []
        if cookie.act is not Act.KEEP:
            headers.append((b"set-cookie", self._set_cookie(cookie).encode("latin-1")))
        return headers

    def _set_cookie(self, cookie: Cookie) -> str:
        return f"{self._name}={cookie.id}; Max-Age={cookie.ttl}; {self._attributes}"


def _cookie(scope: Scope, name: str) -> str | None:
    return next((value for known, value in _cookies(scope) if known == name), None)


def _cookies(scope: Scope) -> Iterator[tuple[str, str]]:
    for header, text in scope["headers"]:
        if header == b"cookie":
            for part in text.decode("latin-1").split(";"):
                name, _, value = part.partition("=")
                yield name.strip(), value.strip()
