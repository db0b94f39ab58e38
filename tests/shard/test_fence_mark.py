"""The durable mark of a fenced replica."""

import random

import pytest

from shard.fence_mark import NEVER_LIFTED, Mark, MarkFile
from tests.simulation.simdisk import SimDisk

MARK = Mark(7, "it differed")


class DeadError(Exception):
    """The process ended itself."""


def die(reason: str) -> None:
    raise DeadError(reason)


def test_a_mark_is_there_after_a_power_cut_and_gone_after_its_removal() -> None:
    disk = SimDisk()
    file = MarkFile(disk, 3, die)
    assert file.load() is None
    file.save(MARK)
    disk.power_cut(random.Random(1))
    assert MarkFile(disk, 3, die).load() == MARK
    assert MarkFile(disk, 4, die).load() is None
    MarkFile(disk, 3, die).remove()
    disk.power_cut(random.Random(2))
    assert MarkFile(disk, 3, die).load() is None


def test_a_damaged_mark_is_a_mark_that_nothing_but_an_operator_lifts() -> None:
    disk = SimDisk()
    MarkFile(disk, 3, die).save(MARK)
    file = disk.open("fenced-3.json", writable=True)
    file.pwrite(0, [b"x"])
    file.close()
    mark = MarkFile(disk, 3, die).load()
    assert mark is not None
    assert mark.index == NEVER_LIFTED
    assert "fenced-3.json is damaged" in mark.reason


def test_a_mark_that_cannot_be_written_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimDisk()

    def full(path: str, size: int = 0) -> None:
        raise OSError(28, f"no space for {path} ({size})")

    monkeypatch.setattr(disk, "create", full)
    with pytest.raises(DeadError, match=r"writing fenced-3.json failed"):
        MarkFile(disk, 3, die).save(MARK)
