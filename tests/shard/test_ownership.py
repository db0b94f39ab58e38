import pytest

from shard.machine.ownership import Ownership, normalized
from wire.slots import SLOT_COUNT


def test_ranges_are_joined_and_sorted() -> None:
    assert normalized([(5, 9), (0, 0), (10, 10), (7, 8)]) == [(0, 0), (5, 10)]
    assert normalized([(0, SLOT_COUNT - 1)]) == [(0, SLOT_COUNT - 1)]
    assert normalized([]) == normalized([(4, 3), (9, 2)]) == []


@pytest.mark.parametrize("wrong", [(0, SLOT_COUNT), (SLOT_COUNT, SLOT_COUNT), (-1, 3)])
def test_slots_that_there_are_not_change_nothing(wrong: tuple[int, int]) -> None:
    ownership = Ownership()
    ownership.take([(1, 2)], 1)
    with pytest.raises(IndexError, match="are not among"):
        ownership.take([(4, 5), wrong], 2)
    assert (ownership.ranges(), ownership.epoch, len(ownership.owned)) == ([(1, 2)], 1, SLOT_COUNT)
