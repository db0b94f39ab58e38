"""Every way to write, through proxies that lose one answer in five, tried again until it is answered: everything counts once.

Each write has an Idempotency-Key of its own, locks their owner instead. Meanwhile leaders die. Afterwards:

- the sum of all *increments* is what was asked for;
- of those who *put* the same key with `if_absent`, one was told that it did, and its value is there;
- *transactions* that move numbers from one key to another leave a sum of nothing, and have moved what was asked for;
- what was added by reading and writing under a *lock* and its fence is as often there as it was acknowledged;
- what was taken from a *quota* is what was given: each `remaining` is told once.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from tests.chaos.contest import Contest, Door
from tests.chaos.lossy import LossyProxies
from tests.chaos.scene import Scene, say
from tests.e2e.cluster import Reply, wait_until

CLIENTS = 16
LOST = 0.2
QUOTA = 1_000_000
QUOTA_WINDOW_S = 366 * 24 * 3600
TRANSIENT = frozenset({429, 503, 504})
SETTLE_TIMEOUT_S = 60.0
COUNT, LEFT, RIGHT, SECTION = "{c}count", "{c}left", "{c}right", "{c}section"


class Tally(msgspec.Struct):
    """What all clients asked for and were told."""

    asked: Counter[str] = msgspec.field(default_factory=Counter[str])
    remaining: Counter[int] = msgspec.field(default_factory=Counter[int])
    winners: dict[str, list[str]] = {}


class Retrying:
    """One client, which has an answer to each of its writes in the end."""

    def __init__(self, name: str, door: Door, contest: Contest, tally: Tally) -> None:
        self._name = name
        self._door = door
        self._contest = contest
        self._tally = tally
        self._turn = 0

    def step(self) -> None:
        """One write, or some under a lock."""
        self._turn += 1
        steps: list[Callable[[], None]] = [self._increment, self._put, self._move, self._take, self._add_under_lock]
        self._door.rng.choices(steps, (5, 5, 5, 5, 2))[0]()

    def _note(self, what: str, by: int = 1) -> None:
        with self._contest.lock:
            self._tally.asked[what] += by

    def _insist(self, method: str, path: str, body: Any, once: str = "") -> Reply:
        """The answer of the cluster, however often it is lost; other than `success` and refusals there is none."""
        for _ in range(1000):
            reply = self._door.send(method, path, body, once and f"{self._name}-{self._turn}-{once}")
            if reply is not None and reply.status not in TRANSIENT:
                return reply
        raise AssertionError(f"{method} {path}: no answer")

    def _increment(self) -> None:
        by = self._door.rng.randint(1, 9)
        self._insist("POST", f"/kv/{COUNT}/increment", {"by": by}, "increment").data  # noqa: B018 - asserts a success
        self._note("increments")
        self._note("sum", by)

    def _put(self) -> None:
        key, value = f"{{c}}race-{self._turn}", self._name
        reply = self._insist("PUT", f"/kv/{key}", {"value": value, "if_absent": True}, "put")
        assert reply.status in {200, 412}, reply
        self._note("puts if absent")
        with self._contest.lock:
            self._tally.winners.setdefault(key, []).extend([value] * (reply.status == 200))

    def _move(self) -> None:
        by = self._door.rng.randint(1, 9)
        steps = [{"op": "increment", "key": LEFT, "by": -by}, {"op": "increment", "key": RIGHT, "by": by}]
        reply = self._insist("POST", "/txn", {"compare": [], "success": steps, "failure": []}, "move")
        assert reply.data["succeeded"], reply
        self._note("transactions")
        self._note("moved", by)

    def _take(self) -> None:
        ask = {"limit": QUOTA, "window": QUOTA_WINDOW_S}
        taken = self._insist("POST", "/limits/{c}much/acquire", ask, "take").data
        assert taken["allowed"], taken
        with self._contest.lock:
            self._tally.remaining[taken["remaining"]] += 1

    def _add_under_lock(self) -> None:
        owner, lock = f"{self._name}-{self._turn}", "/locks/{c}section"
        reply = self._insist("POST", f"{lock}/acquire", {"owner": owner, "ttl": 10, "wait_ms": 10_000})
        if reply.status == 409:  # it was another's all the time
            return
        fence = reply.data["fence"]
        found = self._insist("GET", f"/kv/{SECTION}", None).data["value"]
        added = self._insist("PUT", f"/kv/{SECTION}", {"value": found + 1, "if_fence": fence}, "add")
        assert added.status in {200, 412}, added
        self._note("sections" if added.status == 200 else "sections that took too long")
        self._insist("POST", f"{lock}/release", {"owner": owner, "fence": fence})


def contend_with_lost_answers(scene: Scene, seconds: float) -> None:
    """See the module's text."""
    contest, tally = Contest(scene, seconds), Tally()
    door = Door(contest.ports, scene.rng)
    for key in (COUNT, LEFT, RIGHT, SECTION):
        _until_done(door, "PUT", f"/kv/{key}", {"value": 0})

    def client(number: int, door: Door) -> None:
        retrying = Retrying(f"{scene.seed}-{number}", door, contest, tally)
        while contest.is_on:
            retrying.step()

    with LossyProxies(contest.ports, LOST, scene.chance("proxies")) as proxies:
        contest.run(CLIENTS, client, through=proxies.ports)
    found = {key: _until_done(door, "GET", f"/kv/{key}").data["value"] for key in (COUNT, LEFT, RIGHT, SECTION)}
    there = {key: _until_done(door, "GET", f"/kv/{key}").data["value"] for key in tally.winners}
    door.close()
    for fault in faults(tally, found, there):
        scene.violate(fault)
    figures = {
        **tally.asked,
        "taken": tally.remaining.total(),
        "answers": proxies.answers,
        "answers lost": proxies.lost,
    }
    scene.figures |= figures
    say(f"retries: {figures}")


def faults(tally: Tally, found: dict[str, int], there: dict[str, str]) -> list[str]:
    """What does not add up.

    Args:
        tally: what clients asked for and were told.
        found: key → the number that it holds in the end.
        there: key of a race → its value in the end.
    """
    asked = tally.asked
    wanted = {COUNT: asked["sum"], LEFT: -asked["moved"], RIGHT: asked["moved"], SECTION: asked["sections"]}
    wrong = [f"{key} is {found[key]}, {number} was asked for" for key, number in wanted.items() if found[key] != number]
    wrong += [
        f"{key}: {winners} were told that they put it, it is {there[key]}"
        for key, winners in tally.winners.items()
        if winners != [there[key]]
    ]
    if set(tally.remaining) != set(range(QUOTA - tally.remaining.total(), QUOTA)):
        wrong.append(f"{tally.remaining.total()} were taken from the quota, but each remaining number is not told once")
    return wrong


def _until_done(door: Door, method: str, path: str, body: Any = None) -> Reply:
    found: list[Reply] = []

    def done() -> bool:
        reply = door.send(method, path, body)
        found.extend([reply] if reply is not None and reply.status == 200 else [])
        return bool(found)

    wait_until(done, f"{method} {path} is answered", SETTLE_TIMEOUT_S)
    return found[0]
