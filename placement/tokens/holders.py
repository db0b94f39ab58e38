"""Which table of tokens each gateway has, as far as placement's leader was told by their polls. Pure.

A token that was revoked opens no door once that was answered, so everybody who polls is told before. A gateway that was
not heard of for PATIENCE_S is not waited for: it is dead, or cut off and trusts its table for a bounded time only. A new
leader has heard of nobody, so for that long somebody may be missing: whoever looked for it has found it by then.
"""

import math

LIMIT_HOLDERS = 1024
PATIENCE_S = 1.5
"""Over what passes between two polls of a gateway, the search for a new leader included (see `TokenPace`)."""


class Holders:
    """Everybody who polls. Times are seconds of any one clock."""

    def __init__(self) -> None:
        # Watcher → the revision that it has, and when it said so; the latest last.
        self._polls: dict[int, tuple[int, float]] = {}
        self._complete_at = -math.inf

    def begin(self, now_s: float) -> None:
        """Leadership begins now."""
        self._polls.clear()
        self._complete_at = now_s + PATIENCE_S

    def polled(self, watcher: int, revision: int, now_s: float) -> None:
        """A watcher has the table of this revision; those that say not who they are (0) cannot be waited for."""
        if not watcher:
            return
        self._polls.pop(watcher, None)
        self._polls[watcher] = revision, now_s
        if len(self._polls) > LIMIT_HOLDERS:
            del self._polls[next(iter(self._polls))]

    def all_have(self, revision: int, now_s: float) -> bool:
        """Whether everybody who was heard of lately has this table or a later one."""
        if now_s < self._complete_at:
            return False
        return all(has >= revision for has, at_s in self._polls.values() if at_s > now_s - PATIENCE_S)
