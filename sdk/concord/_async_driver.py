"""Does what the core only describes, in an event loop."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

from concord._calls import Call
from concord._core import Core, Plan, Send, Sleep, Steps
from concord._errors import ConcordError
from concord._spans import Tracing
from concord._transports import AsyncTransport, Response, TransportError

T = TypeVar("T")


class AsyncRunner(ABC):
    """The same as `concord._driver.Runner`, for asyncio."""

    def __init__(self, timeout_s: float, clock: Callable[[], float]) -> None:
        self.timeout_s = timeout_s
        self.clock = clock

    @abstractmethod
    async def run(self, call: Call[T], timeout: float | None = None) -> T:
        """Do a call."""

    async def follow(self, plan: Plan[T], timeout: float | None = None) -> T:
        """Do the calls of a plan."""
        try:
            step = next(plan)
            while True:
                if isinstance(step, Sleep):
                    await asyncio.sleep(step.seconds)
                    step = plan.send(None)
                    continue
                try:
                    result = await self.run(step, timeout)
                except ConcordError as error:
                    step = plan.throw(error)
                else:
                    step = plan.send(result)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return] # what the generator returns


class AsyncDriver(AsyncRunner):
    """Does the steps of calls over a transport."""

    def __init__(self, core: Core, transport: AsyncTransport, tracing: Tracing | None = None) -> None:
        super().__init__(core.timeout_s, core.clock)
        self.core = core
        self.transport = transport
        self.tracing = tracing

    async def run(self, call: Call[T], timeout: float | None = None) -> T:
        """Do a call."""
        steps = self.core.steps(call, timeout)
        if self.tracing is None:
            return await self._drive(steps)
        with closing(self.tracing.traced(call, steps)) as traced:
            return await self._drive(traced)

    async def _drive(self, steps: Steps[T]) -> T:
        heard: Response | TransportError | None = None
        try:
            while True:
                step = steps.send(heard)
                heard = await self._do(step)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return] # what the generator returns

    async def _do(self, step: Send | Sleep) -> Response | TransportError | None:
        if isinstance(step, Sleep):
            await asyncio.sleep(step.seconds)
            return None
        try:
            return await self.transport.send(step.url, step.request, step.timeout_s)
        except TransportError as error:
            return error
