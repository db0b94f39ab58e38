"""What a fixed-window rate limit gave in each of its windows, told from the answers alone. Pure.

An answer says how long its window lasts yet, counted from some moment between the request and the answer, so it says within
which interval the window ends. Answers whose intervals have a moment in common make a piece. The cluster's time stands still while a
group has no leader: then the same window ends later, and has another piece. A window begins with the piece in which the first of its
units is given; should that answer be lost, with one that gives again what was given, a window's length later.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

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
        """Between which moments the window ends."""
        return self.sent_s + self.reset_s, self.told_s + self.reset_s


class Window(msgspec.Struct, frozen=True):
    """A window, or a piece of one.

    Attributes:
        begun_s: when it was first asked, by the client's clock.
        told_s: when it answered last.
        end_s: between which moments it was to end when it began.
        given: how often each `remaining` was told.
        refused: how many were told that nothing is left.
    """

    begun_s: float
    told_s: float
    end_s: tuple[float, float]
    given: Counter[int]
    refused: int

    @property
    def allowed(self) -> int:
        """How many got something."""
        return self.given.total()

    def joined(self, later: "Window") -> "Window":
        """This one with a later piece of it."""
        begun_s, told_s = min(self.begun_s, later.begun_s), max(self.told_s, later.told_s)
        return Window(begun_s, told_s, self.end_s, self.given + later.given, self.refused + later.refused)


def windows_of(takes: Iterable[Take], limit: int, window_s: float) -> list[Window]:
    """The windows, oldest first."""
    found: list[Window] = []
    for piece in _pieces(takes):
        if found and not _begins(piece, found[-1], limit, window_s):
            found[-1] = found[-1].joined(piece)
        else:
            found.append(piece)
    return found


def _begins(piece: Window, before: Window, limit: int, window_s: float) -> bool:
    is_later = piece.end_s[1] - before.end_s[0] >= window_s
    return limit - 1 in piece.given or (is_later and not piece.given.keys().isdisjoint(before.given))


def _pieces(takes: Iterable[Take]) -> Iterator[Window]:
    waiting = sorted(takes, key=lambda take: take.end_s[1])
    while waiting:
        end_s = waiting[0].end_s[1]
        mine = [take for take in waiting if take.end_s[0] <= end_s]
        yield Window(
            min(take.sent_s for take in mine),
            max(take.told_s for take in mine),
            (max(take.end_s[0] for take in mine), end_s),
            Counter(take.remaining for take in mine if take.remaining >= 0),
            sum(take.remaining < 0 for take in mine),
        )
        waiting = [take for take in waiting if take.end_s[0] > end_s]


def faults(
    windows: Sequence[Window], limit: int, window_s: float, unknown: int, recovered: Counter[int] | None = None
) -> list[str]:
    """What is wrong with windows that had to give exactly `limit`.

    A window in which somebody was refused must have given all of it. One that was not used up gives less, but nothing twice.

    Args:
        windows: of `windows_of`.
        limit: what each has.
        window_s: how long each lasts.
        unknown: how many were never told what they got.
        recovered: the `remaining` of those who were told only when they asked again, so that their window is not known.
    """
    wrong, missing = [], Counter[int]()
    for number, window in enumerate(windows, start=1):
        twice = [left for left, times in window.given.items() if times > 1]
        foreign = [left for left in window.given if left >= limit]
        if twice or foreign:
            wrong.append(f"window {number} gave {window.allowed}: twice {twice[:9]}, never there {foreign[:9]}")
        if window.refused:
            missing.update(left for left in range(limit) if left not in window.given)
    for number, (before, window) in enumerate(itertools.pairwise(windows), start=2):
        if (between_s := window.end_s[1] - before.end_s[0]) < window_s - ROUNDED_S:
            wrong.append(f"window {number} began anew within another: it ends {between_s:.3f} s after the one before")
    recovered = recovered or Counter()
    if (never := (missing - recovered).total()) > unknown:
        wrong.append(f"{never} were never given in windows that refused somebody, and {unknown} answers are not known")
    open_windows = [window for window in windows if not window.refused]
    for left, times in (recovered - missing).items():
        if times > sum(left not in window.given for window in open_windows):
            wrong.append(f"{left} was given to one who asked again, and to another in every window")
    return wrong


ROUNDED_S = 0.002  # answers have whole milliseconds
