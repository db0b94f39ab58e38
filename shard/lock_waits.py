"""Who waits at a leader for a lock to be handed on. Only here to tell them at once: the queue itself is in the machine."""

from collections.abc import Callable
from typing import TypeAlias

from shard import failures
from shard.machine import Machine
from shard.seams import GroupFigures
from shard.waiters import Place, Waiters
from wire.errors import Failure
from wire.messages import AwaitLockRequest, Status, WriteReply
from wire.rpc import Call

AwaitLockCall: TypeAlias = Call[AwaitLockRequest, WriteReply]


class LockWaits:
    """The calls that wait at one replica, at most `limit`. What they are told was decided by an entry that was applied.

    `map_epoch` tells the newest map's epoch, for callers that ask the wrong group.
    """

    def __init__(self, machine: Machine, limit: int, map_epoch: Callable[[], int], figures: GroupFigures) -> None:
        self._machine = machine
        self._limit = limit
        self._map_epoch = map_epoch
        self._figures = figures
        self._waiting: Waiters[tuple[float, AwaitLockCall]] = Waiters()
        machine.on_granted(self._granted)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, call: AwaitLockCall, now_s: float, retry_after_ms: int) -> None:
        """Answer now if there is something to say, else later. One call of each request waits, the newest."""
        asked = call.request
        place = Place(asked.name, asked.owner, asked.request)
        waiting = self._waiting.pop(place)
        if waiting is not None:
            self._answer(waiting[1])
        if self._machine.lock(asked.name, asked.owner, asked.request).status is not Status.QUEUED:
            self._answer(call)
        elif len(self._waiting) >= self._limit:
            self._fail(call, failures.overloaded(retry_after_ms))
        else:
            self._waiting.add(place, (min(now_s + asked.wait_ms / 1000, call.deadline), call))

    def sweep(self, now_s: float) -> None:
        """Tell those whose time is up how it stands."""
        for place, (until_s, call) in self._waiting.every():
            if until_s <= now_s:
                self._waiting.pop(place)
                self._answer(call)

    def fail_all(self, failure: Failure) -> None:
        """Nobody can be told here any more."""
        waiting, self._waiting = self._waiting, Waiters()
        for _, (_, call) in waiting.every():
            self._fail(call, failure)

    def _granted(self, name: str, owner: str) -> None:
        for place, (_, call) in self._waiting.of_owner(name, owner):
            self._waiting.pop(place)
            self._answer(call)

    def _answer(self, call: AwaitLockCall) -> None:
        asked = call.request
        result = self._machine.lock(asked.name, asked.owner, asked.request)
        if result.status is Status.WRONG_GROUP:
            self._fail(call, failures.wrong_group(self._map_epoch()))
        else:
            call.reply(WriteReply([result], result.revision))

    def _fail(self, call: AwaitLockCall, failure: Failure) -> None:
        self._figures.count_failure(failure)
        call.fail(failure)
