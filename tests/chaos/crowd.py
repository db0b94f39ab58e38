"""Everybody who uses the cluster in a round: clients with habits, and for each group one that writes all the time.

The latter's key is in that group, so the first of its writes that was begun after a strike and acknowledged shows for how
long the group took no writes. Others read the same key all the time, through the other gateway and from the nodes themselves,
which would show a leader that answers although another was elected.
"""

import bisect
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from tests.chaos.clients import DEADLINES_MS, REFUSED_PAUSE_S, Door, Habits, Keys, Recorder
from tests.chaos.direct import DirectReaders
from tests.chaos.fleet import Fleet
from tests.linearizability import Operation

CLIENTS = 12
PULSE_EVERY_S = 0.1
PULSE_RETRY_S = 0.02
PULSE_DEADLINE_MS = 500
JOIN_TIMEOUT_S = 40.0
PROBES_MAX = 400


class Pulse:
    """Writes one key again and again; knows when it was acknowledged."""

    def __init__(self, recorder: Recorder, key: str) -> None:
        self.recorder = recorder
        self.key = key
        self._acknowledged: list[tuple[int, int]] = []  # called and returned, in this order

    def run(self, stopping: threading.Event) -> None:
        """Go on until told to stop."""
        while not stopping.is_set():
            done = self.recorder.put(self.key)
            if done:
                last = self.recorder.history[-1]
                self._acknowledged.append((last.called_ns, last.returned_ns or 0))
            else:
                self.recorder.turn()  # the gateway may be the one that is cut off
            stopping.wait(PULSE_EVERY_S if done else PULSE_RETRY_S)

    def watch(self, reader: Recorder, stopping: threading.Event) -> None:
        """Read it until told to stop."""
        while not stopping.is_set():
            reader.get(self.key)
            stopping.wait(REFUSED_PAUSE_S if reader.was_refused else PULSE_EVERY_S)

    def first_after(self, since_ns: int) -> int | None:
        """When the first write was acknowledged that was begun after an instant; None: none was."""
        at = bisect.bisect_left(self._acknowledged, (since_ns, 0))
        return self._acknowledged[at][1] if at < len(self._acknowledged) else None


class Crowd:
    """The clients of one round.

    Args:
        fleet: where they go.
        keys: what they read and write.
        rng: their chance.
        rate: requests a second, all clients together and pulses apart.
        complain: told what is wrong with an answer.
    """

    def __init__(
        self, fleet: Fleet, keys: Keys, rng: random.Random, *, rate: float, complain: Callable[[str], None]
    ) -> None:
        self._fleet = fleet
        self._complain = complain
        self._pause_s = CLIENTS / rate
        self._rng = rng
        self._stopping = threading.Event()
        self._futures: list[Future[None]] = []
        self._recorders: list[Recorder] = []
        self._direct: DirectReaders | None = None
        self.pulses: dict[int, Pulse] = {}
        self.keys = keys

    def begin(self, prefix: str) -> None:
        """Find a key in each group, and let everybody go on until `end`."""
        for group, key in self._keys_by_group(prefix).items():
            pulse = self.pulses[group] = Pulse(self._recorder(PULSE_DEADLINE_MS), key)
            self._futures.append(self._fleet.inside.start(pulse.run, self._stopping))
            reader = self._recorder(PULSE_DEADLINE_MS)  # the next one begins at the other gateway
            self._futures.append(self._fleet.inside.start(pulse.watch, reader, self._stopping))
        self._direct = self._read_from_nodes()
        others = [pulse.key for pulse in self.pulses.values()]
        for number in range(CLIENTS):
            rng = random.Random(self._rng.random())
            habits = Habits(
                rng, recorder := self._recorder(DEADLINES_MS[number % len(DEADLINES_MS)]), self.keys, others
            )
            self._futures.append(self._fleet.inside.start(self._live, habits, recorder, rng))

    def end(self) -> list[Operation]:
        """Wait for everybody's last request, and return what all of them saw."""
        self._stopping.set()
        for future in self._futures:
            future.result(JOIN_TIMEOUT_S)
        for recorder in self._recorders:
            recorder.close()
        direct = self._direct.history if self._direct is not None else []
        return [*direct, *(operation for recorder in self._recorders for operation in recorder.history)]

    def outcomes(self) -> Counter[str]:
        """Operations by kind and outcome."""
        done = sum((recorder.outcomes for recorder in self._recorders), Counter[str]())
        done["get done by a node itself"] = len(self._direct.history) if self._direct is not None else 0
        return done

    def _read_from_nodes(self) -> DirectReaders:
        addresses = [self._fleet.node_address(name) for name in self._fleet.node_names]
        keys = {group: pulse.key for group, pulse in self.pulses.items()}
        readers = DirectReaders(addresses, keys, self._complain)
        self._futures.append(self._fleet.inside.start(readers.run, self._stopping))
        return readers

    def _live(self, habits: Habits, recorder: Recorder, rng: random.Random) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            habits.step()
            left_s = rng.uniform(0.0, 2 * self._pause_s) - (time.monotonic() - began)
            self._stopping.wait(max(left_s, REFUSED_PAUSE_S if recorder.was_refused else 0.0))

    def _recorder(self, deadline_ms: int) -> Recorder:
        doors = self._fleet.doors[:]
        if len(self._recorders) % 2:
            doors.reverse()
        number = len(self._recorders)
        self._recorders.append(Recorder(number, Door(doors, deadline_ms, self._complain), self._complain))
        return self._recorders[-1]

    def _keys_by_group(self, prefix: str) -> dict[int, str]:
        """A key in each group; a get says which group it asked, also when the key is not there."""
        return self._fleet.inside.run(_find_keys, prefix, self._fleet.doors, self._fleet.size.groups)


def _find_keys(prefix: str, doors: list[str], groups: int) -> dict[int, str]:
    problems: list[str] = []
    door = Door(doors, None, problems.append)
    found: dict[int, str] = {}
    for number in range(PROBES_MAX):
        key = f"{prefix}/p{number}"
        door.send("PUT", f"/kv/{key}", {"value": 0})
        reply = door.send("GET", f"/kv/{key}")
        if reply is not None and reply.status == 200:
            found.setdefault(int(reply.headers["x-concord-group"]), f"{key}/{{{key}}}")
        if len(found) == groups:
            break
    door.close()
    assert len(found) == groups, f"only groups {sorted(found)} took a key; {problems[:3]}"
    return found


def overlaps(one: tuple[int, int], others: Iterable[tuple[int, int]]) -> bool:
    """Whether a stretch of time has an instant in common with any of the others."""
    return any(began <= one[1] and one[0] <= ended for began, ended in others)
