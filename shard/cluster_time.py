"""Cluster time as a leader tells it.

A leader counts on from the machine's time at the moment its leadership became effective, by its monotonic clock. So
time never runs back, wall clocks do not matter, and the time without a leader does not count: keys live longer by it,
never shorter.
"""

from collections.abc import Callable

from shard.machine import Machine


class ClusterClock:
    """Means something only while this replica leads."""

    def __init__(self, machine: Machine, clock: Callable[[], float]) -> None:
        self._machine = machine
        self._clock = clock
        self._base_ms = 0
        self._origin_s = 0.0

    def start(self) -> None:
        """Leadership is effective: every earlier entry is applied."""
        self._base_ms = self._machine.now_ms
        self._origin_s = self._clock()

    def now_ms(self) -> int:
        """Present cluster time, never less than that of an applied entry."""
        return max(self._machine.now_ms, self._base_ms + int((self._clock() - self._origin_s) * 1000))
