"""The ids under which this gateway process writes, so that a retry is applied once.

Invariant: `floor` never passes a sequence that is still under way, and it passes every other; so a group remembers no
more of this session than what is in flight, and a copy that a network delivers late is recognised as answered.
"""

from wire.messages import OperationId


class OperationIds:
    """Counts one session's writes, group by group."""

    def __init__(self, session: int) -> None:
        self._session = session
        self._requests = 0
        self._last: dict[int, int] = {}
        self._outstanding: dict[int, dict[int, None]] = {}  # insertion order is the order of sequences

    def begin(self, group: int) -> OperationId:
        """The id of a new write to a group; `end` must follow."""
        sequence = self._last.get(group, 0) + 1
        self._last[group] = sequence
        outstanding = self._outstanding.setdefault(group, {})
        outstanding[sequence] = None
        return OperationId(session=self._session, sequence=sequence, floor=next(iter(outstanding)))

    def name_request(self) -> str:
        """A name for a client's request that more than one write is about."""
        self._requests += 1
        return f"{self._session:x}-{self._requests}"

    def end(self, group: int, operation: OperationId) -> None:
        """The write has its final answer: it will not be retried any more."""
        del self._outstanding[group][operation.sequence]
