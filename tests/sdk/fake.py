"""A client whose network is a script, and whose clock moves only when it sleeps."""

import random
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias, TypeVar

import msgspec

from concord import Retry
from concord._calls import Call
from concord._core import Core, Heard, Send, Steps
from concord._endpoints import Endpoints
from concord._transports import Request, Response, TransportError

T = TypeVar("T")
Script: TypeAlias = Callable[[str, Request], Heard]

REFUSED = TransportError("refused", was_sent=False)
LOST = TransportError("the connection broke", was_sent=True)
SILENT = TransportError("nothing came", was_sent=True, timed_out=True)


def ok(data: object, **headers: str) -> Response:
    return Response(200, {k.replace("_", "-"): v for k, v in headers.items()}, msgspec.json.encode({"data": data}))


def refused(
    status: int,
    code: str,
    *,
    applied: object = False,
    retryable: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Response:
    error = {"code": code, "message": "so it is", "applied": applied, "retryable": retryable}
    return Response(status, headers or {}, msgspec.json.encode({"status": "error", "error": error}))


UNAVAILABLE = refused(503, "CLUSTER_UNAVAILABLE", retryable=True, headers={"retry-after": "1"})
UNKNOWN = refused(504, "TIMEOUT", applied="unknown", retryable=True)


class World:
    """Takes the steps of calls: `script` answers, `now` moves by sleeps and by what `costs_s` says of a request."""

    def __init__(self, *answers: Heard, urls: tuple[str, ...] = ("http://a",), retry: Retry | None = None) -> None:
        self.now = 100.0
        self.sent: list[Send] = []
        self.slept: list[float] = []
        self.costs_s = 0.0
        self._answers: Iterator[Heard] = iter(answers)
        rng = random.Random(7)
        self.core = Core(
            Endpoints(urls, rng),
            token="secret",  # noqa: S106 - of no one
            timeout_s=10.0,
            retry=retry or Retry(),
            clock=lambda: self.now,
            rng=rng,
        )

    def run(self, call: Call[T], timeout_s: float | None = None) -> T:
        return self.drive(self.core.steps(call, timeout_s))

    def drive(self, steps: Steps[T]) -> T:
        heard: Heard = None
        try:
            while True:
                step = steps.send(heard)
                if isinstance(step, Send):
                    self.sent.append(step)
                    self.now += self.costs_s
                    heard = next(self._answers)
                else:
                    self.slept.append(step.seconds)
                    self.now += step.seconds
                    heard = None
        except StopIteration as stop:
            result: T = stop.value
            return result

    def header(self, name: str) -> list[str]:
        return [send.request.headers.get(name, "") for send in self.sent]
