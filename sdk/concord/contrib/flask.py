"""Sessions for Flask, kept in the cluster; cookies are set as the application's `SESSION_COOKIE_…` say.

The rules are those of `concord._web_sessions`. A session lives for `PERMANENT_SESSION_LIFETIME`, counted from its last use with
`SESSION_REFRESH_EACH_REQUEST` (Flask's default), from when it was made without. Values are those that Flask's own sessions take.
"""

from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SessionInterface, SessionMixin, session_json_serializer

from concord import Concord
from concord._web_sessions import Act, WebSessions
from concord.contrib._session_data import SessionDict

_ONLY_PERMANENT = {"_permanent"}


class Session(SessionDict, SessionMixin):
    """What `flask.session` is."""

    accessed: bool

    @property
    def new(self) -> bool:  # type: ignore[override] # Flask's is a plain attribute
        """Whether it begins with this request."""
        return self.opened is None


class ConcordSessions(SessionInterface):
    """`app.session_interface = ConcordSessions(client)`.

    A request without a cookie costs nothing, one with a cookie a read, one that changes something a write as well.

    Args:
        client: made in the process that serves, not before a fork.
        prefix: of the keys.
    """

    def __init__(self, client: Concord, prefix: str = "session/") -> None:
        self._client = client
        self._prefix = prefix

    def open_session(self, app: Flask, request: Request) -> Session:
        """The session of a request."""
        opened = self._sessions(app).begin(request.cookies.get(self.get_cookie_name(app)))
        return Session(session_json_serializer.loads(opened.data.decode()) if opened else None, opened)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Keep what the request made of it, and say so to the browser."""
        assert isinstance(session, Session), "the session of a request is the one that was opened"  # noqa: S101 - our own
        is_empty = session.keys() <= _ONLY_PERMANENT
        data = b"" if is_empty else session_json_serializer.dumps(dict(session)).encode()
        cookie = self._sessions(app).finish(session.opened, data, rotate=session.rotated)
        if session.accessed or cookie.act is not Act.KEEP:
            response.vary.add("Cookie")
        if cookie.act is Act.SET:
            expires = self.get_expiration_time(app, session)
            response.set_cookie(self.get_cookie_name(app), cookie.id, expires=expires, **self._attributes(app))
        elif cookie.act is Act.CLEAR:
            response.delete_cookie(self.get_cookie_name(app), **self._attributes(app))

    def _sessions(self, app: Flask) -> WebSessions:
        ttl = max(1, int(app.permanent_session_lifetime.total_seconds()))
        store = self._client.sessions(self._prefix, ttl=ttl)
        return WebSessions(store, rolling=app.config["SESSION_REFRESH_EACH_REQUEST"])

    def _attributes(self, app: Flask) -> dict[str, Any]:
        return {
            "domain": self.get_cookie_domain(app),
            "path": self.get_cookie_path(app),
            "secure": self.get_cookie_secure(app),
            "httponly": self.get_cookie_httponly(app),
            "samesite": self.get_cookie_samesite(app),
            "partitioned": self.get_cookie_partitioned(app),
        }
