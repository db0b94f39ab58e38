"""The description of the API and the page that tries it out. Every byte is served from here; nothing is loaded from elsewhere."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from gateway.answers import Answer, Header
from gateway.limits import HttpLimits
from gateway.openapi import describe
from gateway.requests import Request
from gateway.routes import Route

_ASSETS = Path(__file__).parent / "assets"
_ONLY_OURS: tuple[Header, ...] = (
    (b"content-security-policy", b"default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
)


class Docs:
    """Answers `GET /api/v1/openapi.json` and `GET /api/docs`."""

    def __init__(self, routes: Iterable[Route], limits: HttpLimits, *, has_auth: bool) -> None:
        self._openapi = Answer(msgspec.json.encode(describe(routes, limits, has_auth=has_auth)))
        self._page = Answer(_asset("docs.html"), content_type=b"text/html; charset=utf-8", headers=_ONLY_OURS)
        self._script = Answer(_asset("docs.js"), content_type=b"text/javascript; charset=utf-8")
        self._style = Answer(_asset("docs.css"), content_type=b"text/css; charset=utf-8")

    async def openapi(self, request: Request) -> Answer:
        """The OpenAPI document."""
        request.query()
        return self._openapi

    async def page(self, request: Request) -> Answer:
        """The page."""
        request.query()
        return self._page

    async def script(self, request: Request) -> Answer:
        """Its script."""
        request.query()
        return self._script

    async def style(self, request: Request) -> Answer:
        """Its style."""
        request.query()
        return self._style


def _asset(name: str) -> bytes:
    return (_ASSETS / name).read_bytes()
