"""The judge of the clients notices what is planted; and a few seconds of the real thing (`python -m tests.chaos.sdk`)."""

import asyncio
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from concord import ConcordError, ConnectionFailed, NotFound, ServerFault, Timeout, UnknownOutcome
from tests.chaos.sdk import judge
from tests.chaos.sdk.evidence import Evidence, Listing, Stay
from tests.chaos.sdk.notes import Guarded, Held, Notes, Report
from tests.e2e.cluster import ROOT
from tests.linearizability import Kind, Operation
from tests.linearizability.watching import DELETE, PUT, STATE, Told, Written
from tests.proof.steps import Figures

TIMEOUT_S = 120.0
SECOND_NS = 1_000_000_000
SEED = 1328  # half a second in, a leader and a gateway are killed at once


def increments(*returned: bool) -> list[Operation]:
    """Of 1, 2, 4, …, each acknowledged or with an unknown outcome."""
    return [Operation(0, "c", Kind.INCREMENT, n, n + 1 if known else None, 1 << n) for n, known in enumerate(returned)]


@pytest.mark.parametrize(("final", "holds"), [(1, True), (3, True), (7, True), (5, True), (2, False), (9, False)])
def test_unknown_increments_count_once_or_not_at_all(final: int, *, holds: bool) -> None:
    assert (not list(judge.sums(increments(True, False, False), {"c": final}))) is holds


def test_a_section_that_is_lost_or_counts_twice_is_noticed() -> None:
    history = [
        Operation(0, "l/section", Kind.CAS, n, returned, (n or None, n + 1), result=returned is not None or None)
        for n, returned in enumerate([1, 2, None])
    ]
    assert [bool(list(judge.sections(history, {"l/section": n}))) for n in (1, 2, 3, 4)] == [True, False, False, True]


def test_fences_rise_and_old_ones_are_refused() -> None:
    held = [Held("l", fence, fence * SECOND_NS, (fence + 1) * SECOND_NS) for fence in (1, 2, 3)]
    assert not list(judge.fences(held, [Guarded("k", 1, 1), Guarded("k", 2, 1), Guarded("k", 3, 2)]))
    assert list(judge.fences([*held, Held("l", 3, 9 * SECOND_NS, 9 * SECOND_NS)], []))
    assert list(judge.fences(held, [Guarded("k", 1, 2), Guarded("k", 2, 1)]))
    assert judge.held_twice_s(held) == 0.0
    assert judge.held_twice_s([*held, Held("l", 4, 3 * SECOND_NS + SECOND_NS // 2, 5 * SECOND_NS)]) == 0.5


def test_a_watch_that_leaves_something_out_is_noticed_also_when_it_began_anew() -> None:
    written = [Written("w/a", PUT, str(n), n) for n in (1, 2, 3)]
    told = [Told("w/a", PUT, n, str(n)) for n in (1, 2, 3)]
    state = Told("w/a", STATE, 3, "3")
    assert not judge.watched(written, [told])
    assert judge.watched(written, [[told[0], told[2]]])
    assert not judge.watched(written, [told[:1], [state]])
    assert judge.watched(written, [told[:1], [msgspec.structs.replace(state, revision=2, value="2")]])
    assert judge.watched(written, [told[:2], [Told("w/a", STATE, 4, "nobody's")]])
    deleted = [Operation(0, "w/a", Kind.DELETE, 1, 2, result=True)]
    assert not list(judge.deletes(deleted, [[Told("w/a", DELETE, 2)]]))
    assert list(judge.deletes(deleted, [told]))


@pytest.mark.parametrize(
    ("error", "faults"),
    [
        (ConnectionFailed("away"), 0),
        (UnknownOutcome("lost"), 0),
        (NotFound("allowed here"), 0),
        (ServerFault("never"), 1),
        (Timeout("lies", applied="unknown"), 1),
        (ConnectionFailed("lies", retryable=False), 1),
    ],
)
def test_exceptions_are_held_to_their_word(error: ConcordError, faults: int) -> None:
    async def failing() -> int:
        raise error

    notes = Notes(0, 1.0)
    opened = notes.opened(Kind.TOUCH, "k", ttl_s=1)
    assert asyncio.run(notes.ask("touch", failing(), [opened], [NotFound])) is error
    assert len(notes.faults) == faults
    assert notes.operations == ([opened] if error.applied == "unknown" else [])


def test_a_read_has_no_unknown_outcome() -> None:
    async def failing() -> int:
        raise UnknownOutcome("of a read")

    notes = Notes(0, 1.0)
    asyncio.run(notes.ask("get", failing()))
    assert len(notes.faults) == 1


def test_reports_add_up() -> None:
    stay, listing = Stay(1, "i", 2, 3), Listing(4, 5)
    one, other = (
        Report(faults=["a"], outcomes={"x": 1}, overrun_s=2.0, evidence=Evidence(stays=[stay])),
        Report(outcomes={"x": 2, "y": 1}, overrun_s=1.0, evidence=Evidence(stays=[stay], listings=[listing])),
    )
    whole = judge.merged([one, other])
    assert whole.evidence == Evidence(stays=[stay, stay], listings=[listing])
    assert (whole.faults, whole.outcomes, whole.overrun_s) == (["a"], {"x": 3, "y": 1}, 2.0)


def test_both_clients_hold_their_word_for_some_seconds_of_chaos(tmp_path: Path) -> None:
    written = tmp_path / "figures.json"
    words = [
        "--minutes",
        "0.1",
        "--processes",
        "2",
        "--clients",
        "4",
        "--groups",
        "3",
        "--gateways",
        "2",
        "--json",
        str(written),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.sdk", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = msgspec.json.decode(written.read_bytes(), type=Figures)
    wanted = (
        "strikes",
        "calls: done",
        "operations checked",
        "events told",
        "registrations",
        "listings of the service",
        "flags read from memory",
    )
    assert all(float(str(figures[name])) > 0 for name in wanted), figures
