"""The search for an order: Wing and Gong's, with Lowe's memory of where it has been.

An operation can be the next when nothing that is still to come had returned before it was called. Depth first, one next
operation after another is tried, and a place (what is done, what the key holds) is entered once. Only what lies between
the first operation that is not done and the last that is can be told apart, so a place is small wherever few operations
are open, and long quiet histories cost nothing.

Of several next operations some need not be tried, since an order that begins otherwise can be changed into one that
begins with another:

- a get, or whatever else changes nothing, that fits now is done now, alone;
- of operations that do the same, the one that has to be done first is;
- an unknown outcome takes effect only when everything else has been tried;
- a value is not replaced while somebody is yet to find it, when it is written once.
"""

from tests.linearizability.model import NEVER, START, State, follow, is_timed
from tests.linearizability.operation import Operation, Scalar
from tests.linearizability.prepare import Prepared

_Used = tuple[int, ...]
# Everything before the first number is done, and what the bit set says from there; unknown outcomes that took effect,
# counted by class; what the key holds; whether everything but unknown outcomes has been tried here.
_Place = tuple[int, int, _Used, State, bool]
# A next operation, or -1 - the class of an unknown outcome, and what the key holds after it.
_Way = tuple[int, State]


class Search:
    """One search through one key's history."""

    def __init__(self, prepared: Prepared, steps_max: int) -> None:
        self.steps = 0
        self.stuck: Operation | None = None
        self._history = prepared
        self._steps_max = steps_max
        self._places: list[_Place] = [(0, 0, (0,) * len(prepared.optional), START, False)]
        self._been: dict[tuple[int, int, Scalar, int, bool, bool], list[tuple[int, int, _Used]]] = {}
        self._furthest = -1

    def run(self) -> bool | None:
        """Look until there is an order or none is left; None when the budget is used up before.

        Without an order, `stuck` is the operation that the longest attempt could not get past: of all that attempts
        ended at, the one that returned last.
        """
        while self._places:
            if self._is_done_from(self._places.pop()):
                self.stuck = None
                return True
            if self.steps >= self._steps_max:
                self.stuck = None
                return None
        return False

    def _is_done_from(self, place: _Place) -> bool:
        """Go on from a place for as long as there is one way to go; leave the others for later."""
        first, done, used, state, late = place
        while True:
            self.steps += 1
            nexts, latest, last = self._candidates(first, done)
            if not nexts:
                return True
            if late:
                if not self._has_been(first, done, used, state, late=True):
                    unknown = self._unknown_ways(first, done, used, state, latest)
                    self._places.extend(self._after(first, done, used, way) for way in unknown)
                return False
            ways = self._ways(first, done, state, nexts, latest)
            if not (len(ways) == 1 and ways[0][1] is state):
                if (self.stuck or len(ways) > 1) and self._has_been(first, done, used, state, late=False):
                    return False
                if self._history.optional:
                    self._places.append((first, done, used, state, True))
            if not ways:
                self._note_stuck(latest, last)
                return False
            self._places.extend(self._after(first, done, used, way) for way in ways[:0:-1])
            first, done, used, state, late = self._after(first, done, used, ways[0])

    def _candidates(self, first: int, done: int) -> tuple[list[int], int, int]:
        """The operations that can be next, by their ends, the earliest of these, and whose it is."""
        starts, ends = self._history.starts, self._history.ends
        found: list[int] = []
        latest, last = NEVER + 1, -1
        for at in range(first, len(starts)):
            if starts[at] > latest:
                break
            if not done & 1:
                found.append(at)
                if ends[at] < latest:
                    latest, last = ends[at], at
            done >>= 1
        if len(found) > 1:
            found.sort(key=ends.__getitem__)
        return found, latest, last

    def _ways(self, first: int, done: int, state: State, nexts: list[int], latest: int) -> list[_Way]:
        """The next operations that are worth a try, with the state after each; one with the same state is a must."""
        history = self._history
        ways: list[_Way] = []
        tried: dict[object, int] = {}
        for at in nexts:
            called = history.starts[at] if history.timed else 0
            effects, revision = history.effects[at], history.revisions[at]
            if not revision and len(nexts) > 2 and not (history.timed and is_timed(effects)):
                if tried.get(effects, NEVER) <= called:
                    continue
                tried[effects] = called
            for effect in effects:
                after = follow(state, effect, revision, called, latest)
                if after is None or (after[0] != state[0] and self._is_needed(state[0], first, done, at)):
                    continue
                if after == state and history.passive[at]:
                    return [(at, state)]
                ways.append((at, after))
        return ways

    def _is_needed(self, value: Scalar, first: int, done: int, at: int) -> bool:
        """Whether anybody but `at` is yet to find a value that nobody will write again."""
        readers = self._history.needed.get(value)
        if readers is None:
            return False
        base, bits = readers
        if base <= at:
            bits &= ~(1 << (at - base))
        bits = bits << (base - first) if base >= first else bits >> (first - base)
        return bits & ~done != 0

    @staticmethod
    def _after(first: int, done: int, used: _Used, way: _Way) -> _Place:
        at, state = way
        if at < 0:
            return first, done, (*used[:~at], used[~at] + 1, *used[~at + 1 :]), state, False
        done |= 1 << (at - first)
        ready = (~done & (done + 1)).bit_length() - 1
        return first + ready, done >> ready, used, state, False

    def _unknown_ways(self, first: int, done: int, used: _Used, state: State, latest: int) -> list[_Way]:
        history = self._history
        ways: list[_Way] = []
        for which, optional in enumerate(history.optional):
            if used[which] == len(optional.starts) or (start := optional.starts[used[which]]) > latest:
                continue
            for effect in optional.effects:
                after = follow(state, effect, 0, start if history.timed else 0, latest, since=optional.starts[0])
                if after is None or after == state:
                    continue
                if after[0] == state[0] or not self._is_needed(state[0], first, done, -1):
                    ways.append((~which, after))
        return ways

    def _has_been(self, first: int, done: int, used: _Used, state: State, *, late: bool) -> bool:
        """Whether a place at least as good was entered before: sooner, and with no more unknown outcomes used."""
        value, deadline, seen, exact, now = state
        known = self._been.setdefault((first, done, value, seen, exact, late), [])
        for other_deadline, other_now, other_used in known:
            if other_deadline <= deadline and other_now <= now and all(map(int.__le__, other_used, used)):
                return True
        known.append((deadline, now, used))
        return False

    def _note_stuck(self, latest: int, last: int) -> None:
        if latest > self._furthest:
            self._furthest, self.stuck = latest, self._history.operations[last]
