"""The one place where a request is let in or turned away, before its body is read.

Every request to a known route comes through here with its route and key. A gateway that knows no tokens lets everyone
in; that is why it refuses to listen beyond loopback unless it is told to (see settings.py).
"""

from collections.abc import Callable
from typing import TypeAlias

from gateway.requests import Request
from gateway.routes import Route

Guard: TypeAlias = Callable[[Route, Request], None]
"""Raises ApiError to turn a request away."""


def let_everyone_in(route: Route, request: Request) -> None:
    """The guard of a gateway without tokens."""
    del route, request
