"""SIGKILL the leader of a random group, again and again, and measure how long that group takes no writes.

`python -m tests.chaos.failover` starts a cluster of its own. A client retries every 20 ms with a short deadline, as a
client in a hurry would; the time counts from the signal to the first write that succeeds. Over 3 s is a violation.
"""

import signal
import sys
import time
from collections import Counter

from tests.chaos.scene import Caller, Outcome, Scene, parser, percentile, play, say
from tests.e2e.cluster import wait_until

RETRY_S = 0.02
DEADLINE_MS = 500
LIMIT_S = 3.0
GIVE_UP_S = 30.0


class Failover:
    """Kills leaders and writes to their groups."""

    def __init__(self, scene: Scene, groups: int) -> None:
        scene.cluster.start()
        self._scene = scene
        self._caller = Caller(scene)
        self._hasty = Caller(scene, DEADLINE_MS)
        self._keys = self._caller.keys_by_group("failover", groups)
        self._number = 0
        self.seconds: list[float] = []
        self.outcomes: Counter[Outcome] = Counter()

    def round(self) -> None:
        """Kill one leader and wait for its group."""
        self._caller.wait_until_whole()
        group, key = self._scene.rng.choice(sorted(self._keys.items()))
        leader = self._leader_that_writes(group, key)
        term = self._caller.group(group)["term"]
        self._scene.cluster.kill(leader, signal.SIGKILL)
        seconds = self._time_to_write(key)
        self.seconds.append(seconds)
        elections = self._caller.group(group)["term"] - term
        say(f"group {group}: {leader} killed, writes again after {seconds:.3f} s and {elections} elections")
        if seconds > LIMIT_S:
            self._scene.violate(f"group {group} took no write for {seconds:.3f} s")
        reply = self._caller.send("GET", f"/kv/{key}")
        if reply is None or reply.status != 200 or reply.data["value"] != self._number:
            self._scene.violate(f"{key} is {reply and reply.body!r}, acknowledged was {self._number}")

    def close(self) -> None:
        """Wait for the last one killed, so that what it says when it comes back is seen, too."""
        self._caller.wait_until_whole()
        self._caller.close()
        self._hasty.close()

    def _leader_that_writes(self, group: int, key: str) -> str:
        """The group's leader, which took a write a moment ago."""
        found: list[str] = []

        def writes() -> bool:
            before = self._caller.leader(group)
            if before and self._write(key) is Outcome.DONE and self._caller.leader(group) == before:
                found.append(before)
            return bool(found)

        wait_until(writes, f"group {group} has a leader that takes writes")
        return found[0]

    def _write(self, key: str) -> Outcome:
        self._number += 1
        return self._hasty.put(key, self._number)

    def _time_to_write(self, key: str) -> float:
        began = time.monotonic()
        while (outcome := self._write(key)) is not Outcome.DONE:
            self.outcomes[outcome] += 1
            assert time.monotonic() - began < GIVE_UP_S, f"no write to {key} for {GIVE_UP_S} s"
            time.sleep(RETRY_S)
        return time.monotonic() - began


def main() -> int:
    """Run the program."""
    arguments = parser(__doc__, rounds=20).parse_args()

    def scenario(scene: Scene) -> None:
        failover = Failover(scene, arguments.groups)
        for _ in range(arguments.rounds):
            failover.round()
        failover.close()
        p50, p99 = percentile(failover.seconds, 0.5), percentile(failover.seconds, 0.99)
        worst = max(failover.seconds)
        scene.figures.update(p50_s=p50, p99_s=p99, max_s=worst)
        say(f"no writes: p50 {p50:.3f} s, p99 {p99:.3f} s, max {worst:.3f} s")
        say("refused meanwhile: " + ", ".join(f"{n} {outcome.name}" for outcome, n in failover.outcomes.items()))

    return play(arguments, scenario)


if __name__ == "__main__":
    sys.exit(main())
