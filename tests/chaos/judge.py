"""What must hold after each round: nobody is wedged, all have caught up, nothing acknowledged is lost, every read had a reason."""

import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from loadtest.node_status import Indexes, commit_indexes, has_applied
from tests import linearizability
from tests.chaos import states
from tests.chaos.clients import Door, Recorder
from tests.chaos.fleet import Fleet
from tests.chaos.plan import PLACEMENT
from tests.linearizability import Kind, Operation, Scalar
from tests.linearizability.check import by_key
from wire.messages import NodeStatus

WEDGED_S = 30.0
POLL_S = 0.05
BULK = 250
SAMPLE = 500
DRAWN_MAX = 10  # violations of a round
READER = -1
DISK_ERRORS = ("ENOSPC", "EIO", "No space left")


class Recovery(msgspec.Struct, frozen=True):
    """How a cluster got well again, in seconds since the last fault was lifted.

    Attributes:
        answer_s: until every process answered.
        catch_up_s: from then on, until every group was led and every replica had applied what was committed by then.
        ready_s: until both gateways were ready.
    """

    answer_s: float
    catch_up_s: float
    ready_s: float


class Judge:
    """Looks at a fleet that nobody strikes.

    Args:
        fleet: the cluster.
        folder: where evidence goes.
        violate: told of every broken promise.
        catch_up_s: how long replicas may take to catch up.
        rng: chooses which settled keys are read again.
        keep: save every history, not only those that have no order.
    """

    def __init__(
        self,
        fleet: Fleet,
        folder: Path,
        violate: Callable[[str], None],
        *,
        catch_up_s: float,
        rng: random.Random,
        keep: bool = False,
    ) -> None:
        self._fleet = fleet
        self._folder = folder
        self._violate = violate
        self._catch_up_s = catch_up_s
        self._rng = rng
        self._keep = keep
        self._settled: dict[str, Scalar] = {}

    # --- processes and replicas ------------------------------------------------------------------------------------

    def wait_until_well(self) -> Recovery:
        """Let programs start and replicas catch up; say how long it took, and complain when it was too long."""
        began = time.monotonic()
        for program in self._fleet.programs:
            program.hurry()
        statuses = self._wait(self._answering, WEDGED_S, self._wedged)
        answered = time.monotonic()
        wanted = commit_indexes(statuses.values())
        self._wait(lambda: self._caught_up(wanted), self._catch_up_s, lambda: self._lagging(wanted))
        caught_up = time.monotonic()
        self._wait(self._ready, WEDGED_S, lambda: "a gateway is not ready")
        return Recovery(answered - began, caught_up - answered, time.monotonic() - began)

    def wait_until_started(self) -> None:
        """Wait for a new cluster to have its groups and to be ready."""
        self._wait(lambda: self._caught_up({}), WEDGED_S, lambda: self._lagging({}))
        self._wait(self._ready, WEDGED_S, lambda: "a gateway is not ready")

    def _wait(
        self, look: Callable[[], dict[str, NodeStatus]], limit_s: float, why: Callable[[], str]
    ) -> dict[str, NodeStatus]:
        """Wait for `look` to see something; late is a violation, and later than `WEDGED_S` the end."""
        began, late = time.monotonic(), False
        while not (seen := look()):
            waited_s = time.monotonic() - began
            if waited_s > limit_s and not late:
                late = True
                self._violate(f"not within {limit_s:.0f} s: {why()}")
            if waited_s > limit_s + WEDGED_S:
                raise WedgedError(why())
            time.sleep(POLL_S)
        return seen

    def _answering(self) -> dict[str, NodeStatus]:
        """The statuses once everybody answers."""
        statuses = self._fleet.statuses()
        alive = len(statuses) == len(self._fleet.nodes) and not self._silent_gateways("/livez")
        return statuses if alive else {}

    def _wedged(self) -> str:
        silent = sorted(self._fleet.nodes.keys() - self._fleet.statuses().keys())
        return f"{', '.join([*silent, *self._silent_gateways('/livez')])} do not answer"

    def _silent_gateways(self, path: str) -> list[str]:
        def answers(host: str) -> bool:
            door = Door([host], None, lambda _text: None)
            reply = door.send("GET", path)
            door.close()
            return reply is not None and reply.status == 200

        names = self._fleet.gateway_names
        return [
            n for n, there in zip(names, self._fleet.inside.map(answers, self._fleet.doors), strict=True) if not there
        ]

    def _ready(self) -> dict[str, NodeStatus]:
        return {} if self._silent_gateways("/readyz") else self._fleet.statuses()

    def _caught_up(self, wanted: Indexes) -> dict[str, NodeStatus]:
        statuses = self._fleet.statuses()
        whole = len(statuses) == len(self._fleet.nodes)
        led = {group.id for status in statuses.values() for group in status.groups if group.role == "leader"}
        every = set(range(PLACEMENT, self._fleet.size.groups + 1))
        return statuses if whole and led >= every and all(has_applied(s, wanted) for s in statuses.values()) else {}

    def _lagging(self, wanted: Indexes) -> str:
        statuses = self._fleet.statuses()
        lagging = [
            f"{name} has applied {group.applied_index} of {wanted[group.id]} in group {group.id}"
            for name, status in statuses.items()
            for group in status.groups
            if group.applied_index < wanted.get(group.id, 0)
        ]
        led = {group.id for status in statuses.values() for group in status.groups if group.role == "leader"}
        unled = set(range(PLACEMENT, self._fleet.size.groups + 1)) - led
        silent = self._fleet.nodes.keys() - statuses.keys()
        return f"every replica has caught up: {lagging}; groups without a leader: {sorted(unled)}; silent: {sorted(silent)}"

    def compare_states(self) -> None:
        """The replicas of every group hold the same."""
        hosts: dict[int, list[str]] = {}
        for name, status in self._fleet.statuses().items():
            for group in status.groups:
                if group.id != PLACEMENT:
                    hosts.setdefault(group.id, []).append(name)
        for text in states.differences(self._fleet, hosts):
            self._violate(text)

    def look_at_deaths(self) -> int:
        """Nobody ended by itself, but on a disk that was made to fail, and then it said so; how many did."""
        of_disks = 0
        for program in self._fleet.programs:
            for death in program.deaths:
                if death.excused and any(name in death.why for name in DISK_ERRORS):
                    of_disks += 1
                else:
                    self._violate(f"{death.name} ended by itself with {death.code}: {death.why}")
            program.deaths.clear()
            program.excused = False
        return of_disks

    # --- what clients saw ------------------------------------------------------------------------------------------

    def read_all(self, keys: Iterable[str]) -> list[Operation]:
        """Read keys through every gateway; each must be readable now."""
        wanted = sorted(keys)

        def read(host: str) -> list[Operation]:
            recorder = Recorder(READER, Door([host], None, self._violate), self._violate)
            for at in range(0, len(wanted), BULK):
                found = recorder.bulk_get(wanted[at : at + BULK])
                if len(found) != len(wanted[at : at + BULK]):
                    missing = set(wanted[at : at + BULK]) - found.keys()
                    self._violate(f"{len(missing)} keys cannot be read although all is well, {min(missing)} for one")
            recorder.close()
            return recorder.history

        return [operation for history in self._fleet.inside.map(read, self._fleet.doors) for operation in history]

    def check(self, history: list[Operation], name: str) -> None:
        """There is an order of the operations on each key that explains every answer."""
        if self._keep:
            self._save(history, name)
        for key, (written, gone) in {pair[0].key: pair for pair in linearizability.expired_early(history)}.items():
            self._violate(f"{name}: {key} was gone before its time: {written}, then {gone}")
        verdict = linearizability.check(history)
        for undecided in verdict.undecided:
            self._violate(f"{name}: it could not be decided whether the history of {undecided} is linearizable")
        for number, violation in enumerate(verdict.violations):
            self._save(history, name)
            page = self._folder / f"{name}-{number}.html"
            if number < DRAWN_MAX:
                linearizability.draw(violation, page)
                linearizability.save(violation.operations, page.with_suffix(".jsonl"))
            self._violate(
                f"{name}, {violation.key}: {violation.reason}; {page.name if number < DRAWN_MAX else 'not drawn'}"
            )

    def _save(self, history: list[Operation], name: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        linearizability.save(sorted(history, key=lambda operation: operation.called_ns), self._folder / f"{name}.jsonl")

    def settle(self, history: list[Operation], lasting: Iterable[str]) -> None:
        """Take note of the keys that nobody will write any more: those whose last state is known for certain."""
        operations = by_key(history)
        for key in lasting:
            of_key = operations.get(key, [])
            last = max(of_key, key=lambda operation: operation.called_ns, default=None)
            unknown = any(operation.returned_ns is None for operation in of_key)
            if last is not None and not unknown and last.kind is Kind.GET:
                self._settled[key] = last.result

    def look_back(self, *, everything: bool) -> int:
        """What was settled in earlier rounds is still there; how much of it was read."""
        keys = sorted(self._settled)
        chosen = keys if everything else self._rng.sample(keys, min(SAMPLE, len(keys)))
        found = self.read_all(chosen)
        for operation in found:
            expected = self._settled[operation.key]
            if operation.result != expected:
                self._violate(f"{operation.key} was {expected!r} when its round ended and is {operation.result!r} now")
        return len(found)


class WedgedError(Exception):
    """The cluster does not get well: no further round makes sense."""
