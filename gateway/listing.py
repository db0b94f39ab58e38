"""One page of all keys in order, merged from pages of every group. Pure.

The smallest key that is known is certain only while no group with further keys has an empty buffer: such a group must
be asked first. So the merge stops there, says whom to ask, and goes on when it was fed.
"""

import heapq
import math
from collections import deque
from collections.abc import Sequence

import msgspec

from wire.messages import Consistency, ListEntry, ListReply, ListRequest

ENTRY_OVERHEAD_BYTES = 64  # quotes, field names, ttl
GROUP_BYTES_MIN = 64 << 10  # that a group is asked for at once


class ListQuery(msgspec.Struct, frozen=True):
    """What a client wants listed: keys with `prefix` after `after`, `limit` of them at most, not older than `age_ms_max`."""

    prefix: str
    after: str
    limit: int
    with_ttl: bool = False
    with_values: bool = False
    meta: bool = False
    consistency: Consistency = Consistency.LINEARIZABLE
    age_ms_max: int | None = None


class _Feed:
    """What is known of one group: entries in order, and whether there are more behind them."""

    def __init__(self, after: str) -> None:
        self.entries: deque[ListEntry] = deque()
        self.after = after
        self.more = True


class Merge:
    """Merges the groups' pages into one.

    Args:
        query: what is wanted.
        groups: all groups that own slots.
        bytes_max: the size at which the page ends early, though never before its first entry. All groups together are asked for
            twice as much at once, so that many do not send many times what is wanted.
    """

    def __init__(self, query: ListQuery, groups: Sequence[int], bytes_max: int) -> None:
        self.page: list[ListEntry] = []
        self.age_ms = 0  # the greatest of those of the groups' answers, if they may be stale
        self._query = query
        self._feeds = {group: _Feed(query.after) for group in groups}
        self._bytes_max = bytes_max
        self._bytes = 0
        self._full = False
        self._heads: list[tuple[str, int]] = []
        self._share = _share(query.limit, len(groups))
        self._group_bytes = min(bytes_max, max(GROUP_BYTES_MIN, 2 * bytes_max // max(1, len(groups))))

    def wanted(self) -> list[ListRequest]:
        """What to ask, one request a group, before the page can grow; empty when it is done."""
        if self._full:
            return []
        query, left = self._query, self._query.limit - len(self.page)
        starved = [(group, feed) for group, feed in self._feeds.items() if feed.more and not feed.entries]
        return [
            ListRequest(
                group=group,
                prefix=query.prefix,
                after=feed.after,
                limit=left if self.page else min(left, self._share),
                with_values=query.with_values,
                consistency=query.consistency,
                bytes_max=self._group_bytes,
            )
            for group, feed in starved
        ]

    def feed(self, group: int, reply: ListReply) -> None:
        """Take a group's answer.

        Raises:
            ValueError: the group says that it has more and gave nothing, which would never end.
        """
        if reply.more and not reply.entries:
            raise ValueError(f"group {group} has more keys but lists none")
        feed = self._feeds[group]
        if self._query.consistency is Consistency.STALE:
            self.age_ms = max(self.age_ms, reply.age_ms)
        feed.more = reply.more
        feed.entries.extend(reply.entries)
        if feed.entries:
            feed.after = feed.entries[-1].key
            heapq.heappush(self._heads, (feed.entries[0].key, group))

    def advance(self) -> None:
        """Move every certain entry to the page."""
        if any(feed.more and not feed.entries for feed in self._feeds.values()):
            return
        while self._heads and not self._full:
            _, group = self._heads[0]
            feed = self._feeds[group]
            if not self._take(feed.entries[0]):
                return
            feed.entries.popleft()
            if feed.entries:
                heapq.heapreplace(self._heads, (feed.entries[0].key, group))
            else:
                heapq.heappop(self._heads)
                if feed.more:
                    return

    @property
    def more(self) -> bool:
        """Whether keys are left after the page."""
        return any(feed.more or feed.entries for feed in self._feeds.values())

    def _take(self, entry: ListEntry) -> bool:
        size = len(entry.key.encode()) + len(entry.value) + ENTRY_OVERHEAD_BYTES
        if self.page and self._bytes + size > self._bytes_max:
            self._full = True
            return False
        self.page.append(entry)
        self._bytes += size
        self._full = len(self.page) >= self._query.limit
        return True


def _share(limit: int, groups: int) -> int:
    """What to ask each group for at first: its fair share of evenly hashed keys, plus two standard deviations."""
    fair = limit / max(1, groups)
    return min(limit, math.ceil(fair + 2 * math.sqrt(fair)) + 1)
