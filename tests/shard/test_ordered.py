import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shard.machine import ordered
from shard.machine.ordered import OrderedKeys

small_keys = st.text(alphabet="ab", min_size=1, max_size=5)


def test_keys_come_out_sorted_whatever_the_order_they_came_in() -> None:
    chance = random.Random(7)
    keys = [f"{chance.randrange(10**9):09d}" for _ in range(20_000)]
    index: OrderedKeys[str] = OrderedKeys()
    for key in dict.fromkeys(keys):
        index.add(key)
    assert list(index.after("", inclusive=True)) == sorted(set(keys))


def test_removing_and_adding_for_ever_does_not_pile_up() -> None:
    index: OrderedKeys[str] = OrderedKeys()
    index.add("anchor")
    for number in range(60_000):
        index.add(f"{number:09d}")
        if number >= 100:
            index.remove(f"{number - 100:09d}")
    assert len(index._gone) < 4 * 1024
    assert len(index._fresh) + sum(map(len, index._leaves)) < 8 * 1024
    assert len(list(index.after("", inclusive=True))) == 101


def test_everything_can_be_removed_and_come_back() -> None:
    index: OrderedKeys[str] = OrderedKeys()
    keys = [f"{number:05d}" for number in range(5_000)]
    for _ in range(2):
        for key in keys:
            index.add(key)
        assert index.first() == keys[0]
        assert index.pop_before(keys[2_000], 3_000) == keys[:2_000]
        for key in keys[2_000:]:
            index.remove(key)
        assert index.first() is None


class Model(RuleBasedStateMachine):
    """Leaves of at most four keys, so that every spread, split, sweep and drop happens."""

    def __init__(self) -> None:
        super().__init__()
        self.saved = (ordered.LEAF_SIZE_MAX, ordered.FRESH_MAX, ordered._SWEEP_FROM, ordered._SWEEP_EVERY)
        ordered.LEAF_SIZE_MAX, ordered.FRESH_MAX, ordered._SWEEP_FROM, ordered._SWEEP_EVERY = 4, 3, 2, 2
        self.index: OrderedKeys[str] = OrderedKeys()
        self.model: set[str] = set()

    def teardown(self) -> None:
        ordered.LEAF_SIZE_MAX, ordered.FRESH_MAX, ordered._SWEEP_FROM, ordered._SWEEP_EVERY = self.saved

    @rule(key=small_keys)
    def toggle(self, key: str) -> None:
        if key in self.model:
            self.model.remove(key)
            self.index.remove(key)
        else:
            self.model.add(key)
            self.index.add(key)

    @rule(keys=st.lists(small_keys, max_size=12, unique=True))
    def add_all(self, keys: list[str]) -> None:
        new = [key for key in keys if key not in self.model]
        self.model.update(new)
        self.index.add_all(new)

    @rule(start=small_keys, inclusive=st.booleans())
    def read(self, *, start: str, inclusive: bool) -> None:
        expected = sorted(key for key in self.model if key > start or (inclusive and key == start))
        assert list(self.index.after(start, inclusive=inclusive)) == expected

    @precondition(lambda self: self.model)
    @rule(bound=small_keys, limit=st.integers(1, 5))
    def pop(self, bound: str, limit: int) -> None:
        expected = sorted(key for key in self.model if key < bound)[:limit]
        assert self.index.pop_before(bound, limit) == expected
        self.model.difference_update(expected)

    @rule()
    def first(self) -> None:
        assert self.index.first() == min(self.model, default=None)

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        stored = [key for leaf in self.index._leaves for key in leaf] + self.index._fresh
        assert len(self.index._fresh) < ordered.FRESH_MAX
        assert len(stored) == len(set(stored))
        assert set(stored) - self.index._gone == self.model
        assert len(self.index._separators) == len(self.index._leaves) - 1


Model.TestCase.settings = settings(derandomize=True, deadline=None, max_examples=60, stateful_step_count=60)
TestOrderedKeysAgainstASet = Model.TestCase
