"""Feature flags in memory, for asyncio."""

import asyncio
import contextlib
from types import TracebackType
from typing import Any, Self

from concord._async_watch import AsyncWatch
from concord._errors import ConcordError, Timeout
from concord._flags import FlagCache


class AsyncFlags(FlagCache):
    """Flags within an `async with`, kept fresh by a task. Entering waits for the first whole state."""

    def __init__(self, watch: AsyncWatch[Any], prefix: str, timeout_s: float) -> None:
        super().__init__(prefix, watch.age_s)
        self._watch = watch
        self._timeout_s = timeout_s
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._ready.wait()
        except TimeoutError:
            await self.close()
            raise Timeout(f"the flags were not there within {self._timeout_s} s") from None
        if self._error is not None:
            raise self._error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Keep them fresh no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        try:
            async for event in self._watch:
                self.apply(event)
                if event.kind == "synced":
                    self._ready.set()
        except ConcordError as error:
            self.failed(error)
            self._ready.set()
