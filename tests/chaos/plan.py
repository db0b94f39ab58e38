"""What is done to a cluster, and when: drawn from a seed and from nothing else.

A plan names nodes by number and leaders by their group, because who leads is only known when the time has come. In some
rounds one strike follows the other, in others they overlap. Kinds are drawn from a bag that is filled again when it is
empty, so that every one of them has its turn soon.
"""

import enum
import random
from collections.abc import Callable, Iterator, Sequence

import msgspec

QUIET_BEFORE_S = 2.0
QUIET_AFTER_S = 4.0
PAUSE_S_MIN, PAUSE_S_MAX = 2.0, 5.0  # between strikes that follow one another
TOGETHER_S_MAX = 8.0  # between the beginnings of those that overlap
TOGETHER_CHANCE = 0.4
LEADER_CHANCE = 0.5
ROLL_S = 3.0  # about what the restart of a node takes
PLACEMENT = 0
DAY_S = 86_400


class Kind(enum.Enum):
    """A way of hurting a cluster."""

    KILL = "SIGKILL"
    STOP = "SIGSTOP"
    ISOLATE = "node cut off"
    DEAF = "node hears nobody"
    MUTE = "nobody hears node"
    PARTIAL = "two nodes cut apart"
    SPLIT = "cut in two"
    GATEWAY_CUT = "gateway cut from a node"
    LOSS = "packets lost"
    DELAY = "packets late"
    SLOW_DISK = "slow disk"
    DISK_FULL = "disk full"
    SYNC_FAILS = "fsync fails"
    CLOCK_JUMP = "wall clock jumps"
    CLOCK_DRIFT = "wall clock drifts"
    RESTART_ALL = "everything restarted"
    ROLLING_RESTART = "rolling restart"
    POWER_CUT = "power cut of nodes"
    POWER_CUT_ALL = "power cut of all"
    GATEWAY_KILL = "gateway killed"
    PLACEMENT_AWAY = "placement away"


class Strike(msgspec.Struct, frozen=True, kw_only=True):
    """One strike.

    Attributes:
        kind: what is done.
        at_s: when, in seconds of the round.
        lasts_s: until it is undone; 0 when there is nothing to undo.
        nodes: numbers of the nodes that are struck, from 1 on.
        leader_of: strike the leader of this group instead (PLACEMENT: of placement), None for `nodes`.
        gateway: number of the gateway that is struck, or that is on the side of `nodes`; 0 for none.
        amount: percent of packets, seconds of delay, of a disk operation or of a clock.
    """

    kind: Kind
    at_s: float = 0.0
    lasts_s: float = 0.0
    nodes: tuple[int, ...] = ()
    leader_of: int | None = None
    gateway: int = 0
    amount: float = 0.0

    def describe(self) -> str:
        """In a few words."""
        whom = [f"n{node}" for node in self.nodes] if self.leader_of is None else [f"leader of {self.leader_of}"]
        whom += [f"gateway{self.gateway}"] if self.gateway else []
        lasting = f" for {self.lasts_s:.1f} s" if self.lasts_s else ""
        amount = f" ({self.amount:.4g})" if self.amount else ""
        return f"{self.at_s:.1f} s {self.kind.value}{amount}{' ' + ' '.join(whom) if whom else ''}{lasting}"


class Ground(msgspec.Struct, frozen=True):
    """What can be struck: how many nodes, groups and gateways there are, how many nodes host placement, which kinds are possible."""

    nodes: int
    groups: int
    gateways: int
    placement: int
    kinds: tuple[Kind, ...] = tuple(Kind)


def rounds(seed: int, ground: Ground, round_s: float) -> Iterator[list[Strike]]:
    """The strikes of one round after the other, each in the order of its times."""
    rng = random.Random(f"{seed}/{ground.nodes}")
    bag: list[Kind] = []
    while True:
        together = rng.random() < TOGETHER_CHANCE
        strikes, at_s, busy_s = [], QUIET_BEFORE_S, 0.0
        while at_s < round_s - QUIET_AFTER_S:
            if not bag:
                bag = rng.sample(ground.kinds, len(ground.kinds))
            drawn = _DRAWS[bag.pop()](rng, ground)
            lasts_s = min(drawn.lasts_s, max(0.1, round_s - at_s)) if drawn.lasts_s else 0.0
            strikes.append(msgspec.structs.replace(drawn, at_s=at_s, lasts_s=lasts_s))
            busy_s = max(busy_s, at_s + lasts_s)
            at_s = (
                at_s + rng.uniform(0.0, TOGETHER_S_MAX) if together else busy_s + rng.uniform(PAUSE_S_MIN, PAUSE_S_MAX)
            )
        yield strikes


def _pause_s(rng: random.Random) -> float:
    """0.1 to 20 s, short ones as often as long ones."""
    return float(0.1 * 200 ** rng.random())


def _some(rng: random.Random, ground: Ground) -> tuple[int, ...]:
    """Mostly one node, at times two."""
    return tuple(sorted(rng.sample(range(1, ground.nodes + 1), 2 if rng.random() < 0.25 else 1)))


def _aim(rng: random.Random, ground: Ground, kind: Kind, lasts_s: float = 0.0, amount: float = 0.0) -> Strike:
    """At the leader of a group or at some nodes."""
    if rng.random() < LEADER_CHANCE:
        return Strike(kind=kind, lasts_s=lasts_s, leader_of=rng.randint(PLACEMENT, ground.groups), amount=amount)
    return Strike(kind=kind, lasts_s=lasts_s, nodes=_some(rng, ground), amount=amount)


def _kill(rng: random.Random, ground: Ground) -> Strike:
    return _aim(rng, ground, Kind.KILL)


def _stop(rng: random.Random, ground: Ground) -> Strike:
    return _aim(rng, ground, Kind.STOP, _pause_s(rng))


def _cut(kind: Kind) -> Callable[[random.Random, Ground], Strike]:
    return lambda rng, ground: _aim(rng, ground, kind, rng.uniform(0.5, 12.0))


def _partial(rng: random.Random, ground: Ground) -> Strike:
    return Strike(
        kind=Kind.PARTIAL, lasts_s=rng.uniform(1.0, 15.0), nodes=tuple(rng.sample(range(1, ground.nodes + 1), 2))
    )


def _split(rng: random.Random, ground: Ground) -> Strike:
    side = tuple(sorted(rng.sample(range(1, ground.nodes + 1), ground.nodes // 2)))
    return Strike(kind=Kind.SPLIT, lasts_s=rng.uniform(1.0, 12.0), nodes=side, gateway=rng.randint(1, ground.gateways))


def _gateway_cut(rng: random.Random, ground: Ground) -> Strike:
    return Strike(
        kind=Kind.GATEWAY_CUT,
        lasts_s=rng.uniform(1.0, 12.0),
        nodes=_some(rng, ground),
        gateway=rng.randint(1, ground.gateways),
    )


def _loss(rng: random.Random, ground: Ground) -> Strike:
    nodes = tuple(range(1, ground.nodes + 1)) if rng.random() < 0.5 else _some(rng, ground)
    return Strike(kind=Kind.LOSS, lasts_s=rng.uniform(3.0, 12.0), nodes=nodes, amount=rng.choice([2, 5, 10, 20, 40]))


def _delay(rng: random.Random, ground: Ground) -> Strike:
    return _aim(rng, ground, Kind.DELAY, rng.uniform(3.0, 12.0), rng.choice([0.01, 0.05, 0.15, 0.4]))


def _slow_disk(rng: random.Random, ground: Ground) -> Strike:
    return _aim(rng, ground, Kind.SLOW_DISK, rng.uniform(2.0, 10.0), rng.choice([0.02, 0.1, 0.5]))


def _disk_fault(kind: Kind) -> Callable[[random.Random, Ground], Strike]:
    return lambda rng, ground: _aim(rng, ground, kind, rng.uniform(1.0, 8.0))


def _clock_jump(rng: random.Random, ground: Ground) -> Strike:
    size_s = rng.choice([0.5, 5, 120, 3600, DAY_S, 400 * DAY_S])
    return _aim(rng, ground, Kind.CLOCK_JUMP, rng.uniform(1.0, 15.0), size_s * rng.choice([-1, 1]))


def _clock_drift(rng: random.Random, ground: Ground) -> Strike:
    return _aim(rng, ground, Kind.CLOCK_DRIFT, rng.uniform(3.0, 15.0), rng.choice([-0.9, -0.1, 0.1, 1.0, 10.0]))


def _power_cut(rng: random.Random, ground: Ground) -> Strike:
    return _aim(rng, ground, Kind.POWER_CUT)


def _gateway_kill(rng: random.Random, ground: Ground) -> Strike:
    return Strike(kind=Kind.GATEWAY_KILL, gateway=rng.randint(1, ground.gateways))


def _placement_away(rng: random.Random, ground: Ground) -> Strike:
    hosts = rng.sample(range(1, ground.placement + 1), ground.placement // 2 + 1)
    return Strike(kind=Kind.PLACEMENT_AWAY, lasts_s=rng.uniform(2.0, 10.0), nodes=tuple(sorted(hosts)))


def _rolling_restart(_rng: random.Random, ground: Ground) -> Strike:
    every = tuple(range(1, ground.nodes + 1))
    return Strike(kind=Kind.ROLLING_RESTART, lasts_s=ROLL_S * ground.nodes, nodes=every)


def _all(kind: Kind) -> Callable[[random.Random, Ground], Strike]:
    return lambda _rng, ground: Strike(kind=kind, nodes=tuple(range(1, ground.nodes + 1)))


_DRAWS: dict[Kind, Callable[[random.Random, Ground], Strike]] = {
    Kind.KILL: _kill,
    Kind.STOP: _stop,
    Kind.ISOLATE: _cut(Kind.ISOLATE),
    Kind.DEAF: _cut(Kind.DEAF),
    Kind.MUTE: _cut(Kind.MUTE),
    Kind.PARTIAL: _partial,
    Kind.SPLIT: _split,
    Kind.GATEWAY_CUT: _gateway_cut,
    Kind.LOSS: _loss,
    Kind.DELAY: _delay,
    Kind.SLOW_DISK: _slow_disk,
    Kind.DISK_FULL: _disk_fault(Kind.DISK_FULL),
    Kind.SYNC_FAILS: _disk_fault(Kind.SYNC_FAILS),
    Kind.CLOCK_JUMP: _clock_jump,
    Kind.CLOCK_DRIFT: _clock_drift,
    Kind.RESTART_ALL: _all(Kind.RESTART_ALL),
    Kind.ROLLING_RESTART: _rolling_restart,
    Kind.POWER_CUT: _power_cut,
    Kind.POWER_CUT_ALL: _all(Kind.POWER_CUT_ALL),
    Kind.GATEWAY_KILL: _gateway_kill,
    Kind.PLACEMENT_AWAY: _placement_away,
}


def counted(plan: Sequence[Strike]) -> dict[Kind, int]:
    """How often each kind occurs."""
    return {kind: sum(strike.kind is kind for strike in plan) for kind in Kind}
