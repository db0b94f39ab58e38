"""A leader asks every replica of its group for the hash of the state at one index, until it knows enough."""

from collections.abc import Callable, Iterable

from shard.machine import Verdict
from shard.seams import ChecksumPace, Colleagues, Scheduler, Timer
from wire.messages import ChecksumReply, ChecksumRequest, HashState


class Survey:
    """Asks again and again, as nodes may be away or slow; ends when all have answered, or after a while without them."""

    def __init__(
        self,
        request: ChecksumRequest,
        members: Iterable[str],
        colleagues: Colleagues,
        scheduler: Scheduler,
        *,
        pace: ChecksumPace,
        done: Callable[[Verdict], None],
    ) -> None:
        """`done` is called once, unless the survey is closed before. The caller reports for its own node."""
        self.index = request.index
        self._request = request
        self._awaited = set(members)
        self._hashes: dict[str, int] = {}
        self._colleagues = colleagues
        self._scheduler = scheduler
        self._pace = pace
        self._done = done
        self._until_s = scheduler.time() + pace.gather_s
        self._timer: Timer | None = scheduler.call_later(pace.ask_interval_s, self._ask)

    def report(self, node: str, found: int | None) -> None:
        """Take a member's hash, None when it will never have one."""
        if node not in self._awaited or self._timer is None:
            return
        self._awaited.discard(node)
        if found is not None:
            self._hashes[node] = found
        if not self._awaited:
            self._end()

    def close(self) -> None:
        """Nobody wants to know any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ask(self) -> None:
        if self._timer is None:
            return
        if self._scheduler.time() >= self._until_s:
            self._end()
            return
        self._timer = self._scheduler.call_later(self._pace.ask_interval_s, self._ask)
        for node in sorted(self._awaited):
            if node != self._colleagues.node:
                self._ask_one(node)

    def _ask_one(self, node: str) -> None:
        def take(reply: ChecksumReply) -> None:
            if reply.state != HashState.PENDING:
                self.report(node, reply.hash if reply.state == HashState.KNOWN else None)

        self._colleagues.ask(node, self._request, take)

    def _end(self) -> None:
        self.close()
        self._done(Verdict(self.index, sorted(self._hashes.items())))
