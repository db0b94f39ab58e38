"""What follows from the hashes that replicas found for the same state. Pure: every replica judges the same.

The hash of a strict majority of the group's replicas, those that did not report included, is right: what a majority
holds is what the log says, unless more than half of them went wrong in the same way. With less than that nobody can say
who is right. If all who are silent could still make a majority, the question is open and is asked again; if they could
not, there is none, and nobody's state can be trusted.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from shard.machine import Verdict


class Judgement(msgspec.Struct, frozen=True):
    """What a verdict means.

    Attributes:
        right: the hash of the majority; None when there is none.
        wrong: who reported another hash than the majority.
        diverged: there was more than one hash.
        hopeless: there was, and whatever the others might say, none is the hash of a majority.
    """

    right: int | None
    wrong: frozenset[str]
    diverged: bool
    hopeless: bool


def judge(verdict: Verdict, replicas: Sequence[str]) -> Judgement:
    """Judge the hashes of a group whose members are `replicas`; what anybody else says does not count."""
    hashes = {node: found for node, found in verdict.hashes if node in replicas}
    [(most_found, count)] = Counter(hashes.values()).most_common(1) or [(0, 0)]
    majority = len(replicas) // 2 + 1
    silent = len(replicas) - len(hashes)
    diverged = len(set(hashes.values())) > 1
    if count < majority:
        return Judgement(None, frozenset(), diverged, diverged and count + silent < majority)
    wrong = frozenset(node for node, found in hashes.items() if found != most_found)
    return Judgement(most_found, wrong, diverged, hopeless=False)
