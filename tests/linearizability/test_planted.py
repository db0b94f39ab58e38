"""Every broken promise is found, and what only looks like one is not."""

import random

import msgspec
import pytest

from tests.linearizability import Operation, check
from tests.linearizability.build import Story
from tests.linearizability.generate import MIXED, MS, Shape, draw_history

BROKEN = {
    "stale read": Story().put("a", 0, 1).put("b", 2, 3).get("a", 4, 5),
    "lost write": Story().put("a", 0, 1).get(None, 2, 3),
    "lost delete": Story().put("a", 0, 1).delete(2, 3, found=True).get("a", 4, 5),
    "value never written": Story().put("a", 0, 1).get("c", 2, 3),
    "effect of what was refused": Story().put("a", 0, 1).get("refused", 2, 3),  # refused puts are not recorded
    "read before the write": Story().get("a", 0, 1).put("a", 2, 3),
    "back and forth": Story().put("a", 0, 1).put("b", 2, 9).get("b", 3, 4).get("a", 5, 6),
    "two readers see two orders": Story().put("a", 0, 9).put("b", 0, 9).get("a", 10, 11).get("b", 12, 13),
    "resurrection": Story().put("a", 0, 1).delete(2, 3, found=True).get(None, 4, 5).get("a", 6, 7),
    "deleted twice": Story().put("a", 0, 1).delete(2, 3, found=True).delete(4, 5, found=True),
    "delete that missed": Story().put("a", 0, 1).delete(2, 3, found=False),
    "doubled increment": Story().increment(1, 0, 1, result=1).increment(1, 2, 3, result=3),
    "lost increment": Story().increment(1, 0, 1, result=1).increment(1, 0, 1, result=1),
    "increment seen by a get twice": Story().increment(1, 0, None).get(2, 2, 3),
    "two won the same compare": Story().put("a", 0, 1).cas("a", "b", 2, 5, done=True).cas("a", "c", 2, 5, done=True),
    "compare that should have won": Story().put("a", 0, 1).cas("a", "b", 2, 3, done=False),
    "compare that should have lost": Story().put("a", 0, 1).cas("b", "c", 2, 3, done=True),
    "two created it": Story().cas(None, "a", 0, 5, done=True).cas(None, "b", 0, 5, done=True),
    "early expiry": Story().put("a", 0, 1, ttl_s=1).get(None, 2, 990),
    "expiry before its time from the call": Story()
    .put("a", 0, 1)
    .put("b", 20, 900, ttl_s=1)
    .get("a", 500, 501)
    .get(None, 1002, 1003),
    "touch forgotten": Story().put("a", 0, 1, ttl_s=1).touch(500, 501, 10, found=True).get(None, 2000, 2001),
    "time to live left over": Story().put("a", 0, 1, ttl_s=1).put("b", 2, 3).get(None, 2000, 2001),
    "life after expiry": Story().put("a", 0, 1, ttl_s=1).get(None, 2000, 2001).get("a", 2002, 2003),
    "touch raised the dead": Story().put("a", 0, 1, ttl_s=1).get(None, 2000, 2001).touch(2002, 2003, 9, found=True),
    "unknown outcome before its call": Story().get("a", 0, 1).put("a", 2, None),
    "unknown outcome twice": Story().put("a", 0, None).put("b", 2, 3).get("a", 4, 5).put("c", 6, 7).get("a", 8, 9),
    "revision that fell": Story().put("a", 0, 1, revision=8).put("b", 2, 3, revision=7),
    "revision used again": Story().put("a", 0, 1, revision=7).put("b", 2, 3, revision=7),
    "revision of another value": Story().put("a", 0, 9, revision=7).put("b", 0, 9, revision=8).get("a", 0, 9, revision=8),
    "revision read too early": Story().put("a", 0, 9, revision=7).get("a", 1, 2, revision=7).put("b", 3, 4, revision=7),
}  # fmt: skip

FINE = {
    "nothing was ever there": Story().get(None, 0, 1).delete(2, 3, found=False),
    "reads overlap a write": Story().put("a", 0, 1).put("b", 2, 9).get("a", 3, 4).get("b", 5, 6),
    "unknown outcome late": Story().put("a", 0, None).put("b", 1, 2).get("b", 3, 4).get("a", 5, 6),
    "unknown outcome never": Story().put("a", 0, None).put("b", 1, 2).get("b", 3, 4).get("b", 5, 6),
    "unknown delete": Story().put("a", 0, 1).delete(2, None).get("a", 3, 4).get(None, 5, 6),
    "unknown increment between": Story()
    .increment(1, 0, 1, result=1)
    .increment(1, 2, None)
    .increment(1, 3, 4, result=3),
    "late expiry": Story().put("a", 0, 1, ttl_s=1).get("a", 9000, 9001).get(None, 9002, 9003),
    "expiry counted from the call": Story()
    .put("a", 0, 1)
    .put("b", 2, 900, ttl_s=1)
    .get("a", 500, 501)
    .get(None, 1002, 1003),
    "expiry on time": Story().put("a", 0, 1, ttl_s=1).get(None, 1000, 1001),
    "expired, then created": Story().put("a", 0, 1, ttl_s=1).cas(None, "b", 1500, 1501, done=True),
    "expired, then counted anew": Story().put(5, 0, 1, ttl_s=1).increment(1, 1500, 1501, result=1),
    "touch that was not told": Story().put("a", 0, 1, ttl_s=1).touch(2, None, 9).get(None, 1500, 1501),
    "two in one entry": Story().put("a", 0, 9, revision=7).put("b", 0, 9, revision=7).get("b", 10, 11, revision=7),
    "get without an answer": Story().put("a", 0, 1).get(None, 2, None).get("a", 3, 4),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise_is_found(name: str) -> None:
    verdict = check(BROKEN[name].operations)
    assert not verdict.ok
    assert [violation.key for violation in verdict.violations] == ["k"]


@pytest.mark.parametrize("name", FINE)
def test_what_can_have_happened_is_fine(name: str) -> None:
    assert check(FINE[name].operations).ok


def test_only_the_key_that_is_wrong_is_named() -> None:
    fine = [one for key in ("a", "b", "c") for one in draw_history(random.Random(key), Shape(100), key)]
    wrong = [msgspec.structs.replace(one, key="wrong") for one in BROKEN["stale read"].operations]
    verdict = check([*wrong, *fine])
    assert [violation.key for violation in verdict.violations] == ["wrong"]
    assert (verdict.operations, verdict.keys) == (303, 4)


def planted(seed: int) -> tuple[list[Operation], list[Operation]]:
    """A stale read behind the end of a long history, which is returned too."""
    history = draw_history(random.Random(seed), Shape(400, 8, MIXED, unknown=0.01))
    after = 1 + max(one.returned_ns or one.called_ns for one in history) // MS
    story = Story().put("old", after, after + 1).put("new", after + 2, after + 3).get("old", after + 4, after + 5)
    return history, story.operations


@pytest.mark.parametrize("seed", range(5))
def test_what_is_cut_down_is_the_quarrel_and_nothing_else(seed: int) -> None:
    history, quarrel = planted(seed)
    assert check(history).ok
    [violation] = check([*history, *quarrel]).violations
    assert violation.operations == quarrel, f"seed {seed}"
    assert violation.of == len(history) + 3
    assert violation.stuck in violation.operations


@pytest.mark.parametrize("seed", range(5))
def test_what_is_cut_down_fails_for_a_reason_that_the_whole_has(seed: int) -> None:
    history, quarrel = planted(seed)
    [violation] = check([*history, *quarrel]).violations
    assert not check(violation.operations).ok
    assert all(one in [*history, *quarrel] for one in violation.operations)
    put_values = {one.argument for one in violation.operations}
    assert all(one.result in put_values for one in violation.operations if one.result is not None)
