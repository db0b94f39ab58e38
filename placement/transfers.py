"""Leadership transfers that were asked for and have not happened yet.

A transfer is advice: the leader's node gets it in the answers to its heartbeats until the group has another leader or the
advice expires. Times are seconds of the caller's clock.
"""

from collections.abc import Mapping

import msgspec

from placement.planner import Leadership, TransferLeader
from wire.messages import Transfer


class _Asked(msgspec.Struct, frozen=True):
    step: TransferLeader
    until: float


class Transfers:
    """What is under way, at most one transfer for each group.

    Args:
        expire_s: how long an advice stands.
    """

    def __init__(self, expire_s: float) -> None:
        self._expire_s = expire_s
        self._asked: dict[int, _Asked] = {}

    def clear(self) -> None:
        """Forget all advice."""
        self._asked.clear()

    def ask(self, step: TransferLeader, now: float) -> None:
        """Advise from now on."""
        self._asked[step.group] = _Asked(step, now + self._expire_s)

    def targets(self) -> dict[int, str]:
        """Group id → node id that is to take over."""
        return {group: asked.step.target for group, asked in self._asked.items()}

    def advice_for(self, node: str) -> list[Transfer]:
        """What a node should hand over."""
        return [Transfer(group, a.step.target) for group, a in self._asked.items() if a.step.source == node]

    def settle(self, leaders: Mapping[int, Leadership], now: float) -> list[int]:
        """Drop what has happened, is out of date or expired; returns the groups whose advice expired."""
        expired = []
        for group, asked in list(self._asked.items()):
            leader = leaders.get(group)
            if leader is None or leader.node != asked.step.source:
                del self._asked[group]
            elif now >= asked.until:
                del self._asked[group]
                expired.append(group)
        return expired
