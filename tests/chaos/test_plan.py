"""A plan comes from its seed alone, and strikes in every way."""

from itertools import islice

import pytest

from tests.chaos.cuts import CLIENTS, CUTS, drops
from tests.chaos.namespaces import Drop, ruleset
from tests.chaos.plan import Ground, Kind, Strike, rounds

ROUND_S = 60.0
GROUNDS = [Ground(3, 8, 2, 3), Ground(5, 8, 2, 3)]
HOSTS = ["n1", "n2", "n3", "g1", "g2", CLIENTS]


def plan(seed: int, ground: Ground, count: int = 20) -> list[list[Strike]]:
    return list(islice(rounds(seed, ground, ROUND_S), count))


def pairs(found: list[Drop]) -> set[tuple[str, str]]:
    return {(drop.sender, drop.receiver) for drop in found}


@pytest.mark.parametrize("ground", GROUNDS)
def test_a_seed_gives_the_same_plan_again_and_another_seed_another(ground: Ground) -> None:
    assert plan(1, ground) == plan(1, ground)
    assert plan(1, ground) != plan(2, ground)


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("seed", range(20))
def test_every_kind_has_its_turn_soon_and_what_is_struck_exists(ground: Ground, seed: int) -> None:
    strikes = [strike for strikes in plan(seed, ground) for strike in strikes]
    assert {strike.kind for strike in strikes} == set(Kind)
    for strike in strikes:
        assert set(strike.nodes) <= set(range(1, ground.nodes + 1))
        assert strike.leader_of is None or 0 <= strike.leader_of <= ground.groups
        assert 0 <= strike.gateway <= ground.gateways
        assert 0 <= strike.at_s < ROUND_S
        assert strike.at_s + strike.lasts_s <= ROUND_S + 0.1


@pytest.mark.parametrize("seed", range(20))
def test_in_some_rounds_strikes_overlap_and_in_others_each_waits_for_the_one_before(seed: int) -> None:
    overlap = [
        any(a.at_s + a.lasts_s > b.at_s for at, a in enumerate(strikes) for b in strikes[at + 1 :])
        for strikes in plan(seed, GROUNDS[0])
    ]
    assert True in overlap
    assert False in overlap


def test_only_the_kinds_that_are_possible_are_drawn() -> None:
    ground = Ground(3, 8, 2, 3, (Kind.KILL, Kind.STOP))
    assert {strike.kind for strikes in plan(1, ground) for strike in strikes} == {Kind.KILL, Kind.STOP}


def test_a_node_that_is_cut_off_neither_hears_anybody_nor_is_heard() -> None:
    found = pairs(drops(Strike(kind=Kind.ISOLATE), ["n1"], HOSTS))
    assert found == {p for host in HOSTS[1:] for p in ((host, "n1"), ("n1", host))}


def test_an_asymmetric_cut_takes_one_direction() -> None:
    assert pairs(drops(Strike(kind=Kind.DEAF), ["n1"], HOSTS)) == {(host, "n1") for host in HOSTS[1:]}
    assert pairs(drops(Strike(kind=Kind.MUTE), ["n1"], HOSTS)) == {("n1", host) for host in HOSTS[1:]}


def test_a_partial_cut_leaves_both_nodes_to_the_others() -> None:
    assert pairs(drops(Strike(kind=Kind.PARTIAL), ["n1", "n3"], HOSTS)) == {("n1", "n3"), ("n3", "n1")}


def test_a_network_in_two_has_a_gateway_on_either_side_that_clients_still_reach() -> None:
    found = pairs(drops(Strike(kind=Kind.SPLIT, gateway=2), ["n1"], HOSTS))
    assert found == {pair for one in ("n1", "g2") for two in ("n2", "n3", "g1") for pair in ((one, two), (two, one))}


def test_no_cut_comes_between_clients_and_gateways() -> None:
    for kind in CUTS:
        found = pairs(drops(Strike(kind=kind, gateway=1, amount=10), ["n1", "n2"], HOSTS))
        assert not any({CLIENTS, gateway} == set(pair) for pair in found for gateway in ("g1", "g2")), kind


def test_a_rule_names_the_sender_and_its_share() -> None:
    text = ruleset([Drop("n1", "n2"), Drop("g1", "n2", 40)], {"n1": "10.77.0.1", "n2": "10.77.0.2", "g1": "10.77.0.4"})
    assert "ip saddr 10.77.0.1 drop\n" in text
    assert "ip saddr 10.77.0.4 numgen random mod 100 < 40 drop\n" in text
