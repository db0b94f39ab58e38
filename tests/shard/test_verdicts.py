"""Who is right when replicas found different hashes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shard.machine import Verdict
from shard.verdicts import judge

THREE, FIVE = ("a", "b", "c"), ("a", "b", "c", "d", "e")


def found(**hashes: int) -> Verdict:
    return Verdict(7, sorted(hashes.items()))


@pytest.mark.parametrize(
    ("verdict", "replicas", "right", "wrong"),
    [
        (found(a=1, b=1, c=1), THREE, 1, ""),
        (found(a=1, b=1), THREE, 1, ""),
        (found(a=1, b=2, c=1), THREE, 1, "b"),
        (found(a=0, b=0, c=9), THREE, 0, "c"),
        (found(a=1, b=2, c=1, d=1, e=3), FIVE, 1, "be"),
        (found(a=1, b=2, c=1, d=1), FIVE, 1, "b"),
        (found(a=5), ("a",), 5, ""),
    ],
)
def test_a_strict_majority_of_all_replicas_is_right(
    verdict: Verdict, replicas: tuple[str, ...], right: int, wrong: str
) -> None:
    judgement = judge(verdict, replicas)
    assert (judgement.right, judgement.wrong, judgement.hopeless) == (right, frozenset(wrong), False)
    assert judgement.diverged == bool(wrong)


@pytest.mark.parametrize(
    ("verdict", "replicas", "diverged", "hopeless"),
    [
        (found(), THREE, False, False),
        (found(a=1), THREE, False, False),
        (found(a=1, b=2), THREE, True, False),
        (found(a=1, b=2, c=3), THREE, True, True),
        (found(a=1, b=2), ("a", "b"), True, True),
        (found(a=1, b=1, c=2), FIVE, True, False),
        (found(a=1, b=1, c=2, d=2), FIVE, True, False),
        (found(a=1, b=1, c=2, d=2, e=3), FIVE, True, True),
        (found(a=1, b=2, c=3, d=4), FIVE, True, True),
    ],
)
def test_without_a_majority_nobody_is_right_and_it_is_hopeless_when_the_silent_could_not_make_one(
    verdict: Verdict, replicas: tuple[str, ...], *, diverged: bool, hopeless: bool
) -> None:
    judgement = judge(verdict, replicas)
    assert (judgement.right, judgement.wrong) == (None, frozenset())
    assert (judgement.diverged, judgement.hopeless) == (diverged, hopeless)


def test_who_is_not_a_replica_does_not_count() -> None:
    assert judge(found(a=1, x=2, y=2, z=2), THREE).right is None
    assert judge(found(a=1, b=1, x=2), THREE).diverged is False


@given(st.dictionaries(st.sampled_from(FIVE), st.integers(0, 2)), st.permutations(FIVE))
def test_the_judgement_depends_on_the_hashes_alone(hashes: dict[str, int], order: list[str]) -> None:
    verdict = Verdict(7, list(hashes.items()))
    judgement = judge(verdict, FIVE)
    assert judgement == judge(Verdict(7, [(node, hashes[node]) for node in order if node in hashes]), order)
    assert judgement.right is None or len(judgement.wrong) < 3
    assert not (judgement.hopeless and judgement.right is not None)
