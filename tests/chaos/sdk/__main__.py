"""The Python clients against a cluster that is hurt all the time: `python -m tests.chaos.sdk --minutes 10 --seed 1`.

A cluster of three nodes and three gateways; processes of clients, half of them threads with `Concord`, half tasks with
`AsyncConcord`, which put, read, delete, touch, increment, compare, transact, list, write many, and add under locks, on keys that
they share; that have sessions, take from limits, register instances of a service, and read flags from memory. Meanwhile leaders, gateways and nodes are killed, stopped for 0.1 to 5 seconds and restarted, one strike after the other.
What must hold:

- no call raises anything but what is documented for it, and `retryable` and `applied` are what is documented for that;
- the history of each key is linearizable: what an exception calls not applied never shows, what it calls unknown may;
- numbers are the sum of what was added to them: each increment that was acknowledged once, each unknown one at most once;
- transactions are seen whole; sections under a lock count once, fences rise, no write under an old one is accepted;
- a stale read knows what its own client wrote;
- every watch is told each change of each key once and in order;
- sessions are keys with histories: one that was saved is there as long as was said, and gone once it was deleted;
- limits give exactly what they have: never more, and nothing is refused that must be there;
- instances are listed for their ttl at least, while heartbeats come and get through, and not once they were taken out; those that
  outlive all strikes are listed soon after;
- flags in memory never go back, are not much older than they say, and agree with the cluster once it is quiet;
- once nothing is struck any more, both clients read every key without an exception.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterable

from concord import AsyncConcord, Concord
from concord.cli.console import table
from tests import linearizability
from tests.chaos.scene import Caller, Scene, parser, play, say
from tests.chaos.sdk import judge, judge_flags, judge_limits, judge_services
from tests.chaos.sdk.blocking import Blocking, driven
from tests.chaos.sdk.crew import LAST_CALL_S, at_work
from tests.chaos.sdk.evidence import Evidence, Listing
from tests.chaos.sdk.household import SERVICE, list_instances, resident
from tests.chaos.sdk.judge_services import BACK_S
from tests.chaos.sdk.nemesis import Nemesis
from tests.chaos.sdk.notes import Notes, Report
from tests.chaos.sdk.steps import WATCHED
from tests.chaos.sdk.worker import END
from tests.e2e.cluster import ROOT, wait_until
from tests.linearizability import Kind, Operation, Scalar
from tests.linearizability.watching import PUT, Written

READER = -1
DRAWN_MAX = 10


def read_back(urls: list[str], keys: Iterable[str]) -> list[Operation]:
    """Read keys with both clients, of which neither may fail now."""
    wanted = sorted(keys)

    def noted(entries: dict[str, Scalar], called_ns: int) -> list[Operation]:
        now_ns = time.monotonic_ns()
        return [Operation(READER, key, Kind.GET, called_ns, now_ns, result=entries.get(key)) for key in wanted]

    async def in_a_task() -> list[Operation]:
        called_ns = time.monotonic_ns()
        async with AsyncConcord(urls) as client:
            return noted((await client.get_many(wanted)).check().values, called_ns)

    called_ns = time.monotonic_ns()
    with Concord(urls) as client:
        found = noted(client.get_many(wanted).check().values, called_ns)
    return found + asyncio.run(in_a_task())


def chaos(scene: Scene, minutes: float, processes: int, clients: int) -> None:
    """One run."""
    scene.cluster.start()
    caller = Caller(scene)
    ends = [f"{WATCHED}{{{key}}}" for key in caller.keys_by_group("end", _groups(caller)).values()]
    nemesis = Nemesis(scene)
    with at_work(scene, processes, clients, ends) as workers:
        nemesis.strike_until(workers.begin(60 * minutes))
        workers.wait_for_clients()
        wait_until(caller.is_whole, "the cluster is whole again", LAST_CALL_S)
        urls = [f"http://127.0.0.1:{scene.cluster.port}"]
        with Concord(urls) as client:
            _wait_for_residents(scene, client, {resident(number * clients) for number in range(processes)})
            closing = [Written(key, PUT, END, client.put(key, END)) for key in ends]
        reports = workers.reports()
    caller.close()
    report = judge.merged(reports)
    report.written += closing
    report.evidence.listings.append(_listing(urls))
    final = read_back(urls, {one.key for one in report.operations})
    _judge(scene, report, final)
    _show(scene, report, nemesis.struck)


def _wait_for_residents(scene: Scene, client: Concord, names: set[str]) -> None:
    """Heartbeats have brought back what was away."""
    service = client.service(SERVICE)

    def are_there() -> bool:
        return names <= {one.instance for one in service.instances()}

    try:
        wait_until(are_there, "the instances of all processes are listed", BACK_S)
    except AssertionError as error:
        scene.violate(f"{error}: {sorted(names)}")


def _listing(urls: list[str]) -> Listing:
    """The service when all have left it."""
    notes = Notes(READER, 0.0)
    with Concord(urls) as client:
        driven(list_instances(Blocking(client), notes))
    return notes.evidence.listings[0]


def _groups(caller: Caller) -> int:
    status = caller.status()
    assert status is not None
    return len(status["groups"])


def _judge(scene: Scene, report: Report, final: list[Operation]) -> None:
    values = {one.key: one.result for one in final}
    history = report.operations + final
    for fault in report.faults:
        scene.violate(fault)
    for key, (written, gone) in {pair[0].key: pair for pair in linearizability.expired_early(history)}.items():
        scene.violate(f"{key} was gone before its time: {written}, then {gone}")
    for fault in (
        *judge.sums(report.operations, values),
        *judge.sections(report.operations, values),
        *judge.fences(report.held, report.guarded),
        *(f"a watch: {fault}" for seen in report.seen for fault in judge.watched(report.written, seen)),
        *(f"a watch: {fault}" for seen in report.seen for fault in judge.deletes(report.operations, seen)),
        *judge_services.faults(report.evidence.stays, report.evidence.listings),
        *judge_flags.faults(report.evidence.glances, report.operations),
        *judge_limits.faults(report.evidence.takes),
    ):
        scene.violate(fault)
    began = time.monotonic()
    verdict = linearizability.check(history)
    scene.figures["checking_s"] = time.monotonic() - began
    evidence = ROOT / "build" / "chaos" / f"sdk-{scene.seed}"
    for key in verdict.undecided:
        scene.violate(f"it could not be decided whether the history of {key} is linearizable")
    for number, violation in enumerate(verdict.violations[:DRAWN_MAX]):
        evidence.mkdir(parents=True, exist_ok=True)
        linearizability.draw(violation, evidence / f"{number}.html")
        scene.violate(f"{violation.key}: {violation.reason}; drawn in {evidence}/{number}.html")
    if scene.violations:
        evidence.mkdir(parents=True, exist_ok=True)
        linearizability.save(sorted(history, key=lambda one: one.called_ns), evidence / "history.jsonl")
    scene.figures |= {"keys": verdict.keys, "operations checked": verdict.operations}


def _show(scene: Scene, report: Report, struck: Counter[str]) -> None:
    by_end = Counter[str]()
    for name, count in report.outcomes.items():
        by_end[name.partition(": ")[2]] += count
    unknown = sum(one.returned_ns is None for one in report.operations)
    scene.figures |= {
        "strikes": struck.total(),
        **struck,
        "calls": by_end.total(),
        **{f"calls: {name}": count for name, count in by_end.most_common()},
        "increments": sum(one.kind is Kind.INCREMENT and one.returned_ns is not None for one in report.operations),
        "writes with unknown outcome": unknown,
        "locks held": len(report.held),
        "writes under fences": len(report.guarded),
        "watches": len(report.seen),
        "watches that began anew": sum(len(seen) - 1 for seen in report.seen),
        "events told": sum(len(part) for seen in report.seen for part in seen),
        **_shown_of(report.evidence, report.operations),
        "longest_over_a_deadline_s": report.overrun_s,
        "lost_lock_not_known_to_be_lost_s": judge.held_twice_s(report.held),
    }
    rows = [
        [name, f"{value:.3f}" if isinstance(value, float) else f"{value:,}"] for name, value in scene.figures.items()
    ]
    say(table(["SDK", ""], rows, sys.stdout))
    say(table(["CALL", "TIMES"], [[name, f"{n:,}"] for name, n in sorted(report.outcomes.items())], sys.stdout))


def _shown_of(evidence: Evidence, operations: list[Operation]) -> dict[str, float]:
    allowed = Counter(take.is_allowed for take in evidence.takes)
    return {
        "registrations": len(evidence.stays),
        "listings of the service": len(evidence.listings),
        "permits given": allowed[True],
        "permits refused": allowed[False],
        "flags read from memory": len(evidence.glances),
        "longest_a_flag_was_older_than_its_age_s": judge_flags.behind_s(evidence.glances, operations),
        "longest_an_instance_was_away_s": judge_services.longest_absence_s(evidence.stays, evidence.listings),
    }


def main() -> int:
    """Run the program."""
    flags = parser(__doc__, rounds=1)
    flags.add_argument("--minutes", type=float, default=10.0, help="(%(default)s)")
    flags.add_argument("--gateways", type=int, default=3, help="(%(default)s)")
    flags.add_argument("--processes", type=int, default=4, help="of clients (%(default)s)")
    flags.add_argument("--clients", type=int, default=6, help="in each process (%(default)s)")
    arguments = flags.parse_args()

    def scenario(scene: Scene) -> None:
        chaos(scene, arguments.minutes, arguments.processes, arguments.clients)

    return play(arguments, scenario, more_flags=("--gateways", str(arguments.gateways)))


if __name__ == "__main__":
    sys.exit(main())
