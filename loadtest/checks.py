"""Whether a measured system does what is compared: keeps what it acknowledged, and reads linearizably.

A read that needs no quorum is cheaper and is not linearizable. So besides reading through one process what was written
through another, the nodes that a majority needs are paused: from the moment a lease may have lasted, nothing may be read.
"""

import random
import time
from collections.abc import Sequence

from loadtest.children import paused, wait_until
from loadtest.client import HttpClient
from loadtest.dialects import Item
from loadtest.errors import LoadtestError
from loadtest.systems import System
from loadtest.workloads import in_batches, value

WRITES_THEN_READS = 50
SAMPLE = 200
LEASE_S_MAX = 5.0
REFUSALS = 3
READ_TIMEOUT_S = 1.5
RECOVERY_S = 30.0


def load(system: System, items: Sequence[Item], batch: int) -> None:
    """Put every key, many with a request.

    Raises:
        LoadtestError: a request was not a full success.
    """
    client = HttpClient(system.address)
    for part in in_batches(items, batch):
        answer = client.send(system.dialect.bulk(part))
        if answer.status != 200:
            raise LoadtestError(f"{system.name} refused a bulk: {answer.status} {answer.body[:300].decode()}")
    client.close()
    check_stored(system, items)


def check_stored(system: System, items: Sequence[Item]) -> None:
    """Read a sample of keys, the first and the last among them.

    Raises:
        LoadtestError: one is missing or has another value.
    """
    client = HttpClient(system.address)
    for key, text in {items[0], items[-1], *random.Random(len(items)).sample(items, min(SAMPLE, len(items)))}:
        answer = client.send(system.dialect.get(key))
        if answer.status != 200 or system.dialect.value(answer.body) != text:
            raise LoadtestError(
                f"{system.name} has not what was put: {key}: {answer.status} {answer.body[:300].decode()}"
            )
    client.close()


def check_reads_see_writes(system: System, rng: random.Random) -> None:
    """Write through one process and read at once through another.

    Raises:
        LoadtestError: a read missed the write before it.
    """
    writer, reader = HttpClient(system.address), HttpClient(system.other_address)
    for number in range(WRITES_THEN_READS):
        key, text = f"check/{number % 5}", value(rng)
        if writer.send(system.dialect.put(key, text)).status != 200:
            raise LoadtestError(f"{system.name} refused a put")
        if system.dialect.value(reader.send(system.dialect.get(key)).body) != text:
            raise LoadtestError(f"{system.name} served a stale read: it is not linearizable")
    writer.close()
    reader.close()


def check_reads_need_a_quorum(system: System, key: str) -> None:
    """Pause every node but the leader of the key's group: its reads must end, and come back with the others.

    Raises:
        LoadtestError: the lone leader went on serving reads, or reads did not come back.
    """
    leader = system.leader_of(key)
    with paused(pid for name, pid in system.node_pids().items() if name != leader):
        deadline = time.monotonic() + LEASE_S_MAX
        while _serves(system, key):
            if time.monotonic() > deadline:
                raise LoadtestError(f"{system.name} serves reads without a quorum: they are not linearizable")
        if any(_serves(system, key) for _ in range(REFUSALS)):
            raise LoadtestError(f"{system.name} served a read without a quorum: it is not linearizable")
    wait_until(lambda: _serves(system, key), f"{system.name} serves reads again", RECOVERY_S)


def _serves(system: System, key: str) -> bool:
    client = HttpClient(system.address, READ_TIMEOUT_S)
    try:
        return client.send(system.dialect.get(key)).status == 200
    except OSError:
        return False
    finally:
        client.close()
