"""What a node takes of the process that it is in: one of its own, or somebody's program that goes on without it."""

from collections.abc import Callable

import msgspec

from placement import ServiceSettings
from process.descriptors import raise_limit
from raft import RaftConfig, exit_process
from raft.disk import Fatal
from wire.messages import Founding


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """The defaults are those of a process that does nothing else.

    Attributes:
        fatal: ends the node where it stands; must not return.
        descriptors: how many file descriptors this process may open.
        raft: times and sizes of the groups instead of those of the settings.
        placement: times of placement.
        founding: what its cluster begins with, for those who ask; None when it was not told of all nodes.
    """

    fatal: Fatal = exit_process
    descriptors: Callable[[], int] = raise_limit
    raft: RaftConfig | None = None
    placement: ServiceSettings = ServiceSettings()
    founding: Founding | None = None


OWN_PROCESS = Surroundings()
