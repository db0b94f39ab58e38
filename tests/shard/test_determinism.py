"""Replicas that apply the same commands are equal, in whatever process."""

import os
import random
import subprocess
import sys
from pathlib import Path

from shard.machine import Entry
from tests.shard.build import Log, copy_by_snapshot
from wire.messages import (
    AcquireLock,
    Algorithm,
    Comparison,
    Condition,
    Delete,
    Fetch,
    Increment,
    IncrementItem,
    LeaveQueue,
    Operation,
    OperationId,
    Put,
    PutItem,
    ReleaseLock,
    RenewLock,
    Status,
    TakeQuota,
    Touch,
    TouchItem,
    Transaction,
)

ROOT = Path(__file__).parents[2]


def history(seed: int, entries: int = 250) -> Log:
    """A log of everything that a group can do, with times that jump."""
    chance = random.Random(seed)
    log = Log()
    time_ms = 0
    for sequence in range(entries):
        time_ms += chance.choice([0, 5, 700, 90_000])
        operations: list[tuple[OperationId, Operation]] = []
        for offset in range(chance.randrange(6)):
            number = sequence * 10 + offset - chance.choice([0, 0, 0, 13, 200])
            key = chance.choice(["", "", f"{chance.randrange(40)}"])
            identity = OperationId(
                chance.randrange(4), max(number, 0), max(min(number, sequence * 10 - 50), 0), key, b"d"
            )
            operations.append((identity, chance.choice([on_keys, on_a_slot])(chance, log.index)))
        log.append(Entry(time_ms, operations))
    return log


def on_keys(chance: random.Random, index: int) -> Operation:
    keys = [f"{{{chance.randrange(30)}}}/{chance.randrange(200)}" for _ in range(chance.randrange(1, 40))]
    ttl_ms = chance.choice([0, 1, 1_000, 60_000])
    fence = Condition(fence=index - chance.randrange(3))
    condition = chance.choice([None, Condition(exists=True), Condition(value=b"7"), fence])
    choices: list[Operation] = [
        Put([PutItem(key, key.encode(), "", ttl_ms, condition) for key in keys]),
        Delete(keys, [condition] * len(keys)),
        Touch([TouchItem(key, max(ttl_ms, 1), condition) for key in keys]),
        Increment([IncrementItem(key[:6], 5, 2, ttl_ms, condition=condition) for key in keys]),
    ]
    return chance.choice(choices)


def on_a_slot(chance: random.Random, index: int) -> Operation:
    name, owner = f"{{{chance.randrange(5)}}}", chance.choice("abc")
    fence, ttl_ms = index - chance.randrange(4), chance.choice([1, 1_000, 60_000])
    choices: list[Operation] = [
        Transaction(
            [Comparison(name, exists=chance.random() < 0.5)],
            [Put([PutItem(name, b"7", "", ttl_ms)]), Fetch([name])],
            [
                Increment([IncrementItem(name)]),
                Delete([f"{name}/7"]),
                Touch([TouchItem(chance.choice([name, f"{name}/gone"]), ttl_ms)]),
            ],
        ),
        TakeQuota(name, 3, 600_000, chance.randrange(1, 4), chance.choice([*Algorithm])),
        AcquireLock(name, owner, ttl_ms, chance.choice([0, 5_000])),
        AcquireLock(name, owner, ttl_ms, chance.choice([5_000, 30_000]), chance.choice(["p", "q"])),
        RenewLock(name, owner, fence, ttl_ms),
        ReleaseLock(name, owner, fence),
        LeaveQueue(name, owner, chance.choice(["", "p", "q"]), gives_back=chance.random() < 0.5),
    ]
    return chance.choice(choices)


def test_the_histories_hold_every_kind_of_answer() -> None:
    log = history(11)
    found: set[Status] = set()
    again = Log(own=False)
    for command in log.commands:
        found.update(result.status for reply in again.append_command(command) for result in reply.results)
    unseen = {*Status} - found
    assert unseen <= {Status.WRONG_GROUP, Status.TOO_LARGE, Status.QUEUE_FULL, Status.OUT_OF_RANGE, Status.REUSED_KEY}


def test_two_machines_that_apply_the_same_commands_are_equal() -> None:
    for seed in range(3):
        one, other = history(seed), history(seed)
        assert one.commands == other.commands
        assert one.machine.checksum() == other.machine.checksum()
        assert list(one.machine.snapshot()) == list(other.machine.snapshot())


def test_a_replica_that_came_from_a_snapshot_at_any_point_is_equal() -> None:
    log = history(11)
    for point in (1, 50, 249):
        original = Log(own=False)
        for command in log.commands[:point]:
            original.append_command(command)
        restored = Log(copy_by_snapshot(original.machine), own=False)
        restored.index = point
        for command in log.commands[point:]:
            assert original.append_command(command) == restored.append_command(command)
            assert original.machine.keys == restored.machine.keys
        assert restored.machine.checksum() == log.machine.checksum()


def test_the_hash_seed_of_the_process_does_not_matter() -> None:
    program = "from tests.shard.test_determinism import history; print(history(5).machine.checksum())"
    sums = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        for seed in ("0", "1", "4242")
    }
    assert sums == {str(history(5).machine.checksum())}
