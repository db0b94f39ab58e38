"""What the placement leader hears from nodes: who is alive, and who leads which group.

It lives in the leader's memory only and starts empty with each term of leadership. Times are seconds of the caller's
clock; ages are given out in milliseconds. Invariant: a group has at most one leader, the one with the highest term among
those that said so and are alive.
"""

from collections.abc import Iterable

import msgspec

from placement.planner import Leadership
from wire.messages import GroupBeat


class _Life(msgspec.Struct):
    since: float
    heard: float


class _Claim(msgspec.Struct):
    node: str
    term: int
    since: float


class Roster:
    """Who is alive and who leads.

    Args:
        down_after_s: a node that was not heard for longer is down.
    """

    def __init__(self, down_after_s: float) -> None:
        self._down_after_s = down_after_s
        self._lives: dict[str, _Life] = {}
        self._claims: dict[int, _Claim] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._lives.clear()
        self._claims.clear()

    def joined(self, node: str, now: float) -> None:
        """A node's process has started: it is alive from now on and leads nothing."""
        self._lives[node] = _Life(now, now)
        self._drop_claims(node, set())

    def heard(self, node: str, beats: Iterable[GroupBeat], now: float) -> None:
        """A node is alive and says what its replicas are doing."""
        if not self._is_alive(node, now):
            self._lives[node] = _Life(now, now)
        self._lives[node].heard = now
        leading = {beat.group: beat.term for beat in beats if beat.leading}
        self._drop_claims(node, leading.keys())
        for group, term in leading.items():
            self._claim(group, node, term, now)

    def alive(self, now: float) -> dict[str, int]:
        """For how long each node that is not down has been alive, in ms."""
        return {name: _ms(now - life.since) for name, life in self._lives.items() if self._is_alive(name, now)}

    def leaders(self, now: float) -> dict[int, Leadership]:
        """The leader of each group that has a living one."""
        return {
            group: Leadership(claim.node, _ms(now - claim.since))
            for group, claim in self._claims.items()
            if self._is_alive(claim.node, now)
        }

    def touch(self, group: int, now: float) -> None:
        """Let the group's leadership count as new, so that it is left in peace for a while."""
        if group in self._claims:
            self._claims[group].since = now

    def _is_alive(self, node: str, now: float) -> bool:
        life = self._lives.get(node)
        return life is not None and now - life.heard <= self._down_after_s

    def _drop_claims(self, node: str, keep: Iterable[int]) -> None:
        kept = set(keep)
        self._claims = {group: claim for group, claim in self._claims.items() if claim.node != node or group in kept}

    def _claim(self, group: int, node: str, term: int, now: float) -> None:
        present = self._claims.get(group)
        if present is None or (present.node != node and term > present.term):
            self._claims[group] = _Claim(node, term, now)
        elif present.node == node:
            present.term = term


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
