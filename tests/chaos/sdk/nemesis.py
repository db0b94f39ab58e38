"""What happens to the cluster: leaders, gateways and whole nodes are killed, restarted and stopped."""

import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from tests.chaos.scene import Caller, Scene

STOPPED_S = (0.1, 5.0)
CALM_S = (0.5, 4.0)


class Nemesis:
    """Strikes, one after the other.

    Attributes:
        struck: how often in each way.
    """

    def __init__(self, scene: Scene) -> None:
        self.struck: Counter[str] = Counter()
        self._scene = scene
        self._rng = scene.chance("nemesis")
        self._caller = Caller(scene)
        self._strikes: dict[str, tuple[Callable[[], None], int]] = {
            "leader killed": (lambda: self._kill(self._leader()), 5),
            "leader stopped": (lambda: self._stop(self._leader()), 5),
            "gateway killed": (lambda: self._kill(self._any("gateway")), 3),
            "gateway stopped": (lambda: self._stop(self._any("gateway")), 2),
            "gateway restarted": (lambda: self._kill(self._any("gateway"), number=signal.SIGTERM), 3),
            "node restarted": (lambda: self._kill(self._any("node"), number=signal.SIGTERM), 3),
            "leader and gateway killed": (lambda: self._kill(self._leader(), self._any("gateway")), 2),
            "two nodes killed": (lambda: self._kill(*self._rng.sample(self._names("node"), 2)), 1),
            "all gateways killed": (lambda: self._kill(*self._names("gateway")), 1),
        }

    def strike_until(self, until_ns: int) -> None:
        """Go on for so long, on the monotonic clock; nothing is stopped afterwards."""
        kinds = list(self._strikes)
        weights = [weight for _, weight in self._strikes.values()]
        while self._calm(until_ns):
            (kind,) = self._rng.choices(kinds, weights)
            self._strikes[kind][0]()
            self.struck[kind] += 1
        self._caller.close()

    def _calm(self, until_ns: int) -> bool:
        left_s = (until_ns - time.monotonic_ns()) / 1e9
        calm_s = self._rng.uniform(*CALM_S)
        time.sleep(max(0.0, min(left_s, calm_s)))
        return calm_s < left_s

    def _names(self, role: str) -> list[str]:
        return [process.name for process in self._scene.cluster.processes() if process.role == role]

    def _any(self, role: str) -> str:
        return self._rng.choice(self._names(role))

    def _leader(self) -> str:
        """The leader of some group, or any node when nobody can say."""
        status = self._caller.status()
        leaders: list[str] = sorted({row["leader"] for row in status["groups"] if row["leader"]}) if status else []
        return self._rng.choice(leaders or self._names("node"))

    def _kill(self, *names: str, number: signal.Signals = signal.SIGKILL) -> None:
        for name in names:
            with suppress(AssertionError, ProcessLookupError):  # it is down already
                self._scene.cluster.kill(name, number)

    def _stop(self, name: str) -> None:
        self._kill(name, number=signal.SIGSTOP)
        time.sleep(self._rng.uniform(*STOPPED_S))
        self._kill(name, number=signal.SIGCONT)
