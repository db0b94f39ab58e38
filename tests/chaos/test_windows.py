"""Whether what a rate limit gave is judged rightly: answers are made up, right ones and wrong ones."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec
import pytest

from tests.chaos.windows import Take, Window, faults, windows_of

LIMIT, WINDOW_S = 20, 5.0


def answers(seed: int, windows: int = 6) -> Iterator[Take]:
    """Of a limit that gives exactly what it has; time may stand still for a while in each window."""
    rng = random.Random(seed)
    began_s = 0.0
    for _ in range(windows):
        still_at, still_s = rng.randrange(LIMIT), rng.choice([0.0, rng.uniform(0.5, 4.0), 7.0])
        moments = sorted(rng.uniform(0.0, WINDOW_S - 0.01) for _ in range(LIMIT + 2))
        for position, (remaining, passed_s) in enumerate(
            zip((*range(LIMIT - 1, -1, -1), -1, -1), moments, strict=True)
        ):
            at_s = began_s + passed_s + (still_s if position > still_at else 0.0)
            yield Take(at_s - rng.uniform(0, 0.5), at_s + rng.uniform(0, 0.5), WINDOW_S - passed_s, remaining)
        began_s += WINDOW_S + still_s + rng.random()


def told(takes: Sequence[Take]) -> list[Window]:
    return windows_of(takes, LIMIT, WINDOW_S)


def wrong(takes: Sequence[Take], unknown: int = 0) -> list[str]:
    return faults(told(takes), LIMIT, WINDOW_S, unknown)


@pytest.mark.parametrize("seed", range(40))
def test_a_limit_that_gives_what_it_has_is_right_and_its_windows_are_told_apart(seed: int) -> None:
    takes = list(answers(seed))
    assert [(window.allowed, window.refused) for window in told(takes)] == [(LIMIT, 2)] * 6
    assert wrong(takes) == []


@pytest.mark.parametrize("seed", range(10))
def test_what_is_given_twice_in_one_window_is_found_though_another_gave_less(seed: int) -> None:
    takes = list(answers(seed))
    stolen = takes[LIMIT + 2 + 3]  # of the second window, not the first of it
    again = msgspec.structs.replace(takes[3], remaining=stolen.remaining)
    assert any("twice" in fault for fault in wrong([again, *(take for take in takes if take is not stolen)], unknown=1))


@pytest.mark.parametrize("seed", range(10))
def test_a_window_that_forgets_what_it_gave_is_found(seed: int) -> None:
    takes = list(answers(seed, windows=1))
    forgotten = [msgspec.structs.replace(take, remaining=LIMIT - 1 - at) for at, take in enumerate(takes[10:-2])]
    assert wrong([*takes[:10], *forgotten])


@pytest.mark.parametrize("lost", [3, 0])
def test_a_window_that_refuses_before_all_was_given_is_wrong_unless_an_answer_was_lost(lost: int) -> None:
    takes = list(answers(2))
    left = [take for number, take in enumerate(takes) if number != LIMIT + 2 + lost]
    assert wrong(left)
    assert wrong(left, unknown=1) == []


def test_what_was_told_to_one_who_asked_again_is_missing_somewhere_or_was_given_twice() -> None:
    takes = list(answers(2))
    lost = takes[LIMIT + 2 + 3]
    left = [take for take in takes if take is not lost]
    assert faults(told(left), LIMIT, WINDOW_S, 0, Counter([lost.remaining])) == []
    assert faults(told(left), LIMIT, WINDOW_S, 0, Counter([lost.remaining - 1]))
    assert faults(told(takes), LIMIT, WINDOW_S, 0, Counter([lost.remaining]))


def test_a_window_that_nobody_used_up_may_give_less() -> None:
    assert wrong(list(answers(3, windows=1))[:12]) == []


def test_more_than_the_limit_is_wrong() -> None:
    takes = list(answers(4, windows=1))
    assert wrong([*takes, msgspec.structs.replace(takes[0], remaining=LIMIT)], unknown=9)
