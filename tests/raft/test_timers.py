"""A timer that ran out is found at the next look, and not many are looked at for it."""

from raft.timers import Timers


class Timed:
    """Counts how often it is looked at."""

    def __init__(self, due_s: float) -> None:
        self._due_s = due_s
        self.looks = 0

    @property
    def due_s(self) -> float:
        self.looks += 1
        return self._due_s

    @due_s.setter
    def due_s(self, due_s: float) -> None:
        self._due_s = due_s


def started(*due_s: float) -> tuple[list[Timed], Timers[Timed]]:
    """Timers that were all looked at once, at time 0."""
    everyone = [Timed(one) for one in due_s]
    timers: Timers[Timed] = Timers()
    timers.touched.update(dict.fromkeys(everyone))
    assert timers.due(0.0) == []
    return everyone, timers


def test_nobody_is_looked_at_before_the_earliest_time() -> None:
    everyone, timers = started(3.0, 1.0, 2.0)
    assert timers.due(0.9) == []
    assert [one.looks for one in everyone] == [1, 1, 1]
    assert timers.due(1.0) == [everyone[1]]


def test_a_timer_that_was_put_back_is_not_due_and_the_next_one_is() -> None:
    everyone, timers = started(1.0, 2.0)
    everyone[0].due_s = 5.0
    assert timers.due(1.5) == []
    assert timers.due(2.0) == [everyone[1]]


def test_a_timer_that_was_brought_forward_is_found_when_touched() -> None:
    everyone, timers = started(10.0, 20.0)
    everyone[1].due_s = 2.0
    timers.touched[everyone[1]] = None
    assert timers.due(1.0) == []
    assert timers.due(2.0) == [everyone[1]]


def test_who_is_due_and_touched_is_looked_at_each_time() -> None:
    [one], timers = started(5.0)
    one.due_s = 0.0
    for now_s in (1.0, 2.0, 3.0):
        timers.touched[one] = None
        assert timers.due(now_s) == [one]


def test_whose_time_came_later_is_found_after_those_before() -> None:
    everyone, timers = started(1.0, 2.0, 3.0)
    for number, one in enumerate(everyone):
        assert timers.due(number + 1.0) == [one]
        one.due_s = 100.0
        timers.touched[one] = None


def test_who_was_left_is_looked_at_only_once_touched_again() -> None:
    everyone, timers = started(1.0, 2.0)
    timers.leave(everyone[0])
    assert timers.due(2.0) == [everyone[1]]
    assert everyone[0].looks == 1
    timers.touched[everyone[0]] = None
    assert timers.due(2.0) == [everyone[0]]
