"""A set in key order that is cheap to add to and is sorted only where it is read.

A B+ tree of two levels: separators, and leaves that may be unsorted at their end. New keys gather; when there are many, or
somebody reads, they are sorted together and each leaf gets its share at its end, so that one search of the separators does for
all of them. A leaf is sorted when somebody reads it or when it is full and must be split, which the sort algorithm does in one
pass plus the new keys. Removing only notes the key as gone; leaves drop such keys when they are sorted, and every few removals
one leaf after the other is swept, so that the notes stay a small share. No call costs more than a few leaves and the gathered
keys, whatever the size of the set.

Measured with 1,000,000 random keys: see shard/README.md.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Generic, TypeVar

LEAF_SIZE_MAX = 1024
FRESH_MAX = 4096  # new keys that are sorted together: so many fit into the processor's cache
_SWEEP_FROM = 1024  # removed keys that are tolerated before sweeping begins
_SWEEP_EVERY = 256  # removals for each leaf that is swept

KeyT = TypeVar("KeyT", str, tuple[int, str])


class OrderedKeys(Generic[KeyT]):
    """Distinct keys in order. The caller knows which are there: it adds only absent and removes only present ones."""

    def __init__(self) -> None:
        self._leaves: list[list[KeyT]] = [[]]
        self._separators: list[KeyT] = []  # leaf i holds the keys <= separator i and > separator i - 1
        self._fresh: list[KeyT] = []  # in no leaf yet
        self._gone: set[KeyT] = set()
        self._sweep_next = 0

    def add(self, key: KeyT) -> None:
        """Add a key that is not there."""
        if key in self._gone:
            self._gone.remove(key)
            return
        fresh = self._fresh
        fresh.append(key)
        if len(fresh) >= FRESH_MAX:
            self._spread()

    def add_all(self, keys: list[KeyT]) -> None:
        """Add keys that are not there; the list stays the caller's."""
        gone = self._gone
        if gone:
            back = gone.intersection(keys)
            gone.difference_update(back)
            keys = [key for key in keys if key not in back]
        self._fresh += keys
        if len(self._fresh) >= FRESH_MAX:
            self._spread()

    def remove(self, key: KeyT) -> None:
        """Remove a key that is there."""
        gone = self._gone
        gone.add(key)
        if len(gone) >= _SWEEP_FROM and len(gone) % _SWEEP_EVERY == 0:
            self._sweep()

    def after(self, key: KeyT, *, inclusive: bool) -> Iterator[KeyT]:
        """The keys after `key` (and itself when `inclusive`) in order. The set must not change meanwhile."""
        self._spread()
        position = bisect_left(self._separators, key)
        leaf = self._settle(position)
        yield from leaf[(bisect_left if inclusive else bisect_right)(leaf, key) :]
        for later in range(position + 1, len(self._leaves)):
            yield from self._settle(later)

    def pop_before(self, bound: KeyT, limit: int) -> list[KeyT]:
        """Remove the first keys that are less than `bound`, at most `limit`, and return them in order."""
        self._spread()
        taken: list[KeyT] = []
        while len(taken) < limit:
            leaf = self._settle(0)
            count = min(bisect_left(leaf, bound), limit - len(taken))
            taken += leaf[:count]
            del leaf[:count]
            if leaf or not self._separators:
                break
            self._drop(0)
        return taken

    def first(self) -> KeyT | None:
        """The first key, None when there is none."""
        self._spread()
        while True:
            leaf = self._settle(0)
            if leaf:
                return leaf[0]
            if not self._separators:
                return None
            self._drop(0)

    def _spread(self) -> None:
        """Put the fresh keys into their leaves; neighbours share the way."""
        if not self._fresh:
            return
        keys, self._fresh = sorted(self._fresh), []
        separators, leaves = self._separators, self._leaves
        begin = 0
        while begin < len(keys):
            position = bisect_left(separators, keys[begin])
            is_last = position == len(separators)
            end = len(keys) if is_last else bisect_right(keys, separators[position], begin)
            leaf = leaves[position]
            leaf += keys[begin:end]
            if len(leaf) > LEAF_SIZE_MAX:
                self._split(position)
            begin = end

    def _settle(self, position: int) -> list[KeyT]:
        """The leaf without the keys that are gone, sorted."""
        leaf = self._leaves[position]
        gone = self._gone
        if gone:
            kept = [key for key in leaf if key not in gone]
            if len(kept) < len(leaf):
                gone.difference_update(leaf)
                leaf[:] = kept
        leaf.sort()
        return leaf

    def _split(self, position: int) -> None:
        leaf = self._settle(position)
        if len(leaf) <= LEAF_SIZE_MAX * 3 // 4:  # removals made enough room
            return
        size = -(-len(leaf) // max(2, len(leaf) // (LEAF_SIZE_MAX // 2)))
        parts = [leaf[at : at + size] for at in range(0, len(leaf), size)]
        self._leaves[position : position + 1] = parts
        self._separators[position:position] = [part[-1] for part in parts[:-1]]

    def _sweep(self) -> None:
        position = self._sweep_next if self._sweep_next < len(self._leaves) else 0
        if self._settle(position) or not self._separators:
            position += 1
        else:
            self._drop(position)
        self._sweep_next = position

    def _drop(self, position: int) -> None:
        """Remove an empty leaf; its range goes to the next leaf (the one before when it is the last)."""
        del self._leaves[position]
        del self._separators[min(position, len(self._separators) - 1)]
