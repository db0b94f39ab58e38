"""What a watch makes of its streams, without reading any. Pure.

A watch is one sequence of events over any number of connections. It goes on at its last id. When there is none, because
the history is gone (`resync`) or a connection was lost within the state, the state is told anew; keys that were told
before and are not any more are told as deleted right before `synced`.
"""

import random
from collections.abc import Iterator
from typing import Any, Generic, Literal, TypeAlias, TypeVar
from urllib.parse import urlencode

import msgspec

from concord._calls import API
from concord._errors import ConcordError, InvalidValue, ServerFault, TooManyRequests, Unavailable
from concord._responses import Found
from concord._retry import Retry
from concord._sse import Block, Parser, StreamError
from concord._transports import Request

T = TypeVar("T")
Kind: TypeAlias = Literal["state", "synced", "put", "delete", "expired"]

SILENCE_S = 25.0
"""Without a byte, a connection counts as lost: gateways send a heartbeat every 10 seconds."""
ALIVE = Request("GET", "/livez")
"""Asked of a gateway before a stream is, where there is another: one that says nothing is known by it after ALIVE_S, not SILENCE_S."""
ALIVE_S = 3.0
_KEYED: dict[str, Kind] = {"state": "state", "put": "put", "delete": "delete", "expired": "expired"}

_data = msgspec.json.Decoder(Found)


class Event(msgspec.Struct, Generic[T], frozen=True):
    """What happened.

    Attributes:
        kind: `state`: the key as it is; `synced`: all of the state was told; `put`, `delete`, `expired`: a change.
        key: "" for `synced`.
        value: of the type that was asked for; None for `delete`, `expired` and `synced`.
        revision: of the change; 0 for a deletion that was missed and is told from its absence, and for `synced`.
        id: the place right after it, to go on from with `after=`; "" where nobody can go on.
    """

    kind: Kind
    key: str = ""
    value: T | None = None
    revision: int = 0
    id: str = ""


class Watching(Generic[T]):
    """The state of a watch.

    Args:
        prefix: of the keys.
        kind: the type of the values.
        after: the id to go on from, "" to begin with the state.
        retry: how to wait between connections; how often is not limited.
        rng: for jitter.
        patience_s: how long to try without a connection, None for ever.
        now: monotonic, in seconds.

    Attributes:
        heard_at: when the last byte came; at first, when the watch was made.
        is_over: whether the gateway has ended the present stream.
    """

    def __init__(
        self,
        prefix: str,
        kind: Any,
        *,
        after: str,
        retry: Retry,
        rng: random.Random,
        patience_s: float | None,
        now: float,
    ) -> None:
        self._target = f"{API}/watch?{urlencode({'prefix': prefix})}"
        self._kind = kind
        self._last_id = after
        self._retry = retry
        self._rng = rng
        self._patience_s = patience_s
        self.heard_at = now
        self._failures = 0
        self._keys: set[str] = set()
        self._restated: set[str] | None = None
        self._is_synced = False
        self._parser = Parser()
        self.is_over = False

    def request(self, headers: dict[str, str]) -> Request:
        """Begin, or go on where it was; `headers` are the client's."""
        self._parser = Parser()
        self.is_over = False
        if not self._last_id:
            self._restated, self._is_synced = set(), False
        place = {"last-event-id": self._last_id} if self._last_id else {}
        return Request("GET", self._target, {**headers, **place, "accept": "text/event-stream"})

    def feed(self, chunk: bytes, now: float) -> Iterator[Event[T] | InvalidValue]:
        """The events in a chunk, in the place of one whose value is not of the type that was asked for the error.

        Afterwards `is_over` says whether the stream has ended.

        Raises:
            StreamError: the stream is none.
        """
        self.heard_at, self._failures = now, 0
        for block in self._parser.feed(chunk):
            if self.is_over:
                return
            try:
                yield from self._events(block)
            except msgspec.DecodeError as error:
                raise StreamError(f"an event that no Concord sends: {error}") from error

    def wait_s(self, error: Exception | None, now: float) -> float:
        """How long to wait before the next connection, after an error or the end of a stream.

        Raises:
            ConcordError: it will not get better, or the patience has ended.
        """
        if isinstance(error, ConcordError) and not error.retryable:
            raise error
        if self._patience_s is not None and now - self.heard_at > self._patience_s:
            if isinstance(error, ConcordError):
                raise error
            raise Unavailable(f"no connection for {self._patience_s} s: {error}")
        self._failures += 1
        bound: float = min(self._retry.wait_s_max, self._retry.wait_s_first * 2.0 ** min(self._failures - 1, 20))
        asked_s = error.retry_after_s if isinstance(error, TooManyRequests | Unavailable) else 0.0
        return max(bound * self._rng.random(), asked_s)

    def _events(self, block: Block) -> Iterator[Event[T] | InvalidValue]:
        if block.id is not None:
            self._last_id = block.id
        if block.event in _KEYED:
            yield self._keyed(_KEYED[block.event], block)
        elif block.event == "synced":
            yield from self._missed()
            if not self._is_synced:  # a gateway says it of every connection
                self._is_synced = True
                yield Event("synced", id=block.id or "")
        elif block.event in {"goaway", "resync"}:
            self._last_id = "" if block.event == "resync" else self._last_id
            self.is_over = True

    def _keyed(self, kind: Kind, block: Block) -> Event[T] | InvalidValue:
        told = _data.decode(block.data)
        if kind in {"state", "put"}:
            self._keys.add(told.key)
            if self._restated is not None:
                self._restated.add(told.key)
            try:
                return Event(kind, told.key, told.decoded(self._kind), told.revision, block.id or "")
            except InvalidValue as error:
                return error.of(told.key, block.id or "")
        self._keys.discard(told.key)
        return Event(kind, told.key, None, told.revision, block.id or "")

    def _missed(self) -> Iterator[Event[T]]:
        """The keys that the state did not tell any more."""
        if self._restated is None:
            return
        gone = sorted(self._keys - self._restated)
        self._restated = None
        self._keys.difference_update(gone)
        for key in gone:
            yield Event("delete", key)


def told(event: Event[T] | InvalidValue) -> Event[T]:
    """What is next in a watch, for its reader.

    Raises:
        InvalidValue: it is that.
    """
    if isinstance(event, InvalidValue):
        raise event
    return event


def foreign(error: StreamError) -> ConcordError:
    """A stream that is none, as the user sees it."""
    return ServerFault(str(error), retryable=True)
