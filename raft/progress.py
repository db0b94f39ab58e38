"""What a leader knows of one follower's log, and how much it may send (pure).

As in etcd's tracker: while *probing*, one message at a time until the point of agreement is found; after that entries
are pipelined up to a limit of bytes that are not acknowledged.
"""

from collections import deque


class Shipment:
    """A snapshot on its way to a follower, one piece at a time.

    A piece is followed by the next when its answer comes, so there must never be two of them under way, whatever is
    duplicated or late. Only an answer that reports more than the last piece began with counts; a heartbeat that finds
    nothing moved since the one before sends again what the follower last said it wants.
    """

    def __init__(self, index: int, size: int) -> None:
        self.index = index
        self.size = size
        self._began_at = 0  # offset of the last piece sent
        self._wanted = 0  # what the follower reported last
        self._wanted_before = -1  # the same at the heartbeat before

    def reported(self, offset: int) -> int | None:
        """The follower has `offset` bytes: where the piece to send now begins, if any."""
        self._wanted = offset
        if not self._began_at < offset < self.size:
            return None
        self._began_at = offset
        return offset

    def heartbeat(self) -> int | None:
        """Where the piece to send again begins, None when something has moved or all is there."""
        stuck = self._wanted == self._wanted_before and self._wanted < self.size
        self._wanted_before = self._wanted
        if stuck:
            self._began_at = self._wanted
        return self._wanted if stuck else None

    @property
    def offset(self) -> int:
        """What the follower has, as far as is known."""
        return self._wanted


class Progress:
    """One follower, in one term of leadership."""

    def __init__(self, last_index: int, inflight_bytes: int) -> None:
        self.next_index = last_index + 1
        self.match_index = 0
        self.probing = True
        self.shipment: Shipment | None = None  # of a snapshot, while it needs one
        self._probe_sent = False
        self._limit_bytes = inflight_bytes
        self._inflight: deque[tuple[int, int]] = deque()  # (last index, bytes) of each message
        self._inflight_bytes = 0

    @property
    def may_send(self) -> bool:
        """Whether entries may be sent now."""
        return not self._probe_sent if self.probing else self._inflight_bytes < self._limit_bytes

    def is_level(self, last_index: int) -> bool:
        """Whether the follower is known to have everything up to `last_index`, the end of the log, and to be where it was."""
        return self.match_index == last_index and not self.probing and self.shipment is None

    def sent(self, last_index: int, size: int) -> None:
        """Entries up to `last_index` were sent. A probe does not move on before it is answered."""
        if self.probing:
            self._probe_sent = True
            return
        self.next_index = last_index + 1
        self._inflight.append((last_index, size))
        self._inflight_bytes += size

    def matched(self, index: int) -> None:
        """The follower's log agrees with ours, durably, up to `index`."""
        self.match_index = max(self.match_index, index)
        self.next_index = max(self.next_index, self.match_index + 1)
        self.probing = False
        while self._inflight and self._inflight[0][0] <= index:
            self._inflight_bytes -= self._inflight.popleft()[1]

    def mismatched(self, prev_index: int, hint: int) -> bool:
        """The follower refused at `prev_index` and proposes `hint`. False: nothing to send before the next heartbeat.

        Either it is an old answer, overtaken by a newer, or it comes from a follower that lost what it had promised.
        """
        overtaken = self.probing and prev_index != self.next_index - 1
        if overtaken or prev_index <= self.match_index:
            return False
        self.restart(max(self.match_index + 1, min(hint, prev_index)))
        return True

    def restart(self, next_index: int | None = None) -> None:
        """Probe again from `next_index`, by default from the end of what surely matches."""
        self.next_index = self.match_index + 1 if next_index is None else next_index
        self.probing = True
        self._probe_sent = False
        self._inflight.clear()
        self._inflight_bytes = 0

    def probe_again(self) -> None:
        """A heartbeat is due: a probe without an answer counts as lost."""
        self._probe_sent = False
