"""Which packets do not arrive while the network is cut in one way or another, or loses some. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from tests.chaos.namespaces import ALL, Drop
from tests.chaos.plan import Kind, Strike

CLIENTS = "clients"  # they speak to gateways only, and those they always reach

Pair: TypeAlias = tuple[str, str]
Cut: TypeAlias = Callable[[Sequence[str], Sequence[str], str], Iterable[Pair]]


def drops(strike: Strike, names: Sequence[str], hosts: Sequence[str]) -> list[Drop]:
    """What a strike takes away.

    Args:
        strike: of one of the kinds in `CUTS`.
        names: the nodes that it strikes.
        hosts: all hosts on the network.
    """
    pairs = CUTS[strike.kind](names, hosts, f"g{strike.gateway}")
    percent = int(strike.amount) if strike.kind is Kind.LOSS else ALL
    return [Drop(sender, receiver, percent) for sender, receiver in sorted(set(pairs))]


def _out(names: Sequence[str], hosts: Sequence[str], _gateway: str = "") -> list[Pair]:
    return [(name, host) for name in names for host in hosts if host != name]


def _both(pairs: Iterable[Pair]) -> list[Pair]:
    return [pair for one, two in pairs for pair in ((one, two), (two, one))]


def _into(names: Sequence[str], hosts: Sequence[str], _gateway: str) -> list[Pair]:
    return [(host, name) for name, host in _out(names, hosts)]


def _off(names: Sequence[str], hosts: Sequence[str], _gateway: str) -> list[Pair]:
    return _both(_out(names, hosts))


def _apart(names: Sequence[str], _hosts: Sequence[str], _gateway: str) -> list[Pair]:
    return _both(_out(names, names))


def _in_two(names: Sequence[str], hosts: Sequence[str], gateway: str) -> list[Pair]:
    side = {*names, gateway}
    return _both((one, two) for one in side for two in hosts if two not in {*side, CLIENTS})


def _from_gateway(names: Sequence[str], _hosts: Sequence[str], gateway: str) -> list[Pair]:
    return _both((gateway, name) for name in names)


CUTS: Mapping[Kind, Cut] = {
    Kind.ISOLATE: _off,
    Kind.PLACEMENT_AWAY: _off,
    Kind.DEAF: _into,
    Kind.MUTE: _out,
    Kind.PARTIAL: _apart,
    Kind.SPLIT: _in_two,
    Kind.GATEWAY_CUT: _from_gateway,
    Kind.LOSS: _off,
}
