"""Replicas that apply the same commands are equal, in whatever process."""

import os
import random
import subprocess
import sys
from pathlib import Path

from shard.machine import Entry
from tests.shard.build import Log, copy_by_snapshot
from wire.messages import Delete, Operation, OperationId, Put, PutItem, Touch, TouchItem

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
            keys = [f"{{{chance.randrange(30)}}}/{chance.randrange(200)}" for _ in range(chance.randrange(1, 40))]
            ttl_ms = chance.choice([0, 1, 1_000, 60_000])
            choices: list[Operation] = [
                Put([PutItem(key, key.encode(), "", ttl_ms) for key in keys]),
                Delete(keys),
                Touch([TouchItem(key, max(ttl_ms, 1)) for key in keys]),
            ]
            operation = chance.choice(choices)
            number = sequence * 10 + offset - chance.choice([0, 0, 0, 13])
            operations.append((OperationId(chance.randrange(4), max(number, 0), max(number - 50, 0)), operation))
        log.append(Entry(time_ms, operations))
    return log


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
