"""Feature flags: a local copy of all keys with a prefix, kept fresh by a watch. Reads ask nobody."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar, overload

import msgspec

from concord._errors import ConcordError, InvalidValue, Timeout
from concord._watch import Watch
from concord._watching import Event

T = TypeVar("T")
D = TypeVar("D")

END_S_MAX = 1.0
"""That the end waits for the thread. While it connects to a gateway that says nothing it cannot be interrupted; it then ends by
itself, and changes nothing any more."""
_log = logging.getLogger("concord")


class FlagCache:
    """What is known of the flags. Reads are dictionary look-ups; one thread applies events.

    Args:
        prefix: of the keys; names of flags come without it.
        age_s: seconds since the watch last heard from a gateway.
    """

    def __init__(self, prefix: str, age_s: Callable[[], float]) -> None:
        self._prefix = prefix
        self._age_s = age_s
        self._values: dict[str, Any] = {}
        self._error: ConcordError | None = None

    @overload
    def get(self, name: str, default: None = ..., *, type: type[T]) -> T | None: ...
    @overload
    def get(self, name: str, default: D, *, type: type[T]) -> T | D: ...
    @overload
    def get(self, name: str, default: None = ..., *, type: object = ...) -> Any: ...
    @overload
    def get(self, name: str, default: D, *, type: None = ...) -> D: ...
    @overload
    def get(self, name: str, default: object, *, type: object) -> Any: ...
    def get(self, name: str, default: Any = None, *, type: Any = None) -> Any:
        """The value of the flag `name` as it was last told, `default` if there is none; raises InvalidValue if not of `type`."""
        value = self._values.get(name, default)
        if type is None or value is default:
            return value
        try:
            return msgspec.convert(value, type)
        except msgspec.ValidationError as error:
            raise InvalidValue(f"flag {name}: {error}") from error

    @property
    def age_s(self) -> float:
        """Seconds since a gateway was last heard, normally under 10.

        What changed since then is not known, nor what that gateway could not hear itself: it goes on saying that it is there
        while it waits for a group.
        """
        return self._age_s()

    @property
    def error(self) -> ConcordError | None:
        """Why the copy is not kept fresh any more, None while it is."""
        return self._error

    def apply(self, event: Event[Any]) -> None:
        """An event happened."""
        name = event.key.removeprefix(self._prefix)
        if event.kind in {"state", "put"}:
            self._values[name] = event.value
        elif event.kind != "synced":
            self._values.pop(name, None)

    def failed(self, error: ConcordError) -> None:
        """The watch has ended."""
        self._error = error
        _log.error("the flags %s* are not kept fresh any more: %s", self._prefix, error)


class Flags(FlagCache):
    """Flags within a `with`, kept fresh by a thread. Entering waits for the first whole state."""

    def __init__(self, watch: Watch[Any], prefix: str, timeout_s: float) -> None:
        super().__init__(prefix, watch.age_s)
        self._watch = watch
        self._timeout_s = timeout_s
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="concord-flags", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(self._timeout_s):
            self._watch.close()
            raise Timeout(f"the flags were not there within {self._timeout_s} s")
        if self._error is not None:
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Keep them fresh no more."""
        self._watch.close()
        self._thread.join(END_S_MAX)

    def _run(self) -> None:
        try:
            for event in self._watch:
                self.apply(event)
                if event.kind == "synced":
                    self._ready.set()
        except ConcordError as error:
            self.failed(error)
            self._ready.set()
