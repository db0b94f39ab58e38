"""The adversary: draws faults from the seed and lets them strike, alone and together, until it is told to stop.

Each seed favours some kinds of fault and leaves others out (swarm testing: Groce et al., ISSTA 2012): what needs three
power cuts in a row is otherwise drowned in everything else. Those of `CERTAIN` strike at least once in every seed.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Protocol

from tests.simulation.world import Link, Network, World

_FAVOUR = (0, 1, 1, 5)
_RESTARTS_PER_S = (1.0, 10.0)  # the quick ones come before a promise that was made to a leader has run out


class Cluster(Protocol):
    """What the adversary can do to a cluster; a bool says whether there was anybody to hurt."""

    names: list[str]

    def crash(self, name: str) -> None: ...
    def power_cut(self, name: str) -> None: ...
    def restart(self, name: str) -> None: ...
    def stop(self, name: str, seconds: float) -> bool: ...
    def slow_disk(self, name: str, seconds: float) -> bool: ...
    def transfer_leadership(self) -> bool: ...
    def is_up(self, name: str) -> bool: ...


CERTAIN = ("crash", "power cut", "partition")
_AMONG_SEVERAL = {"partition", "one-way partition", "partial partition", "power cut of a speaker"}


class Adversary:
    """Strikes at random intervals between 50 ms and 1.5 s of virtual time. A strike that hits nobody does not count."""

    def __init__(
        self, world: World, network: Network, cluster: Cluster, faults: Counter[str], *, until_s: float
    ) -> None:
        self._world, self._rng = world, world.rng
        self._network = network
        self._cluster = cluster
        self._faults = faults
        self._active = True
        strikes: list[tuple[str, int, Callable[[], bool]]] = [
            ("crash", 4, self._crash),
            ("power cut", 4, self._power_cut),
            ("crash of all", 1, self._crash_all),
            ("power cut of all", 1, self._power_cut_all),
            ("power cut of a speaker", 3, self._power_cut_of_speaker),
            ("partition", 4, self._partition),
            ("one-way partition", 4, self._one_way),
            ("partial partition", 4, self._partial),
            ("stop", 3, self._stop),
            ("loss", 2, self._loss),
            ("delay", 3, self._delay),
            ("duplication", 2, self._duplicate),
            ("reordering", 2, self._reorder),
            ("slow disk", 3, self._slow_disk),
            ("slow disks of all", 1, self._slow_disk_all),
            ("leadership transfer", 3, cluster.transfer_leadership),
        ]
        alone = len(cluster.names) == 1
        possible = [strike for strike in strikes if not (alone and strike[0] in _AMONG_SEVERAL)]
        self._strikes = [(name, weight * self._rng.choice(_FAVOUR), strike) for name, weight, strike in possible]
        self._strikes.append(("heal", 6, self._heal))
        for name, _weight, strike in possible:
            if name in CERTAIN:
                world.at(self._rng.uniform(0.0, 0.9 * until_s), partial(self._surely, name, strike))
        self._schedule()

    def rest(self) -> None:
        """Strike no more, mend the network and start whoever is down."""
        self._active = False
        self._network.heal()
        for name in self._cluster.names:
            if not self._cluster.is_up(name):
                self._cluster.restart(name)

    def _schedule(self) -> None:
        self._world.after(self._rng.uniform(0.05, 1.5), self._strike)

    def _strike(self) -> None:
        if not self._active:
            return
        names, weights, strikes = zip(*self._strikes, strict=True)
        at = self._rng.choices(range(len(names)), weights)[0]
        self._faults[names[at]] += strikes[at]()
        self._schedule()

    def _surely(self, name: str, strike: Callable[[], bool]) -> None:
        """Strike, if need be a little later, when somebody is up."""
        if not self._active:
            return
        struck = strike()
        self._faults[name] += struck
        if not struck:
            self._world.after(0.1, partial(self._surely, name, strike))

    def _heal(self) -> bool:
        self._network.heal()
        return True

    def _someone(self) -> str:
        return self._rng.choice(self._cluster.names)

    def _up(self) -> list[str]:
        return [name for name in self._cluster.names if self._cluster.is_up(name)]

    def _take_down(self, names: list[str], how: Callable[[str], None]) -> bool:
        for name in names:
            how(name)
            self._world.after(self._rng.expovariate(self._rng.choice(_RESTARTS_PER_S)), partial(self._bring_up, name))
        return bool(names)

    def _bring_up(self, name: str) -> None:
        if not self._cluster.is_up(name):
            self._cluster.restart(name)

    def _crash(self) -> bool:
        return self._take_down(self._one_that_is_up(), self._cluster.crash)

    def _power_cut(self) -> bool:
        return self._take_down(self._one_that_is_up(), self._cluster.power_cut)

    def _crash_all(self) -> bool:
        return self._take_down(self._up(), self._cluster.crash)

    def _power_cut_all(self) -> bool:
        return self._take_down(self._up(), self._cluster.power_cut)

    def _one_that_is_up(self) -> list[str]:
        return [name for name in [self._someone()] if self._cluster.is_up(name)]

    def _for_a_while(self, undo: Callable[[], None]) -> bool:
        self._world.after(self._rng.uniform(0.1, 5.0), undo)
        return True

    def _set(self, pairs: list[tuple[str, str]], **values: float | bool) -> bool:
        """Change links for a while; afterwards they are as healthy links are."""
        links = [self._network.links[pair] for pair in pairs]
        for link in links:
            vars(link).update(values)
        healthy = vars(Link())

        def undo() -> None:
            for link in links:
                vars(link).update({name: healthy[name] for name in values})

        return self._for_a_while(undo)

    def _power_cut_of_speaker(self) -> bool:
        """Whoever sends a packet next loses power before it arrives: was it true what it said?"""

        def strike(sender: str) -> None:
            if self._active and self._cluster.is_up(sender):
                self._take_down([sender], self._cluster.power_cut)

        self._network.on_next_send = lambda sender: self._world.after(0.0, lambda: strike(sender))
        return True

    def _partition(self) -> bool:
        names = self._cluster.names
        side = set(self._rng.sample(names, self._rng.randint(1, len(names) - 1)))
        return self._set([pair for pair in self._network.links if (pair[0] in side) != (pair[1] in side)], cut=True)

    def _one_way(self) -> bool:
        victim = self._someone()
        place = self._rng.randint(0, 1)
        return self._set([pair for pair in self._network.links if pair[place] == victim], cut=True)

    def _partial(self) -> bool:
        a, b = self._rng.sample(self._cluster.names, 2)
        return self._set([(a, b), (b, a)], cut=True)

    def _stop(self) -> bool:
        return self._cluster.stop(self._someone(), self._rng.choice([0.1, 0.5, 1.0, 3.0, 5.0]))

    def _all_pairs(self) -> list[tuple[str, str]]:
        return [pair for pair in self._network.links if self._rng.random() < 0.5]

    def _loss(self) -> bool:
        return self._set(self._all_pairs(), loss=self._rng.choice([0.05, 0.3]))

    def _delay(self) -> bool:
        return self._set(
            self._all_pairs(), delay=self._rng.choice([0.02, 0.15, 0.4]), jitter=self._rng.choice([0.01, 0.3])
        )

    def _duplicate(self) -> bool:
        return self._set(self._all_pairs(), duplicate=0.3)

    def _reorder(self) -> bool:
        return self._set(self._all_pairs(), fifo=False, jitter=0.1)

    def _slow_disk(self) -> bool:
        return self._cluster.slow_disk(self._someone(), self._rng.uniform(0.5, 3.0))

    def _slow_disk_all(self) -> bool:
        seconds = self._rng.uniform(0.5, 3.0)
        struck = [self._cluster.slow_disk(name, seconds) for name in self._cluster.names]
        return any(struck)
