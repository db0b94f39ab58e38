"""Many clients want the same thing through three gateways while leaders die: `python -m tests.chaos.contention`.

Three contests, each for `--minutes`, with a strike (SIGKILL, or SIGSTOP for two seconds) at the leader of the group every few
seconds:

- *lock*: 50 clients queue for one lock, write under its fence and give it back; some oversleep and write late. Fences must strictly
  rise, no write under an older fence may be accepted after one under a newer, and who asked first has it first, within two places.
- *quota*: 32 clients take from a limit of 1,000 in `--window` seconds, as fast as they can. In each window each `remaining` from 999 down to 0
  must be told once: exactly 1,000 are allowed in every window that refuses somebody, and never more (windows.py). On a slow machine
  nobody may be refused for want of takers: then the window has to be longer, or the limit lower.
- *retries*: 16 clients write in every way, through proxies that lose one answer in five, and try again until they are answered.
  The sums must be what was asked for (retries.py).
"""

import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import msgspec

from tests.chaos.contest import GATEWAYS, GUARDED, Contest, Door
from tests.chaos.retries import contend_with_lost_answers
from tests.chaos.scene import Scene, parser, percentile, play, say
from tests.chaos.windows import Take, faults, windows_of

LOCKERS, TAKERS = 50, 32
LIMIT = 1_000
TRIES_MAX = 5  # of one take, with the same idempotency key
AFTER_STRIKE_S = 4.0  # who asks so soon after a strike may have had to ask twice
JITTER_S = 0.3  # two who ask within it may come to the queue in any order
OVERTAKEN_MAX = 2
LOCK = "/locks/{c}lock"


class Grant(msgspec.Struct, frozen=True):
    """A lock that a client got."""

    owner: str
    asked_at: float
    told_at: float
    fence: int


# --- the lock


def contend_for_lock(scene: Scene, seconds: float) -> None:
    """See the module's text."""
    contest = Contest(scene, seconds)
    grants: list[Grant] = []
    writes: list[tuple[int, int]] = []  # revision, fence
    refused = Counter[str]()

    def write(door: Door, fence: int) -> None:
        reply = door.send("PUT", GUARDED, {"value": fence, "if_fence": fence})
        with contest.lock:
            if reply is not None and reply.status == 200:
                writes.append((reply.data["revision"], fence))
            refused["writes under an old fence"] += reply is not None and reply.status == 412

    def client(number: int, door: Door) -> None:
        turn = 0
        while contest.is_on:
            turn += 1
            owner, asked_at = f"{number}-{turn}", time.monotonic()
            reply = door.send("POST", LOCK + "/acquire", {"owner": owner, "ttl": 2, "wait_ms": 20_000})
            if reply is None or reply.status != 200:
                refused["asked in vain"] += 1
                continue
            fence = reply.data["fence"]
            with contest.lock:
                grants.append(Grant(owner, asked_at, time.monotonic(), fence))
            write(door, fence)
            if door.rng.random() < 0.05:  # it sleeps over its time, wakes up and believes that it still has the lock
                time.sleep(3.5)
                write(door, fence)
            door.send("POST", LOCK + "/release", {"owner": owner, "fence": fence})

    contest.run(LOCKERS, client)
    _judge_locks(scene, contest, grants, writes)
    waits = [grant.told_at - grant.asked_at for grant in grants]
    scene.figures |= {
        "grants": len(grants),
        "guarded writes": len(writes),
        "strikes at the lock's leader": len(contest.struck) // 2,
        "longest_wait_s": max(waits),
        **refused,
    }
    say(f"lock: {scene.figures}; waited p50 {percentile(waits, 0.5):.2f} s")


def _judge_locks(scene: Scene, contest: Contest, grants: list[Grant], writes: list[tuple[int, int]]) -> None:
    fences = [grant.fence for grant in grants]
    for fence, times in Counter(fences).items():
        if times > 1:
            scene.violate(f"fence {fence} was given {times} times")
    told, highest = sorted(grants, key=lambda grant: grant.told_at), 0
    position = 0
    for grant in sorted(grants, key=lambda grant: grant.asked_at):
        while position < len(told) and told[position].told_at < grant.asked_at:
            highest = max(highest, told[position].fence)
            position += 1
        if grant.fence <= highest:
            scene.violate(f"{grant.owner} got fence {grant.fence}, but {highest} had been given before it asked")
    newest = 0
    for revision, fence in sorted(writes):
        if fence < newest:
            scene.violate(f"a write under fence {fence} was accepted at {revision}, after one under {newest}")
        newest = max(newest, fence)
    scene.figures["overtaken at most"] = _judge_fairness(scene, contest, grants)


def _judge_fairness(scene: Scene, contest: Contest, grants: list[Grant]) -> int:
    """How many who asked later were served before somebody, at most; those who asked around a strike do not count."""
    calm = [
        grant
        for grant in grants
        if not any(-1.0 < grant.asked_at - struck < AFTER_STRIKE_S for struck in contest.struck)
    ]
    worst = 0
    for grant in calm:
        overtakers = [
            other for other in calm if other.asked_at > grant.asked_at + JITTER_S and other.fence < grant.fence
        ]
        worst = max(worst, len(overtakers))
        if len(overtakers) > OVERTAKEN_MAX:
            scene.violate(f"{grant.owner} was overtaken by {[other.owner for other in overtakers]}")
    return worst


# --- the quota


class Taken(msgspec.Struct, frozen=True):
    """What clients were told: at once, only when they asked again (each `remaining`), and never."""

    first: list[Take]
    again: Counter[int]
    unknown: Counter[str]


def contend_for_quota(scene: Scene, seconds: float, limit: int, window_s: int) -> None:
    """See the module's text."""
    contest = Contest(scene, seconds)
    found = Taken([], Counter(), Counter())
    ask = {"limit": limit, "window": window_s}

    def client(number: int, door: Door) -> None:
        turn = 0
        while contest.is_on:
            turn += 1
            sent_s, tries = time.monotonic(), 1
            reply = door.send("POST", "/limits/{c}quota/acquire", ask, f"{number}-{turn}")
            while (reply is None or reply.status not in {200, 429, 503}) and tries < TRIES_MAX:
                tries += 1
                reply = door.send("POST", "/limits/{c}quota/acquire", ask, f"{number}-{turn}")
            with contest.lock:
                if reply is None or reply.status != 200:
                    found.unknown["answers that are not known"] += (
                        reply is None or reply.status not in {429, 503} or tries > 1
                    )
                    continue
                told, left = reply.data, reply.data["remaining"] if reply.data["allowed"] else -1
                if tries == 1:
                    found.first.append(Take(sent_s, time.monotonic(), told["reset_ms"] / 1000, left))
                elif left >= 0:
                    found.again[left] += 1

    contest.run(TAKERS, client)
    _judge_quota(scene, contest, limit, window_s, found)


def _judge_quota(scene: Scene, contest: Contest, limit: int, window_s: int, found: Taken) -> None:
    windows = windows_of(found.first, limit, window_s)
    for fault in faults(windows, limit, window_s, found.unknown.total(), found.again):
        scene.violate(fault)
    used_up = [window for window in windows if window.refused]
    if not used_up:
        scene.violate(f"none of {len(windows)} windows was used up, so nothing was shown")
    struck = [window for window in used_up if any(window.begun_s < at < window.told_s for at in contest.struck)]
    exact = [window for window in used_up if window.allowed == limit]
    scene.figures |= {
        "limit": limit,
        "window_s": window_s,
        "takers": TAKERS,
        "gateways": GATEWAYS,
        "windows": len(windows),
        "windows used up": len(used_up),
        "of them given exactly the limit by first answers alone": len(exact),
        "of them through a strike at the limit's leader": len(struck),
        "allowed": sum(window.allowed for window in windows) + found.again.total(),
        "of them told only when asked again": found.again.total(),
        "strikes at the limit's leader": len(contest.struck) // 2,
        **found.unknown,
    }
    say(f"quota: {scene.figures}")


CONTESTS = ("lock", "quota", "retries")


def main() -> int:
    """Run the program."""
    flags = parser(__doc__, rounds=1)
    flags.add_argument("--minutes", type=float, default=10.0, help="of each contest (%(default)s)")
    flags.add_argument("--contests", nargs="+", choices=CONTESTS, default=CONTESTS)
    flags.add_argument("--limit", type=int, default=LIMIT, help="of takes in a window (%(default)s)")
    flags.add_argument("--window", type=int, default=5, metavar="S", help="of the rate limit (%(default)s)")
    arguments = flags.parse_args()

    def scenario(scene: Scene) -> None:
        scene.cluster.start()
        door = Door([scene.cluster.port], scene.rng)
        door.send("PUT", GUARDED, {"value": 0})
        door.close()
        contests: dict[str, Callable[[Scene, float], None]] = {
            "lock": contend_for_lock,
            "quota": partial(contend_for_quota, limit=arguments.limit, window_s=arguments.window),
            "retries": contend_with_lost_answers,
        }
        for name in arguments.contests:
            contests[name](scene, 60 * arguments.minutes)

    return play(arguments, scenario, more_flags=("--gateways", str(GATEWAYS)))


if __name__ == "__main__":
    sys.exit(main())
