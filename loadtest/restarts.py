"""Killing a node and seeing how long it is until it has caught up."""

import os
import signal

import msgspec

from loadtest.children import wait_until
from loadtest.concord_cluster import ConcordCluster
from loadtest.node_status import Indexes, ask, has_applied

CATCH_UP_S = 180.0


class Restarted(msgspec.Struct, frozen=True):
    """Seconds from the kill until the node answered, and until it had applied all that was committed at the kill."""

    name: str
    answers_s: float
    caught_up_s: float


def restart_a_node(cluster: ConcordCluster, wanted: Indexes) -> Restarted:
    """SIGKILL the first node; the supervisor starts it again 0.1 s later.

    Raises:
        LoadtestError: it has not caught up after three minutes.
    """
    name, pid = next(iter(cluster.node_pids().items()))
    address = cluster.node_addresses()[name]
    os.kill(pid, signal.SIGKILL)
    started = wait_until(lambda: cluster.node_pids().get(name, pid) != pid, f"{name} is started again", CATCH_UP_S)
    answers = wait_until(lambda: ask(address) is not None, f"{name} answers", CATCH_UP_S)
    caught_up = wait_until(lambda: has_applied(ask(address), wanted), f"{name} has caught up", CATCH_UP_S)
    return Restarted(name, started + answers, started + answers + caught_up)
