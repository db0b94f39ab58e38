"""The judges of services, limiters, flags and sessions notice what is planted, and nothing else."""

from typing import Literal

import msgspec
import pytest

from tests import linearizability
from tests.chaos.sdk import judge_flags, judge_limits, judge_services
from tests.chaos.sdk.evidence import Glance, Listing, Stay, Take
from tests.linearizability import Kind, Operation

SECOND_NS = 1_000_000_000

# --- services


def listing(called_ns: int, *, number: int | None = 1, left_s: int = 1, took_ns: int = 1) -> Listing:
    """Of a service with one instance, or none."""
    shown = {} if number is None else {"i": number}
    return Listing(called_ns, called_ns + took_ns, shown, dict.fromkeys(shown, left_s))


STAY = Stay(1, "i", 2, 10, 20, 100 * SECOND_NS, 101 * SECOND_NS)


@pytest.mark.parametrize(
    ("listed", "holds"),
    [
        (listing(30), True),
        (listing(101 * SECOND_NS), True),
        (listing(9), True),
        (listing(8), False),
        (listing(30, number=2), False),
        (listing(101 * SECOND_NS + 1), False),
    ],
)
def test_what_is_listed_was_registered_and_not_taken_out(listed: Listing, *, holds: bool) -> None:
    assert (not list(judge_services.faults([STAY], [listed]))) is holds


def test_a_refused_registration_is_never_listed_and_an_unknown_one_may_be_for_ever() -> None:
    opened = Stay(1, "i", 2, 10)
    assert not list(judge_services.faults([opened], [listing(SECOND_NS * 99)]))
    assert list(judge_services.faults([msgspec.structs.replace(opened, is_refused=True)], [listing(30)]))


@pytest.mark.parametrize(
    ("listings", "holds"),
    [
        ([listing(20, number=None)], False),
        ([listing(19, number=None)], True),  # it overlaps the registration
        ([listing(2 * SECOND_NS + 8, number=None)], False),
        ([listing(2 * SECOND_NS + 10, number=None)], True),  # its ttl is over
        ([listing(50 * SECOND_NS, left_s=2), listing(51 * SECOND_NS - 2, number=None)], False),
        ([listing(50 * SECOND_NS, left_s=2), listing(51 * SECOND_NS, number=None)], True),
        (
            [listing(50 * SECOND_NS, left_s=2, took_ns=9), listing(50 * SECOND_NS + 5, number=None)],
            True,
        ),  # they overlap
        ([listing(100 * SECOND_NS, number=None)], True),  # it overlaps the end
    ],
)
def test_an_instance_that_is_gone_before_its_time_is_noticed(listings: list[Listing], *, holds: bool) -> None:
    assert (not list(judge_services.faults([STAY], listings))) is holds


def test_an_instance_that_no_heartbeat_brings_back_is_noticed_when_the_cluster_answered_all_the_time() -> None:
    half_seconds = range(10 * SECOND_NS, 27 * SECOND_NS, SECOND_NS // 2)
    away = [listing(at_ns, number=None) for at_ns in half_seconds]
    assert list(judge_services.faults([STAY], away))
    slow = listing(half_seconds[5] + 1, number=None, took_ns=3 * SECOND_NS)
    assert list(judge_services.faults([STAY], [*away, slow]))  # another did not wait for a gateway
    assert not list(judge_services.faults([STAY], away[:8]))
    assert not list(judge_services.faults([STAY], [*away[:15], *away[18:]]))  # the cluster did not answer
    assert not list(judge_services.faults([STAY], [*away[:15], listing(half_seconds[15]), *away[16:]]))
    assert judge_services.longest_absence_s([STAY], away[:8]) == pytest.approx(3.5)


# --- limiters


def take(
    at_ms: int,
    cost: int = 1,
    *,
    algorithm: Literal["fixed", "gcra"] = "fixed",
    told: bool | None = True,
    left_ms: int = 0,
) -> Take:
    """Of a limit of 4 in 2 seconds, answered after a millisecond."""
    called_ns, reset_ms = at_ms * SECOND_NS // 1000, None if told is None else left_ms
    return Take("l", algorithm, 4, 2, cost, called_ns, called_ns + SECOND_NS // 1000, told, reset_ms)


@pytest.mark.parametrize(
    ("takes", "holds"),
    [
        ([take(100, 4, left_ms=1900), take(1990, 2, told=False, left_ms=10), take(2010, 4, left_ms=1990)], True),
        ([take(100, 4, left_ms=1900), take(1990, 1, left_ms=10)], False),
        ([take(100, 4, left_ms=1900), take(1998, 1, left_ms=1999)], True),  # within what the clocks may differ
        ([take(100, 3, left_ms=1900), take(200, 2, told=None), take(300, left_ms=1700)], True),  # unknown: not granted
        ([take(100, 3, left_ms=1900), take(300, 2, told=False, left_ms=1700)], True),
        ([take(100, 2, left_ms=1900), take(300, 2, told=False, left_ms=1700)], False),
        ([take(100, 2, left_ms=1900), take(200, told=None), take(300, 2, told=False, left_ms=1700)], True),
        ([take(100, 2, left_ms=1900), take(400, told=None), take(300, 2, told=False, left_ms=1700)], False),
    ],
)
def test_a_window_that_gives_more_than_it_has_or_keeps_it_back_is_noticed(takes: list[Take], *, holds: bool) -> None:
    assert (not list(judge_limits.faults(takes))) is holds


@pytest.mark.parametrize(
    ("at_ms", "holds"),
    [
        ([0, 0, 0, 0, 500, 1000], True),
        ([0, 0, 0, 0, 490], False),
        ([0, 500, 1000, 1500, 1500, 1500, 1500, 1500], False),
    ],
)
def test_a_steady_limit_that_gives_too_much_in_any_stretch_is_noticed(at_ms: list[int], *, holds: bool) -> None:
    assert (not list(judge_limits.faults(take(ms, algorithm="gcra") for ms in at_ms))) is holds


# --- flags


def glance(value: str | None, called_s: int, *, copy: int = 0, age_s: float = 1.0, took_ns: int = 1) -> Glance:
    """Of the flag f/a."""
    return Glance(copy, "f/a", value, called_s * SECOND_NS, called_s * SECOND_NS + took_ns, age_s)


def flag_writes() -> list[Operation]:
    """`1` to `3` at seconds 1 to 3, then `4`, of which nobody knows."""
    known = [
        Operation(0, "f/a", Kind.PUT, n * SECOND_NS, n * SECOND_NS + 1, str(n), revision=10 * n) for n in (1, 2, 3)
    ]
    return [*known, Operation(0, "f/a", Kind.PUT, 4 * SECOND_NS, None, "4")]


@pytest.mark.parametrize(
    ("glances", "holds"),
    [
        ([glance(None, 0), glance("1", 1), glance("2", 3), glance("3", 3), glance("4", 4), glance("3", 5)], True),
        ([glance("5", 9)], False),  # nobody wrote it
        ([glance("2", 1)], False),  # not yet
        ([glance("2", 3), glance("1", 4)], False),
        ([glance("2", 3), glance("1", 4, copy=1)], True),
        ([glance("2", 3, took_ns=2 * SECOND_NS), glance("1", 4)], True),  # they overlap
        ([glance("2", 34)], True),
        ([glance("2", 35)], False),  # replaced 32 s before
        ([glance("2", 35, age_s=10.0)], True),  # it says that it is old
        ([glance("3", 99), glance("4", 99)], True),
        ([glance(None, 35)], False),  # nobody took it away
    ],
)
def test_a_flag_that_was_not_written_goes_back_or_is_too_old_is_noticed(glances: list[Glance], *, holds: bool) -> None:
    assert (not list(judge_flags.faults(glances, flag_writes()))) is holds


@pytest.mark.parametrize(("called_s", "returned_s", "holds"), [(2, 2, False), (3, 4, True), (5, None, True)])
def test_a_flag_may_be_absent_when_a_delete_may_have_come_last(
    called_s: int, returned_s: int | None, *, holds: bool
) -> None:
    returned_ns = None if returned_s is None else returned_s * SECOND_NS
    gone = Operation(0, "f/a", Kind.DELETE, called_s * SECOND_NS, returned_ns, result=returned_s is not None or None)
    assert (not list(judge_flags.faults([glance(None, 99)], [*flag_writes(), gone]))) is holds


# --- sessions


def session_loads(*values: str | None) -> list[Operation]:
    """A session of 9 s that is saved twice, touched and deleted, with a load after each; told as `Helpers` tells it."""
    steps = [
        Operation(0, "session/x", Kind.PUT, 0, 1, "a", 9),
        Operation(0, "session/x", Kind.PUT, 10, 11, "b", 9),
        Operation(0, "session/x", Kind.TOUCH, 20, 21, ttl_s=9, result=True),
        Operation(0, "session/x", Kind.DELETE, 30, 31),
    ]
    loads = [
        Operation(1, "session/x", Kind.GET, 10 * at + 5, 10 * at + 6, result=value) for at, value in enumerate(values)
    ]
    return [*steps, *loads]


@pytest.mark.parametrize(
    ("values", "holds"),
    [
        (("a", "b", "b", None), True),
        (("a", "a", "b", None), False),  # as it was before it was saved
        (("a", "b", "b", "b"), False),  # it was deleted
        (("a", "b", None, None), False),  # before its time
    ],
)
def test_a_session_that_is_lost_stale_or_comes_back_is_noticed(values: tuple[str | None, ...], *, holds: bool) -> None:
    history = session_loads(*values)
    assert linearizability.check(history).ok is holds
    assert bool(linearizability.expired_early(history)) is (values[2] is None)
