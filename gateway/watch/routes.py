"""The handler of `GET /api/v1/watch`."""

from collections.abc import Mapping

from gateway.errors import invalid
from gateway.paths import check_prefix
from gateway.requests import Request
from gateway.watch import buffer, cursor
from gateway.watch.hub import Hub
from gateway.watch.joining import Joining, Lister
from gateway.watch.stream import WatchStream
from process.clock import Clock, loop_time

LAST_EVENT_ID = b"last-event-id"


class Watching:
    """Begins streams.

    Args:
        hub: the gateway's.
        lister: reads the state.
        clock: the event loop's clock, in seconds.
    """

    def __init__(self, hub: Hub, lister: Lister, clock: Clock = loop_time) -> None:
        self._hub = hub
        self._lister = lister
        self._clock = clock

    async def watch(self, request: Request) -> WatchStream:
        """`GET /watch`."""
        query = request.query("prefix", "from")
        prefix = query.get("prefix", "")
        check_prefix(prefix, request.limits)
        request.access.check((prefix,))
        self._hub.check()
        asked = _place_asked_for(request, query)
        try:
            start = None if asked is None else cursor.decode(self._hub.layout, asked)
        except cursor.CursorError:
            raise invalid("from, Last-Event-ID: not an id that a watch of this cluster gave") from None
        watcher = self._hub.enter(prefix, request.access.renew, request.place.address, request.place.token)
        if asked is not None and start is None:
            watcher.end(buffer.RESYNC)
        return WatchStream(self._hub, watcher, Joining(self._hub, self._lister, watcher, prefix, self._clock), start)


def _place_asked_for(request: Request, query: Mapping[str, str]) -> str | None:
    """The cursor to go on from. A client that comes back by itself repeats its query, so the header is the newer one."""
    header = request.header(LAST_EVENT_ID)
    return header.decode("latin-1") if header else query.get("from")
