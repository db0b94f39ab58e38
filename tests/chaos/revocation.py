"""How late a revoked token still opens a door: `python -m tests.chaos.revocation`.

Each round makes a token, uses it at three gateways as fast as they answer, and revokes it at one of them. What counts is the time
from the answer to the revocation to when the last request was sent that any gateway let in. (One that was let in before may still be
carried out: it waits for the next leader when that of its group has died.) Rounds take turns: nothing else happens;
placement's leader is killed just before the revocation; it is killed the moment it was answered.
"""

import enum
import itertools
import sys
import threading
import time
from collections.abc import Sequence

import msgspec

from loadtest.node_status import ask
from tests.chaos.scene import Scene, parser, percentile, play, say
from tests.e2e.cluster import Client, LocalCluster, Reply, wait_until
from tests.e2e.guarded import GATEWAYS, Guarded, first_token

LIMIT_S = 1.0
CLIENTS = 2  # for each gateway
WARM_SUCCESSES = 20  # of each client before the revocation
QUIET_S = 2.0  # so long nobody may be let in for it to count as the end
TIMEOUT_S = 60.0
PLACEMENT = 0  # its group
UNAUTHORIZED = 401


class Strike(enum.StrEnum):
    """What happens to placement's leader."""

    NOTHING = "nothing"
    KILLED_BEFORE = "killed before"
    KILLED_AFTER = "killed after"


class Visitor(threading.Thread):
    """Uses a token at one gateway until told to stop.

    Attributes:
        successes: how often it was let in.
        refusals: how often it was told that the token is not good.
        relapses: how often it was let in after it had been told so.
        last_s: when the last request was sent that was let in, by the monotonic clock.
    """

    def __init__(self, guarded: Guarded, port: int, token: str) -> None:
        super().__init__(name=f"visitor-{port}", daemon=True)
        self.successes = 0
        self.refusals = 0
        self.relapses = 0
        self.last_s = 0.0
        self._guarded = guarded
        self._client = Client(port, TIMEOUT_S)
        self._token = token
        self._stopping = threading.Event()

    def run(self) -> None:
        """Read one key again and again."""
        while not self._stopping.is_set():
            sent_s = time.monotonic()
            try:
                status = self._guarded.ask(self._client, "GET", "/kv/door", token=self._token).status
            except ConnectionError:
                continue
            if status == 200:
                self.last_s = sent_s
                self.successes += 1
                self.relapses += self.refusals > 0
            self.refusals += status == UNAUTHORIZED
        self._client.close()

    def stop(self) -> None:
        """End after the request under way."""
        self._stopping.set()
        self.join(TIMEOUT_S)
        assert not self.is_alive()


class Lateness(msgspec.Struct, frozen=True):
    """Of one round.

    Attributes:
        strike: what happened to placement's leader.
        seconds: how late each gateway let somebody in, after the answer; 0 when nobody was.
        requests: how many answers there were.
        relapses: how many clients were let in after the same gateway had refused them.
    """

    strike: Strike
    seconds: list[float]
    requests: int
    relapses: int


def revoke_under_load(guarded: Guarded, strike: Strike, at: int = 0) -> Lateness:
    """One round; `at` is the number of the gateway that is asked to revoke."""
    asking = [Client(port, TIMEOUT_S) for port in guarded.ports]
    body = {"name": "guest", "scopes": [{"prefix": "door", "verbs": ["read", "write"]}]}
    made = guarded.ask(asking[0], "POST", "/tokens", body).data
    for client in asking:
        wait_until(
            lambda client=client: guarded.ask(client, "PUT", "/kv/door", {"value": 1}, made["token"]).status == 200,  # type: ignore[misc] # mypy cannot infer a lambda with a default
            "the token is known",
        )
    visitors = [Visitor(guarded, port, made["token"]) for port in guarded.ports for _ in range(CLIENTS)]
    for visitor in visitors:
        visitor.start()
    try:
        wait_until(lambda: all(v.successes >= WARM_SUCCESSES for v in visitors), "everybody is let in")
        if strike is Strike.KILLED_BEFORE:
            guarded.cluster.kill(leader_of_placement(guarded.cluster))
        leader = leader_of_placement(guarded.cluster) if strike is Strike.KILLED_AFTER else ""
        _revoke(guarded, asking[at], made["id"])
        revoked_s = time.monotonic()
        if leader:
            guarded.cluster.kill(leader)
        wait_until(lambda: _is_over(visitors, revoked_s), "the token opens no door any more", TIMEOUT_S)
    finally:
        for visitor in visitors:
            visitor.stop()
        for client in asking:
            client.close()
    seconds = [
        max(0.0, *(visitor.last_s - revoked_s for visitor in visitors[first : first + CLIENTS]))
        for first in range(0, len(visitors), CLIENTS)
    ]
    requests = sum(visitor.successes + visitor.refusals for visitor in visitors)
    return Lateness(strike, seconds, requests, sum(visitor.relapses for visitor in visitors))


def leader_of_placement(cluster: LocalCluster) -> str:
    """The node that leads it."""
    found: list[str] = []

    def known() -> bool:
        statuses = [ask(process.address, 2.0) for process in cluster.processes() if process.role == "node"]
        claims = [
            (group.term, status.id)
            for status in statuses
            if status is not None
            for group in status.groups
            if group.id == PLACEMENT and group.role == "leader"
        ]
        found.extend(node for _, node in sorted(claims)[-1:])
        return bool(found)

    wait_until(known, "placement has a leader", TIMEOUT_S)
    return found[-1]


def _revoke(guarded: Guarded, client: Client, token_id: str) -> None:
    """Until it is answered that the token is gone; 404 when an earlier try, whose outcome was not known, has done it."""
    told: list[Reply] = []

    def is_gone() -> bool:
        told.append(guarded.ask(client, "DELETE", f"/tokens/{token_id}"))
        return told[-1].status == 200 or (told[-1].status == 404 and any(reply.status == 504 for reply in told))

    wait_until(is_gone, "the token is revoked", TIMEOUT_S)


def _is_over(visitors: Sequence[Visitor], revoked_s: float) -> bool:
    last_s = max(revoked_s, *(visitor.last_s for visitor in visitors))
    return time.monotonic() - last_s > QUIET_S and all(visitor.refusals for visitor in visitors)


def _wait_until_well(guarded: Guarded) -> None:
    clients = [Client(port, TIMEOUT_S) for port in guarded.ports]
    for client in clients:
        wait_until(lambda client=client: client.send("GET", "/readyz").status == 200, "all are ready", TIMEOUT_S)  # type: ignore[misc] # mypy cannot infer a lambda with a default
        client.close()
    nodes = [process for process in guarded.cluster.processes() if process.role == "node"]
    wait_until(lambda: all(ask(node.address, 2.0) is not None for node in nodes), "all nodes answer", TIMEOUT_S)


def main() -> int:
    """Run the program."""
    flags = parser(__doc__, rounds=30)
    flags.add_argument("--strikes", type=Strike, nargs="+", default=list(Strike), metavar="STRIKE", help="(all)")
    arguments = flags.parse_args()

    def scenario(scene: Scene) -> None:
        scene.cluster.start()
        guarded = Guarded(scene.cluster, first_token(scene.cluster))
        rounds: list[Lateness] = []
        for number, strike in zip(range(arguments.rounds), itertools.cycle(arguments.strikes), strict=False):
            _wait_until_well(guarded)
            lateness = revoke_under_load(guarded, strike, number % GATEWAYS)
            rounds.append(lateness)
            say(
                f"{strike}: last let in {', '.join(f'{s * 1000:.0f}' for s in lateness.seconds)} ms later, {lateness.requests} requests"
            )
            if lateness.relapses:
                scene.violate(f"{strike}: let in {lateness.relapses} times after it was refused")
            if max(lateness.seconds) > LIMIT_S:
                scene.violate(f"{strike}: a revoked token was let in for {max(lateness.seconds):.3f} s")
        _sum_up(scene, rounds)

    return play(arguments, scenario, more_flags=("--gateways", str(GATEWAYS), "--auth"), environ={"CONCORD_TOKEN": ""})


def _sum_up(scene: Scene, rounds: Sequence[Lateness]) -> None:
    for strike in Strike:
        worst = [max(lateness.seconds) for lateness in rounds if lateness.strike is strike]
        if worst:
            p50, most = percentile(worst, 0.5), max(worst)
            say(f"placement's leader, {strike}: {len(worst)} rounds, p50 {p50:.3f} s, max {most:.3f} s")
            scene.figures |= {f"{strike}: p50_s": p50, f"{strike}: max_s": most, f"{strike}: rounds": len(worst)}
    scene.figures["requests"] = sum(lateness.requests for lateness in rounds)


if __name__ == "__main__":
    sys.exit(main())
