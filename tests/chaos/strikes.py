"""Carries out the strikes of a plan on a fleet, each in a thread of its own, and undoes them."""

import signal
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from tests.chaos.cuts import drops
from tests.chaos.fleet import Fleet
from tests.chaos.plan import Kind, Strike

ROLLING_TIMEOUT_S = 20.0
POLL_S = 0.05
WITHOUT_LEADER = frozenset(  # kinds that take a leader away from its group, if it is the leader that they strike
    {
        Kind.KILL,
        Kind.STOP,
        Kind.ISOLATE,
        Kind.MUTE,
        Kind.DEAF,
        Kind.SPLIT,
        Kind.POWER_CUT,
        Kind.POWER_CUT_ALL,
        Kind.RESTART_ALL,
        Kind.DISK_FULL,
        Kind.SYNC_FAILS,
        Kind.PLACEMENT_AWAY,
    }
)


class Struck(msgspec.Struct, frozen=True):
    """A strike as it happened.

    Attributes:
        strike: as planned.
        victims: how many nodes it struck.
        groups: those whose leaders were among them.
        began_ns: on the monotonic clock.
        ended_ns: when it was undone.
    """

    strike: Strike
    victims: int
    groups: tuple[int, ...]
    began_ns: int
    ended_ns: int


class Striking:
    """The strikes of one round.

    Args:
        fleet: whom they hit.
        plan: what to do.
        complain: told when something here does not work, which must not pass for a round without faults.
    """

    def __init__(self, fleet: Fleet, plan: Sequence[Strike], complain: Callable[[str], None]) -> None:
        self._fleet = fleet
        self._plan = plan
        self._complain = complain
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(strike,), daemon=True) for strike in plan]
        self._began_at = 0.0
        self.done: list[Struck] = []

    def begin(self) -> None:
        """The round begins now."""
        self._began_at = time.monotonic()
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Undo whatever still lasts, and begin nothing any more."""
        self._over.set()
        for thread in filter(threading.Thread.is_alive, self._threads):
            thread.join()

    def _run(self, strike: Strike) -> None:
        if self._over.wait(max(0.0, self._began_at + strike.at_s - time.monotonic())):
            return
        try:
            leaders = self._fleet.leaders()
            names = _names(strike, leaders)
            groups = tuple(group for group, leader in leaders.items() if leader in names)
            began_ns = time.monotonic_ns()
            self._carry_out(strike, names)
            struck = Struck(strike, len(names), groups, began_ns, time.monotonic_ns())
            with self._lock:
                self.done.append(struck)
        except (OSError, AssertionError) as error:
            self._complain(f"the strike {strike.describe()} could not be carried out: {error!r}")

    def _carry_out(self, strike: Strike, names: list[str]) -> None:
        match strike.kind:
            case Kind.KILL:
                for name in names:
                    self._fleet.nodes[name].program.send(signal.SIGKILL)
            case Kind.GATEWAY_KILL:
                self._fleet.gateways[f"g{strike.gateway}"].send(signal.SIGKILL)
            case Kind.RESTART_ALL:
                for program in self._fleet.programs:
                    program.send(signal.SIGKILL)
            case Kind.ROLLING_RESTART:
                self._roll()
            case Kind.POWER_CUT | Kind.POWER_CUT_ALL:
                self._fleet.cut_power(names)
            case Kind.STOP:
                self._signal(names, signal.SIGSTOP)
                self._last(strike)
                self._signal(names, signal.SIGCONT)
            case Kind.DELAY:
                self._delay(strike, names)
            case Kind.SLOW_DISK | Kind.DISK_FULL | Kind.SYNC_FAILS:
                self._hurt_disks(strike, names)
            case Kind.CLOCK_JUMP | Kind.CLOCK_DRIFT:
                self._set_clocks(strike, names)
            case _:
                self._cut(strike, names)

    def _last(self, strike: Strike) -> None:
        self._over.wait(strike.lasts_s)

    def _signal(self, names: Sequence[str], number: signal.Signals) -> None:
        for name in names:
            self._fleet.nodes[name].program.send(number)

    def _cut(self, strike: Strike, names: list[str]) -> None:
        self._fleet.network.drop(strike, drops(strike, names, list(self._fleet.network.addresses)))
        self._last(strike)
        self._fleet.network.restore(strike)

    def _delay(self, strike: Strike, names: list[str]) -> None:
        for name in names:
            self._fleet.nodes[name].cable.begin(strike.amount, strike.amount / 2)
        self._last(strike)
        for name in names:
            self._fleet.nodes[name].cable.end()

    def _hurt_disks(self, strike: Strike, names: list[str]) -> None:
        nodes = [self._fleet.nodes[name] for name in names]
        for node in nodes:
            if strike.kind is Kind.SLOW_DISK:
                node.slow_down(strike.amount)
                continue
            node.program.excused = True
            if strike.kind is Kind.DISK_FULL:
                node.fill_disk()
            else:
                node.fail_syncs()
        self._last(strike)
        for node in nodes:
            node.faults.clear()
            node.empty_disk()
            node.program.hurry()

    def _set_clocks(self, strike: Strike, names: list[str]) -> None:
        for name in names:
            is_jump = strike.kind is Kind.CLOCK_JUMP
            self._fleet.nodes[name].clock.set(strike.amount if is_jump else 0.0, 0.0 if is_jump else strike.amount)
        self._last(strike)
        for name in names:
            self._fleet.nodes[name].clock.set(0.0)

    def _roll(self) -> None:
        """Restart every program, one after the other, each once the one before answers again."""
        for name, node in self._fleet.nodes.items():
            if not self._over.is_set():
                node.program.stop()
                self._wait_for(name)
        for gateway in self._fleet.gateways.values():
            gateway.stop()

    def _wait_for(self, name: str) -> None:
        """Until a node answers; it may be cut off, then not for ever."""
        until = time.monotonic() + ROLLING_TIMEOUT_S
        while time.monotonic() < until and name not in self._fleet.statuses():
            if self._over.wait(POLL_S):
                return


def _names(strike: Strike, leaders: dict[int, str]) -> list[str]:
    """The nodes that are struck; a group without a leader has none to strike, then it is the first node's turn."""
    if strike.leader_of is None:
        return [f"n{number}" for number in strike.nodes]
    return [leaders.get(strike.leader_of, "n1")]
