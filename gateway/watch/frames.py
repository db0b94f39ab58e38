"""Server-sent events as bytes, each made once however many watchers it goes to. Pure.

The stream is that of the HTML standard: a block of lines that ends with an empty one is an event. A block with an `id`
and no `data` is none, but moves the client's last event id on.
"""

import base64

from gateway.answers import text
from wire.messages import ChangeKind, ListEntry, WatchEvent

OPENING = b"retry: 1000\n\n"
_NAMES = {ChangeKind.PUT: b"put", ChangeKind.DELETE: b"delete", ChangeKind.EXPIRED: b"expired"}
_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")


def state(entry: ListEntry) -> bytes:
    """A key as it is. Without an id: nobody can go on from the middle of a state."""
    return _event(b"state", _put_data(entry.key, entry.value, entry.content_type, entry.revision))


def change(event: WatchEvent, cursor: bytes | None) -> bytes:
    """A change; `cursor` is the position right after it, None when there is none to go on from yet."""
    if event.kind is ChangeKind.PUT:
        data = _put_data(event.key, event.value, event.content_type, event.revision)
    else:
        data = b'{"key":%s,"revision":%d}' % (text(event.key), event.revision)
    return _event(_NAMES[event.kind], data, cursor)


def synced(cursor: bytes | None) -> bytes:
    """The state was told; what follows are changes."""
    return _event(b"synced", b"{}", cursor)


def heartbeat(cursor: bytes) -> bytes:
    """A comment, and the present position."""
    return b": heartbeat\nid: " + cursor + b"\n\n"


def resync() -> bytes:
    """Changes were lost. The empty id makes a client that comes back by itself begin with the state."""
    return b'id:\nevent: resync\ndata: {"reason":"history"}\n\n'


def goaway(reason: str) -> bytes:
    """The stream ends here, and can be gone on with."""
    return _event(b"goaway", b'{"reason":%s}' % text(reason))


def _put_data(key: str, value: bytes, content_type: str, revision: int) -> bytes:
    """Line ends in JSON text are blanks: within strings they cannot stand."""
    if not content_type:
        return b'{"key":%s,"value":%s,"revision":%d}' % (text(key), value.translate(_LINE_ENDS), revision)
    encoded = base64.b64encode(value)
    return b'{"key":%s,"value":"%s","encoding":"base64","content_type":%s,"revision":%d}' % (
        text(key),
        encoded,
        text(content_type),
        revision,
    )


def _event(name: bytes, data: bytes, cursor: bytes | None = None) -> bytes:
    place = b"" if cursor is None else b"id: " + cursor + b"\n"
    return b"%sevent: %s\ndata: %s\n\n" % (place, name, data)
