"""What a fixed-window rate limit gave in each of its windows, told from the answers alone. Pure.

An answer says how long its window lasts yet, counted from some moment between the request and the answer, so it says within
which interval the window ended. Two windows end at least a window's length apart, so the shortest intervals tell the windows apart, and
each answer belongs to the window whose end its interval holds.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec


class Take(msgspec.Struct, frozen=True):
    """An answer of a limit.

    Attributes:
        sent_s: when it was asked, by the client's clock.
        told_s: when it answered.
        reset_s: how long the window lasted yet.
        remaining: what was left in it then; -1 when nothing was given.
    """

    sent_s: float
    told_s: float
    reset_s: float
    remaining: int

    @property
    def end_s(self) -> tuple[float, float]:
        """Between which moments the window ended."""
        return self.sent_s + self.reset_s, self.told_s + self.reset_s


class Window(msgspec.Struct, frozen=True):
    """One window.

    Attributes:
        end_s: when it ended, by the client's clock, at the latest.
        given: how often each `remaining` was told.
        refused: how many were told that nothing is left.
    """

    end_s: float
    given: Counter[int]
    refused: int

    @property
    def allowed(self) -> int:
        """How many got something."""
        return self.given.total()


def windows_of(takes: Iterable[Take]) -> list[Window]:
    """The windows, oldest first."""
    waiting = sorted(takes, key=lambda take: take.end_s[1])
    found: list[Window] = []
    while waiting:
        end_s = waiting[0].end_s[1]
        mine = [take for take in waiting if take.end_s[0] <= end_s]
        given = Counter(take.remaining for take in mine if take.remaining >= 0)
        found.append(Window(end_s, given, sum(take.remaining < 0 for take in mine)))
        waiting = [take for take in waiting if take.end_s[0] > end_s]
    return found


def faults(windows: Sequence[Window], limit: int, unknown: int) -> list[str]:
    """What is wrong with windows that had to give exactly `limit`, to answers of which `unknown` never came.

    A window in which somebody was refused must have given all of it. One that was not used up gives less, but nothing twice.
    """
    wrong, missing = [], 0
    for number, window in enumerate(windows, start=1):
        twice = [left for left, times in window.given.items() if times > 1]
        foreign = [left for left in window.given if left >= limit]
        if twice or foreign:
            wrong.append(f"window {number} gave {window.allowed}: twice {twice[:9]}, never there {foreign[:9]}")
        if window.refused:
            missing += limit - len(window.given)
    if missing > unknown:
        wrong.append(
            f"{missing} were never given in windows that refused somebody, and {unknown} answers are not known"
        )
    return wrong
