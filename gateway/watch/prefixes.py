"""Who wants to know of a key: an index by prefix, so that an event costs as much as there are lengths of prefixes. Pure."""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class PrefixIndex(Generic[T]):
    """Things by the prefix that they are for."""

    def __init__(self) -> None:
        self._by_prefix: dict[str, dict[T, None]] = {}
        self._lengths: Counter[int] = Counter()
        self._sorted_lengths: list[int] = []

    def __iter__(self) -> Iterator[T]:
        for things in self._by_prefix.values():
            yield from things

    def add(self, prefix: str, thing: T) -> None:
        """Put a thing in, once."""
        if prefix not in self._by_prefix:
            self._by_prefix[prefix] = {}
            self._count(len(prefix), 1)
        self._by_prefix[prefix][thing] = None

    def remove(self, prefix: str, thing: T) -> None:
        """Take a thing out, if it is there."""
        things = self._by_prefix.get(prefix)
        if things is None:
            return
        things.pop(thing, None)
        if not things:
            del self._by_prefix[prefix]
            self._count(len(prefix), -1)

    def prefixes_of(self, key: str) -> list[str]:
        """The prefixes of a key that things are for, the shortest first."""
        found = []
        for length in self._sorted_lengths:
            if length > len(key):
                break
            prefix = key[:length]
            if prefix in self._by_prefix:
                found.append(prefix)
        return found

    def at(self, prefix: str) -> Collection[T]:
        """The things for exactly this prefix, in the order in which they came."""
        return tuple(self._by_prefix.get(prefix, ()))

    def _count(self, length: int, change: int) -> None:
        self._lengths[length] += change
        if not self._lengths[length]:
            del self._lengths[length]
        self._sorted_lengths = sorted(self._lengths)
