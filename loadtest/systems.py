"""What the benchmark needs of a system that it measures."""

from collections.abc import Mapping
from typing import Protocol

from loadtest.dialects import Dialect


class System(Protocol):
    """A cluster of server processes on this machine, with a data directory of its own."""

    @property
    def name(self) -> str:
        """For tables."""

    @property
    def dialect(self) -> Dialect:
        """How it is spoken to."""

    @property
    def setup(self) -> str:
        """Version, size, and what an answer to a write means: one sentence for the report."""

    @property
    def address(self) -> str:
        """`host:port` that takes requests."""

    @property
    def other_address(self) -> str:
        """Another one that does, on another process if there is one."""

    def start(self) -> None:
        """Start it and wait until it takes requests and its leaders have settled."""

    def server_pids(self) -> list[int]:
        """Every process that serves; its CPU time is what an operation costs."""

    def node_pids(self) -> Mapping[str, int]:
        """The processes that hold replicas, by name."""

    def leaders(self) -> Mapping[str, str] | None:
        """Group → name of the node that leads it; None while one has no leader."""

    def leader_of(self, key: str) -> str:
        """Name of the node that leads the group of a key."""

    def close(self) -> None:
        """End every process that was started."""
