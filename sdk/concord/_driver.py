"""Does what the core only describes, in threads; `_async_driver` does it in an event loop."""

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TypeVar

from concord._calls import Call
from concord._core import Core, Plan, Send, Sleep, Steps
from concord._endpoints import Endpoints
from concord._errors import ConcordError
from concord._retry import Retry
from concord._spans import Tracing
from concord._transports import Response, Transport, TransportError

T = TypeVar("T")


def make_core(endpoints: str | Sequence[str], *, token: str, timeout_s: float, retry: Retry | None) -> Core:
    """The core of a client, with the clock and the chance of this machine; see `Concord` for the arguments.

    Raises:
        ValueError: an argument is wrong.
    """
    rng = random.Random()  # noqa: S311 - for jitter
    urls = [endpoints] if isinstance(endpoints, str) else endpoints
    return Core(
        Endpoints(urls, rng), token=token, timeout_s=timeout_s, retry=retry or Retry(), clock=time.monotonic, rng=rng
    )


class Runner(ABC):
    """Does calls, in the thread that asks. What is made of calls (locks, sessions, …) needs no more.

    Args:
        timeout_s: of a call that names none.
        clock: monotonic, in seconds.
    """

    def __init__(self, timeout_s: float, clock: Callable[[], float]) -> None:
        self.timeout_s = timeout_s
        self.clock = clock

    @abstractmethod
    def run(self, call: Call[T], timeout: float | None = None) -> T:
        """Do a call."""

    def follow(self, plan: Plan[T], timeout: float | None = None) -> T:
        """Do the calls of a plan."""
        try:
            step = next(plan)
            while True:
                if isinstance(step, Sleep):
                    time.sleep(step.seconds)
                    step = plan.send(None)
                    continue
                try:
                    result = self.run(step, timeout)
                except ConcordError as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(result)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return] # what the generator returns


class Driver(Runner):
    """Does the steps of calls over a transport."""

    def __init__(self, core: Core, transport: Transport, tracing: Tracing | None = None) -> None:
        super().__init__(core.timeout_s, core.clock)
        self.core = core
        self.transport = transport
        self.tracing = tracing

    def run(self, call: Call[T], timeout: float | None = None) -> T:
        """Do a call."""
        steps = self.core.steps(call, timeout)
        if self.tracing is None:
            return self._drive(steps)
        with closing(self.tracing.traced(call, steps)) as traced:
            return self._drive(traced)

    def _drive(self, steps: Steps[T]) -> T:
        heard: Response | TransportError | None = None
        try:
            while True:
                step = steps.send(heard)
                heard = self._do(step)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return] # what the generator returns

    def _do(self, step: Send | Sleep) -> Response | TransportError | None:
        if isinstance(step, Sleep):
            time.sleep(step.seconds)
            return None
        try:
            return self.transport.send(step.url, step.request, step.timeout_s)
        except TransportError as error:
            return error
