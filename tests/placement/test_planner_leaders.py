import itertools
from collections import Counter
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from placement.planner import Decision, Goals, Idle, Leadership, Operators, Reason, TransferLeader, View, decide
from wire.messages import ClusterMap, GroupInfo, NodeInfo

SETTLED = 60_000
GOALS = Goals(expected_nodes=1, groups=1, replicas=1, transfers_max=3, settle_ms=5000)


def map_with(groups: list[list[str]]) -> ClusterMap:
    names = sorted({name for replicas in groups for name in replicas})
    nodes = [NodeInfo(name, "127.0.0.1:1", "z", "h", "i") for name in names]
    return ClusterMap("c", 1, nodes, [GroupInfo(i, replicas) for i, replicas in enumerate(groups, start=1)], [])


def view_of(
    groups: list[list[str]],
    leaders: Mapping[int, str],
    *,
    alive: Mapping[str, int] | None = None,
    ages: Mapping[int, int] | None = None,
    pending: Mapping[int, str] | None = None,
) -> View:
    present = map_with(groups)
    return View(
        map=present,
        alive=alive if alive is not None else {node.id: SETTLED for node in present.nodes},
        leaders={group: Leadership(node, (ages or {}).get(group, SETTLED)) for group, node in leaders.items()},
        pending=pending or {},
        goals=GOALS,
    )


def transfers(decision: Decision) -> list[TransferLeader]:
    if isinstance(decision, Idle):
        return []
    steps = [step for operator in decision.operators for step in operator.steps]
    return [step for step in steps if isinstance(step, TransferLeader)]


NAMES = ["n1", "n2", "n3", "n4", "n5"]
replica_sets = st.integers(1, 3).flatmap(lambda size: st.permutations(NAMES).map(lambda names: names[:size]))


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[list[str]], dict[int, str], dict[str, int]]:
    """Groups with any replicas, some nodes dead, and a leader on one of the living replicas of most groups."""
    groups = draw(st.lists(replica_sets, min_size=1, max_size=9))
    alive = {name: SETTLED for name in NAMES if draw(st.sampled_from([True, True, True, False]))}
    leaders = {}
    for number, replicas in enumerate(groups, start=1):
        living = [name for name in replicas if name in alive]
        if living and draw(st.sampled_from([True, True, True, False])):
            leaders[number] = draw(st.sampled_from(living))
    return groups, leaders, alive


def cost(leaders: Mapping[int, str]) -> int:
    return sum(count * count for count in Counter(leaders.values()).values())


def least_cost(groups: list[list[str]], leaders: Mapping[int, str], alive: Mapping[str, int]) -> int:
    """By trying every choice of leaders."""
    choices = [[name for name in groups[number - 1] if name in alive] for number in leaders]
    return min(cost(dict(enumerate(choice))) for choice in itertools.product(*choices))


@given(clusters(), st.data())
def test_transfers_end_at_the_evenest_spread_there_is_and_then_stop(
    case: tuple[list[list[str]], dict[int, str], dict[str, int]], data: st.DataObject
) -> None:
    groups, leaders, alive = case
    best = least_cost(groups, leaders, alive) if leaders else 0
    for _ in range(60):
        decision = decide(view_of(groups, leaders, alive=alive))
        steps = transfers(decision)
        if not steps:
            break
        carried_out = data.draw(st.lists(st.sampled_from(steps), min_size=1, unique_by=lambda step: step.group))
        leaders |= {step.group: step.target for step in carried_out}
    else:
        raise AssertionError("it never stops")
    assert decision in (Idle(Reason.BALANCED), Idle(Reason.NO_LEADERS))
    assert cost(leaders) == best


@given(clusters())
def test_a_transfer_goes_from_the_leader_to_a_living_replica_and_never_more_at_a_time_than_allowed(
    case: tuple[list[list[str]], dict[int, str], dict[str, int]],
) -> None:
    groups, leaders, alive = case
    steps = transfers(decide(view_of(groups, leaders, alive=alive)))
    assert len(steps) <= GOALS.transfers_max
    assert len({step.group for step in steps}) == len(steps)
    for step in steps:
        assert step.source == leaders[step.group]
        assert step.target in groups[step.group - 1]
        assert step.target in alive


@given(clusters())
def test_the_same_view_gives_the_same_decision(case: tuple[list[list[str]], dict[int, str], dict[str, int]]) -> None:
    groups, leaders, alive = case
    again = dict(reversed(leaders.items())), dict(reversed(alive.items()))
    assert decide(view_of(groups, leaders, alive=alive)) == decide(view_of(groups, again[0], alive=again[1]))


ALL = ["n1", "n2", "n3"]
FOUR = [["n1", "n2", "n3"], ["n2", "n3", "n1"], ["n3", "n1", "n2"], ["n1", "n2", "n3"]]


def test_groups_go_home_to_their_preferred_leader_first() -> None:
    steps = transfers(decide(view_of(FOUR, dict.fromkeys((1, 2, 3, 4), "n1"))))
    assert steps == [TransferLeader(2, "n1", "n2"), TransferLeader(3, "n1", "n3")]


def test_an_even_spread_is_left_alone_though_no_leader_is_the_preferred_one() -> None:
    assert decide(view_of(FOUR, {1: "n2", 2: "n3", 3: "n1", 4: "n2"})) == Idle(Reason.BALANCED)


def test_a_chain_of_transfers_is_found_where_no_single_one_helps() -> None:
    groups = [["a", "b"], ["a", "b"], ["a", "b"], ["b", "a"], ["b", "c"], ["c"]]
    leaders = {1: "a", 2: "a", 3: "a", 4: "b", 5: "b", 6: "c"}
    steps = transfers(decide(view_of(groups, leaders)))
    assert [(step.source, step.target) for step in steps] == [("a", "b"), ("b", "c")]


def test_groups_and_nodes_that_changed_a_moment_ago_are_left_in_peace() -> None:
    leaders = dict.fromkeys((1, 2, 3, 4), "n1")
    fresh_groups = view_of(FOUR, leaders, ages=dict.fromkeys((1, 2, 3, 4), 4999))
    assert decide(fresh_groups) == Idle(Reason.SETTLING)
    fresh_nodes = view_of(FOUR, leaders, alive={"n1": SETTLED, "n2": 4999, "n3": 0})
    assert decide(fresh_nodes) == Idle(Reason.SETTLING)


def test_transfers_under_way_count_as_done_and_against_the_limit() -> None:
    leaders = dict.fromkeys((1, 2, 3, 4), "n1")
    assert decide(view_of(FOUR, leaders, pending={2: "n2", 3: "n3"})) == Idle(Reason.BALANCED)
    nine = [ALL] * 9
    all_on_one = dict.fromkeys(range(1, 10), "n1")
    full = view_of(nine, all_on_one, pending={1: "n2", 2: "n3", 3: "n2"})
    assert decide(full) == Idle(Reason.TRANSFERS_UNDER_WAY)
    assert len(transfers(decide(view_of(nine, all_on_one, pending={1: "n2"})))) == 2


def test_a_transfer_under_way_to_a_dead_node_does_not_count_as_done() -> None:
    view = view_of(FOUR[:3], {1: "n1", 2: "n1", 3: "n1"}, alive={"n1": SETTLED, "n2": SETTLED}, pending={2: "n3"})
    decision = decide(view)
    assert isinstance(decision, Operators)
    assert [step.target for step in transfers(decision)] == ["n2"]


def test_no_known_leader_is_a_reason_to_do_nothing() -> None:
    assert decide(view_of(FOUR, {})) == Idle(Reason.NO_LEADERS)
