"""The search against the definition, and against the clock of its own steps."""

import random

import pytest

from tests.linearizability import check
from tests.linearizability.bruteforce import has_order
from tests.linearizability.decide import decide
from tests.linearizability.generate import COUNTED, LIVELY, MIXED, MS, Shape, draw_history
from tests.linearizability.operation import Kind, Operation
from tests.linearizability.spoil import spoil

SEEDS = 400  # a block
KINDS = (MIXED, COUNTED, LIVELY, (Kind.INCREMENT, Kind.TOUCH, Kind.GET, Kind.DELETE, Kind.PUT))


def small_history(seed: int) -> tuple[list[Operation], bool]:
    """A history of a handful of operations, and whether it is as a right register made it."""
    rng = random.Random(seed)
    shape = Shape(
        operations=rng.randint(2, 7),
        clients=rng.randint(1, 4),
        kinds=rng.choice(KINDS),
        values=rng.choice((0, 0, 2, 3)),
        unknown=rng.choice((0.0, 0.0, 0.2, 0.5)),
        ttl=rng.choice((0.0, 0.5, 1.0)),
        revisions=rng.random() < 0.5,
        pause_ns=rng.choice((10 * MS, 10 * MS, 900 * MS, 2000 * MS)),
    )
    history = draw_history(rng, shape)
    is_right = rng.random() < 0.2
    if not is_right:
        history = spoil(rng, history)
    rng.shuffle(history)
    return history, is_right


@pytest.mark.parametrize("block", range(10))
def test_says_what_trying_every_order_says(block: int) -> None:
    outcomes = {True: 0, False: 0}
    for seed in range(block * SEEDS, (block + 1) * SEEDS):
        history, is_right = small_history(seed)
        expected = has_order(history)
        assert decide(history, 100_000).found is expected, f"seed {seed}: {history}"
        assert expected or not is_right, f"seed {seed}: {history}"
        outcomes[expected] += 1
    assert min(outcomes.values()) > SEEDS // 10, outcomes


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "shape",
    [
        Shape(2000, 30, MIXED, unknown=0.005),
        Shape(2000, 30, MIXED, unknown=0.005, revisions=True),
        Shape(1000, 30, LIVELY, unknown=0.005, ttl=0.3, pause_ns=100 * MS),
        Shape(1000, 30, (Kind.INCREMENT, Kind.INCREMENT, Kind.GET), unknown=0.01),
    ],
    ids=["plain", "revisions", "ttl", "counter"],
)
def test_thirty_clients_on_one_key_take_a_few_steps_for_each_operation(shape: Shape, seed: int) -> None:
    history = draw_history(random.Random(seed), shape)
    assert sum(one.returned_ns is None for one in history) >= 3
    verdict = check(history)
    assert verdict.ok, f"seed {seed}"
    assert verdict.steps < 40 * len(history), f"seed {seed}"


def test_the_steps_of_a_quiet_history_are_its_operations() -> None:
    history = draw_history(random.Random(1), Shape(5000, 1))
    assert check(history).steps == len(history) + 1


def test_what_the_budget_does_not_reach_is_undecided_and_not_ok() -> None:
    verdict = check(draw_history(random.Random(1), Shape(200, 30)), steps_max=10)
    assert not verdict.ok
    assert verdict.undecided == ["k"]
    assert not verdict.violations
