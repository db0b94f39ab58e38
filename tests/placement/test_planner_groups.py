import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placement.planner import CreateGroups, Goals, Idle, Operators, Reason, View, decide
from tests.placement.fakes import map_of
from wire.messages import ClusterMap, NodeInfo
from wire.slots import SLOT_COUNT


@st.composite
def topologies(draw: st.DrawFn) -> list[NodeInfo]:
    """1..36 nodes on 1..3 hosts in each of 1..4 zones, 1..3 nodes a host."""
    sizes = draw(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=3), min_size=1, max_size=4))
    places = [(f"z{z}", f"z{z}-h{h}") for z, hosts in enumerate(sizes) for h, n in enumerate(hosts) for _ in range(n)]
    return [NodeInfo(f"n{i:02}", f"10.0.0.{i}:7000", zone, host, "i") for i, (zone, host) in enumerate(places)]


def view_of(nodes: list[NodeInfo], goals: Goals, dead: frozenset[str] = frozenset()) -> View:
    alive = {node.id: 0 for node in nodes if node.id not in dead}
    return View(map=map_of(len(nodes), *nodes), alive=alive, leaders={}, pending={}, goals=goals)


def created(nodes: list[NodeInfo], groups: int, replicas: int) -> CreateGroups:
    decision = decide(view_of(nodes, Goals(expected_nodes=len(nodes), groups=groups, replicas=replicas)))
    assert isinstance(decision, Operators)
    (step,) = decision.operators[0].steps
    assert isinstance(step, CreateGroups)
    return step


def spread(names: list[str], nodes: dict[str, NodeInfo]) -> tuple[int, int]:
    return len({nodes[name].zone for name in names}), len({nodes[name].host for name in names})


def width(counts: dict[str, int]) -> int:
    return max(counts.values()) - min(counts.values())


cases = st.tuples(topologies(), st.integers(1, 40), st.integers(1, 5)).filter(lambda case: case[2] <= len(case[0]))


@given(cases)
def test_replicas_are_on_distinct_nodes_zones_and_hosts_as_far_as_there_are_any(
    case: tuple[list[NodeInfo], int, int],
) -> None:
    nodes, groups, replicas = case
    zones, hosts = len({node.zone for node in nodes}), len({node.host for node in nodes})
    known = {node.id: node for node in nodes}
    for group in created(nodes, groups, replicas).groups:
        assert len(set(group.replicas)) == replicas
        assert spread(group.replicas, known) == (min(replicas, zones), min(replicas, hosts))


@given(cases)
def test_no_replica_could_move_to_a_node_with_two_less_without_coming_closer_to_another(
    case: tuple[list[NodeInfo], int, int],
) -> None:
    nodes, groups, replicas = case
    known = {node.id: node for node in nodes}
    result = created(nodes, groups, replicas).groups
    load = Counter(dict.fromkeys(known, 0))
    for group in result:
        load.update(group.replicas)
    for group in result:
        for place, name in enumerate(group.replicas):
            for other in known.keys() - set(group.replicas):
                moved = [*group.replicas[:place], other, *group.replicas[place + 1 :]]
                assert load[other] > load[name] - 2 or spread(moved, known) < spread(group.replicas, known)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 60), st.integers(1, 4))
def test_equal_zones_hold_the_same_number_of_replicas_and_of_first_leaders_on_each_node(
    zones: int, per_zone: int, groups: int, replicas: int
) -> None:
    nodes = [
        NodeInfo(f"n{zone}{place}", "127.0.0.1:1", f"z{zone}", f"h{zone}{place}", "i")
        for zone in range(zones)
        for place in range(per_zone)
    ]
    result = created(nodes, groups, min(replicas, len(nodes))).groups
    held, led = Counter(dict.fromkeys((n.id for n in nodes), 0)), Counter(dict.fromkeys((n.id for n in nodes), 0))
    for group in result:
        held.update(group.replicas)
        led.update(group.replicas[:1])
    assert width(held) <= 1
    assert width(led) <= 1


@given(cases, st.randoms(use_true_random=False))
def test_the_order_of_the_nodes_does_not_matter(case: tuple[list[NodeInfo], int, int], rng: random.Random) -> None:
    nodes, groups, replicas = case
    shuffled = rng.sample(nodes, len(nodes))
    assert created(nodes, groups, replicas) == created(shuffled, groups, replicas)


@given(st.integers(1, SLOT_COUNT))
def test_every_slot_has_one_owner_and_ranges_are_contiguous_and_even(groups: int) -> None:
    node = [NodeInfo("n1", "127.0.0.1:1", "z", "h", "i")]
    step = created(node, min(groups, 300), 1)
    assert [(r.first, r.group) for r in step.slots] == [
        (before.last + 1 if before else 0, number) for number, before in enumerate([None, *step.slots[:-1]], start=1)
    ]
    assert step.slots[-1].last == SLOT_COUNT - 1
    sizes = [r.last - r.first + 1 for r in step.slots]
    assert max(sizes) - min(sizes) <= 1


def three_nodes() -> list[NodeInfo]:
    return [NodeInfo(f"n{i}", "127.0.0.1:1", "z", "h", "i") for i in (1, 2, 3)]


def test_nothing_is_created_before_the_expected_nodes_are_alive() -> None:
    goals = Goals(expected_nodes=3, groups=8, replicas=3)
    assert decide(view_of(three_nodes()[:2], goals)) == Idle(Reason.WAITING_FOR_NODES)
    assert decide(view_of(three_nodes(), goals, dead=frozenset({"n2"}))) == Idle(Reason.WAITING_FOR_NODES)


def test_fewer_nodes_than_replicas_is_a_reason_to_do_nothing() -> None:
    assert decide(view_of(three_nodes(), Goals(expected_nodes=3, groups=8, replicas=5))) == Idle(Reason.TOO_FEW_NODES)


def test_dead_nodes_get_no_replicas() -> None:
    goals = Goals(expected_nodes=2, groups=8, replicas=2)
    decision = decide(view_of(three_nodes(), goals, dead=frozenset({"n2"})))
    assert isinstance(decision, Operators)
    (step,) = decision.operators[0].steps
    assert isinstance(step, CreateGroups)
    assert {name for group in step.groups for name in group.replicas} == {"n1", "n3"}


@pytest.mark.parametrize("wrong", [{"groups": 0}, {"groups": SLOT_COUNT + 1}, {"replicas": 0}, {"expected_nodes": 0}])
def test_goals_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Goals(**({"expected_nodes": 3, "groups": 8, "replicas": 3} | wrong))


def test_reasons_have_distinct_numbers_and_a_sentence() -> None:
    assert sorted(reason.number for reason in Reason) == list(range(1, len(Reason) + 1))
    assert all(reason.sentence.endswith(".") for reason in Reason)


def test_a_cluster_that_has_groups_is_not_bootstrapped_again() -> None:
    nodes = three_nodes()
    step = created(nodes, 4, 3)
    present = ClusterMap("c", 4, nodes, list(step.groups), list(step.slots))
    goals = Goals(expected_nodes=3, groups=8, replicas=3)
    view = View(map=present, alive={"n1": 9, "n2": 9, "n3": 9}, leaders={}, pending={}, goals=goals)
    assert decide(view) == Idle(Reason.NO_LEADERS)
