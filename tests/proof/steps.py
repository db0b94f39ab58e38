"""What the proof is made of: programs, how long each runs in full, and what each says of itself."""

from collections.abc import Callable
from typing import Literal

import msgspec

Figures = dict[str, float | str | dict[str, float]]

CHANGES_FOR_EACH_CUT = 500


class Step(msgspec.Struct, frozen=True):
    """One program of the proof.

    Attributes:
        name: as given to `--only`.
        title: the heading in the page.
        claim: what holds when it succeeds.
        amount: how much is done in full, in units of `unit`; `--share` does a part of it.
        unit: what the amount counts; "once" cannot be shared out.
        command: `python -m` of what, given the amount and a seed that no other run had; `--json FILE` is added.
    """

    name: str
    title: str
    claim: str
    amount: int
    unit: Literal["seeds", "rounds", "minutes", "changes", "examples", "once"]
    command: Callable[[int, int], list[str]]


def _simulation(replicas: int, *more: str) -> Callable[[int, int], list[str]]:
    def command(amount: int, seed: int) -> list[str]:
        return [
            "tests.simulation.run",
            "--replicas",
            str(replicas),
            "--seeds",
            str(amount),
            "--first",
            str(seed),
            *more,
        ]

    return command


def _rounds(program: str, *more: str) -> Callable[[int, int], list[str]]:
    def command(amount: int, seed: int) -> list[str]:
        return [f"tests.chaos.{program}", "--rounds", str(amount), "--seed", str(seed), *more]

    return command


def _chaos(nodes: int) -> Callable[[int, int], list[str]]:
    def command(amount: int, seed: int) -> list[str]:
        return ["tests.chaos.run", "--minutes", str(amount), "--seed", str(seed), "--nodes", str(nodes)]

    return command


def _contention(amount: int, seed: int) -> list[str]:
    return ["tests.chaos.contention", "--minutes", str(amount), "--window", "15", "--seed", str(seed)]


def _watchers(amount: int, seed: int) -> list[str]:
    cuts = max(1, amount // CHANGES_FOR_EACH_CUT)
    return ["tests.chaos.watchers", "--changes", str(amount), "--cuts", str(cuts), "--seed", str(seed)]


def _description(amount: int, seed: int) -> list[str]:
    return ["tests.e2e.description", "--examples", str(amount), "--seed", str(seed)]


def _sdk(amount: int, seed: int) -> list[str]:
    return ["tests.chaos.sdk", "--minutes", str(amount), "--seed", str(seed)]


STEPS = (
    Step(
        "sim-3",
        "Simulation, three members",
        "under any mix of crashes, power cuts, partitions, loss, delay, reordering and slow disks nothing acknowledged is "
        "lost, no read is stale, no two replicas differ, and everybody has caught up ten seconds after the end: five for an election or "
        "two, five to catch up",
        20_000,
        "seeds",
        _simulation(3),
    ),
    Step(
        "sim-5",
        "Simulation, five members",
        "the same with five",
        20_000,
        "seeds",
        _simulation(5),
    ),
    Step(
        "control",
        "The library as shipped, in the same simulation",
        "it fails in at least 5 % of the seeds: the simulation is not blind",
        400,
        "seeds",
        _simulation(3, "--control"),
    ),
    Step(
        "mutants",
        "Planted mistakes",
        "each of them is noticed by a unit test or by the simulation (mutants.md has the table)",
        1,
        "once",
        lambda _amount, _seed: ["tests.mutation.run"],
    ),
    Step(
        "chaos-3",
        "Chaos on real processes, three nodes",
        "histories of all keys are linearizable, nothing acknowledged is lost, no process is wedged",
        60,
        "minutes",
        _chaos(3),
    ),
    Step("chaos-5", "Chaos on real processes, five nodes", "the same with five", 60, "minutes", _chaos(5)),
    Step(
        "power-1",
        "Power cuts, one node",
        "what was acknowledged is there after the power of the machine was cut at a random instant",
        250,
        "rounds",
        _rounds("power_cuts", "--nodes", "1"),
    ),
    Step(
        "power-3",
        "Power cuts, three nodes",
        "the same with three nodes that lose power at once",
        250,
        "rounds",
        _rounds("power_cuts", "--nodes", "3"),
    ),
    Step(
        "kill-all",
        "SIGKILL of every process at once",
        "nothing acknowledged is missing, also after a kill during the start",
        40,
        "rounds",
        _rounds("kill_all"),
    ),
    Step(
        "pause",
        "SIGSTOP of leaders for five seconds",
        "no linearizable read is stale, meanwhile or afterwards",
        20,
        "rounds",
        _rounds("pause"),
    ),
    Step(
        "failover",
        "SIGKILL of leaders",
        "writes to their groups go on within three seconds",
        60,
        "rounds",
        _rounds("failover"),
    ),
    Step(
        "contention",
        "Many clients that want the same thing",
        "fences of a lock strictly rise, no write under an older one is accepted, who asked first has it first within two places; "
        "a rate limit gives exactly what it has; increments, conditional puts, transactions, sections under a lock and takes from a quota count once though one answer in five is lost; all while leaders die or stand still",
        10,
        "minutes",
        _contention,
    ),
    Step(
        "sdk",
        "The Python clients while leaders die and gateways are restarted",
        "no call raises but what is documented, and `retryable` and `applied` are true; histories of all keys are linearizable; "
        "acknowledged increments count once, unknown ones once at most; transactions are seen whole, sections under a lock count once, "
        "no write under an old fence is accepted; every watch is told each change once and in order; sessions last as long as was said, "
        "limits give exactly what they have, instances are listed while they are kept and no longer, flags in memory never go back and "
        "agree with the cluster once it is quiet",
        10,
        "minutes",
        _sdk,
    ),
    Step(
        "watchers",
        "Watchers that are cut off, and very many of them",
        "one that is cut off 200 times while 100,000 changes are made, and goes on at two gateways, sees each of them once and those "
        "of each key in order; 2,000 on one gateway are each told every change",
        100_000,
        "changes",
        _watchers,
    ),
    Step(
        "revocation",
        "Revocation of tokens in use",
        "no gateway lets a token in later than one second after it was answered that it is revoked, whether placement's leader dies before "
        "that, after it or not at all",
        30,
        "rounds",
        _rounds("revocation"),
    ),
    Step(
        "description",
        "The description of the API",
        "whatever openapi.json allows is answered as it says and whatever it forbids is refused, without tokens and with",
        100,
        "examples",
        _description,
    ),
)
