"""Whether what a rate limit gave is judged rightly: answers are made up, right ones and wrong ones."""

import random
from collections.abc import Iterator

import pytest

from tests.chaos.windows import Take, faults, windows_of

LIMIT, WINDOW_S = 20, 5.0


def answers(seed: int, windows: int = 6) -> Iterator[Take]:
    """Of a limit that gives exactly what it has, to clients that wait up to two seconds for an answer."""
    rng = random.Random(seed)
    for number in range(windows):
        ends_s = (number + 1) * (WINDOW_S + rng.random())  # time stands still while there is no leader
        for remaining in (*range(LIMIT - 1, -1, -1), -1, -1):
            at_s = ends_s - rng.uniform(0.01, WINDOW_S)
            yield Take(at_s - rng.uniform(0, 1), at_s + rng.uniform(0, 1), ends_s - at_s, remaining)


@pytest.mark.parametrize("seed", range(20))
def test_a_limit_that_gives_what_it_has_is_right_and_its_windows_are_told_apart(seed: int) -> None:
    found = windows_of(answers(seed))
    assert [(window.allowed, window.refused) for window in found] == [(LIMIT, 2)] * 6
    assert faults(found, LIMIT, unknown=0) == []


def test_what_is_given_twice_in_one_window_is_found_though_another_gave_less() -> None:
    takes = list(answers(1))
    first, last = takes[:10], takes[10:]
    stolen = takes[LIMIT + 2 + 3]  # of the second window
    again = Take(first[3].sent_s, first[3].told_s, first[3].reset_s, stolen.remaining)
    found = windows_of([*first, again, *(take for take in last if take is not stolen)])
    assert sum(window.allowed for window in found) == 6 * LIMIT
    assert any("twice" in fault for fault in faults(found, LIMIT, unknown=1))


@pytest.mark.parametrize(("unknown", "is_wrong"), [(0, True), (1, False)])
def test_a_window_that_refuses_before_all_was_given_is_wrong_unless_an_answer_was_lost(
    unknown: int,
    is_wrong: bool,  # noqa: FBT001 - drawn by pytest
) -> None:
    found = windows_of([take for number, take in enumerate(answers(2)) if number != 7])
    assert bool(faults(found, LIMIT, unknown)) == is_wrong


def test_a_window_that_nobody_used_up_may_give_less() -> None:
    takes = list(answers(3, windows=1))
    assert faults(windows_of(takes[:12]), LIMIT, unknown=0) == []


def test_more_than_the_limit_is_wrong() -> None:
    takes = list(answers(4, windows=1))
    more = Take(takes[0].sent_s, takes[0].told_s, takes[0].reset_s, LIMIT)
    assert faults(windows_of([*takes, more]), LIMIT, unknown=9)
