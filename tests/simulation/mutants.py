"""Known mistakes, put into `raft/` one at a time: the simulation must find each, or it looks at the wrong things.

Each is what a hasty change could make of one rule of the room. Nothing on disk is changed.
"""

from raft.lease import Lease
from raft.messages import AppendEntries, Message
from raft.replica import SafeReplica

_store = SafeReplica._store


def count_before_sync(self: SafeReplica, index: int) -> int:
    """The leader counts itself for entries that are not on its disk yet."""
    return max(index, self._commit_index)


def promise_before_sync(self: SafeReplica, to: str, message: Message) -> None:
    """Votes and acknowledgements leave before what they promise is durable."""
    self._around.send(to, self.group, message, 0)


def truncate_always(self: SafeReplica, message: AppendEntries) -> int:
    """A follower drops everything after the entry before the new ones, also when they match (as the library did)."""
    first = max(message.prev_index, self._commit_index) + 1
    if first <= self._log.last_index:
        self._log.truncate_from(first)
    return _store(self, message)


def trust_own_tail(self: SafeReplica, message: AppendEntries) -> int:
    """A follower takes its whole log for verified, not only what the message covered (as the library did)."""
    _store(self, message)
    return self._log.last_index


def vote_for_anybody(_self: SafeReplica) -> bool:
    """A member that has just heard its leader votes for another all the same."""
    return False


def vote_twice(_self: SafeReplica) -> str:
    """A member forgets that it has voted in this term."""
    return ""


def lease_for_ever(self: Lease, _now_s: float) -> bool:
    """A lease ends only when it is given up."""
    return not self._revoked


MUTANTS: dict[str, tuple[type, str, object]] = {
    "count-before-sync": (SafeReplica, "cap_commit_index", count_before_sync),
    "promise-before-sync": (SafeReplica, "_send", promise_before_sync),
    "truncate-always": (SafeReplica, "_store", truncate_always),
    "trust-own-tail": (SafeReplica, "_store", trust_own_tail),
    "vote-for-anybody": (SafeReplica, "_is_sticky", vote_for_anybody),
    "vote-twice": (SafeReplica, "voted_for", property(vote_twice)),
    "lease-for-ever": (Lease, "valid", lease_for_ever),
}


def install(name: str) -> None:
    """Put a mistake into this process."""
    owner, attribute, mistake = MUTANTS[name]
    setattr(owner, attribute, mistake)
