"""Parts of tasks that end when their time is up, with one timer for all of them: `asyncio.timeout` for what is done very often."""

import asyncio
import math
from types import TracebackType
from typing import Self

from process.sweep import Sweep

INTERVAL_S = 0.05


class Patience:
    """Those parts of tasks that are under way."""

    def __init__(self) -> None:
        self._waits: dict[Wait, None] = {}
        self._sweep = Sweep(INTERVAL_S, self._expire)

    def until(self, due: float) -> "Wait":
        """A part of the running task that may last until `due`, on the loop's clock; enter it at once."""
        return Wait(self, due)

    def _enter(self, wait: "Wait") -> None:
        self._waits[wait] = None
        self._sweep.watch(wait.due)

    def _leave(self, wait: "Wait") -> None:
        self._waits.pop(wait, None)

    def _expire(self, now: float) -> float:
        for wait in [wait for wait in self._waits if wait.due <= now]:
            del self._waits[wait]
            wait._expire()  # noqa: SLF001 - two halves of one thing
        return min((wait.due for wait in self._waits), default=math.inf)


class Wait:
    """One such part: a context that ends with TimeoutError up to `INTERVAL_S` after its time is up.

    A cancellation from elsewhere goes through it as it came.

    Attributes:
        due: when its time is up; may be moved to later.
    """

    __slots__ = ("_cancellations", "_expired", "_patience", "_task", "due")

    def __init__(self, patience: Patience, due: float) -> None:
        self.due = due
        self._patience = patience
        self._expired = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can be ended")
        self._task = task
        self._cancellations = task.cancelling()
        self._patience._enter(self)  # noqa: SLF001 - two halves of one thing
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._patience._leave(self)  # noqa: SLF001 - two halves of one thing
        if self._expired and self._task.uncancel() <= self._cancellations and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()
