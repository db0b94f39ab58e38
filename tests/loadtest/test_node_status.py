"""What nodes say is compared group by group."""

import msgspec

from loadtest.node_status import commit_indexes, has_applied, has_snapshots_after, keys_led
from loadtest.probe import Sample, between
from wire.messages import GroupStatus, NodeStatus

GROUP = GroupStatus(1, "leader", "n1", 2, 10, 10, 10, 5, 100, 0)


def node(*groups: GroupStatus) -> NodeStatus:
    return NodeStatus("n1", "z", "a:1", "c", 1, "fsync", 1.0, 0, 0, 0, 0, 0, list(groups))


def replica(**changed: object) -> GroupStatus:
    return msgspec.structs.replace(GROUP, **changed)


def test_the_highest_commit_index_that_anybody_knows_counts() -> None:
    assert commit_indexes([node(replica(commit_index=7)), node(replica(commit_index=9), replica(id=2))]) == {
        1: 9,
        2: 10,
    }


def test_a_node_has_caught_up_when_every_replica_has() -> None:
    wanted = {1: 9, 2: 9}
    assert has_applied(node(replica(applied_index=9), replica(id=2)), wanted)
    assert not has_applied(node(replica(applied_index=9), replica(id=2, applied_index=8)), wanted)
    assert not has_applied(None, wanted)


def test_placement_needs_no_snapshot() -> None:
    assert has_snapshots_after(node(replica(id=0, snapshot_index=0), replica(snapshot_index=8)), {1: 7})
    assert not has_snapshots_after(node(replica(snapshot_index=7)), {1: 7})


def test_keys_are_counted_once_each() -> None:
    assert keys_led([node(replica()), node(replica(role="follower"))]) == 100


def test_samples_belong_to_the_span_in_which_they_were_due() -> None:
    samples = [Sample(at, 1.0, ok=True) for at in (1.0, 2.0, 3.0)]
    assert [sample.due_s for sample in between(samples, 1.5, 3.0)] == [2.0]
