"""One watcher a group in the simulated world: at whatever node it asks, it must be told exactly what was changed.

What changed is what the first replica told when it applied an entry; another that tells something else for the same
entry breaks the promise at once. A watcher asks from where it stands, so changes that are missing, doubled or out of
order show in the very next answer.
"""

import random
from collections.abc import Callable, Sequence

from shard.machine import Change
from shard.machine.machine import Audience
from tests.simulation.history import History, Violation
from tests.simulation.world import World
from wire.errors import Failure
from wire.messages import WatchEvent, WatchReply, WatchRequest
from wire.rpc import Desk

WAIT_MS = 200
ATTEMPT_S = 1.0
LOST_ANSWERS = 0.03


class Told:
    """The changes of one group, by the index of their entry."""

    def __init__(self, group: int) -> None:
        self.group = group
        self.changes: dict[int, list[WatchEvent]] = {}

    def take(self, node: str, index: int, changes: list[WatchEvent]) -> None:
        known = self.changes.setdefault(index, changes)
        if known != changes:
            raise Violation(f"group {self.group}: {node} told {changes} of {index}, others {known}")

    def between(self, index: int, taken: int, reply: WatchReply) -> list[WatchEvent]:
        """What an answer to a question from a position ought to hold."""
        whole = [event for at in range(index + 1, reply.index + 1) for event in self.changes.get(at, [])]
        if reply.taken:
            following = min(at for at in self.changes if at > reply.index)
            whole += self.changes[following][: reply.taken]
        return whole[taken:]


class RecordingAudience:
    """Stands between a machine and its group service."""

    def __init__(self, audience: Audience) -> None:
        self._audience = audience
        self.last: list[WatchEvent] = []

    def changed(self, index: int, changes: list[Change]) -> None:
        self.last = [_event(index, change) for change in changes]
        self._audience.changed(index, changes)

    def restored(self) -> None:
        self._audience.restored()


class _Desk:
    """Gives an answer to its watcher, unless it is lost on the way."""

    def __init__(self, watcher: "Watcher", attempt: int) -> None:
        self._watcher, self._attempt = watcher, attempt

    def answer(self, _call: object, value: object) -> None:
        self._watcher.take(self._attempt, value)

    def refuse(self, _call: object, failure: Failure) -> None:
        self._watcher.take(self._attempt, failure)


class Watcher:
    """Follows one group at `nodes`. `send` hands a request to a node, which may be down."""

    def __init__(
        self,
        world: World,
        told: Told,
        history: History,
        nodes: Sequence[str],
        send: Callable[[str, WatchRequest, Desk], None],
    ) -> None:
        self._world = world
        self._told = told
        self._history = history
        self._nodes = nodes
        self._send = send
        self._rng = random.Random(told.group)  # of its own, so that it changes nothing in what befalls the others
        self._node = nodes[0]
        self._attempt = 0
        self._index = 0
        self._taken = 0

    def ask(self) -> None:
        """Ask once; whatever comes of it, ask again."""
        self._attempt += 1
        attempt = self._attempt
        self._world.after(ATTEMPT_S, lambda: self.take(attempt, None))
        request = WatchRequest(self._told.group, self._index, self._taken, WAIT_MS)
        self._send(self._node, request, _Desk(self, attempt))

    def take(self, attempt: int, answer: object) -> None:
        """An answer, or None for none."""
        if attempt != self._attempt or (answer is not None and self._rng.random() < LOST_ANSWERS):
            return
        self._attempt += 1
        if isinstance(answer, WatchReply):
            self._check(answer)
        elif isinstance(answer, Failure) and answer.leader:
            self._node = answer.leader
        else:
            self._node = self._rng.choice(self._nodes)
        self._world.after(self._rng.uniform(0.001, 0.05), self.ask)

    def check_final(self) -> None:
        """It has seen everything."""
        last = max((index for index, changes in self._told.changes.items() if changes), default=0)
        if self._index < last:
            raise Violation(f"group {self._told.group}: a watcher is stuck at {self._index} of {last}")

    def _check(self, reply: WatchReply) -> None:
        if reply.resync:
            self._history.outcomes["watchers told to resync"] += 1
        else:
            expected = self._told.between(self._index, self._taken, reply)
            if reply.events != expected:
                raise Violation(
                    f"group {self._told.group}: from {self._index}+{self._taken} a watcher was told {reply}, not {expected}"
                )
            self._history.outcomes["changes watched"] += len(reply.events)
        self._index, self._taken = reply.index, reply.taken


def _event(index: int, change: Change) -> WatchEvent:
    record = change.record
    if record is None:
        return WatchEvent(change.kind, change.key, index)
    return WatchEvent(change.kind, change.key, index, record.content_type, record.value)
