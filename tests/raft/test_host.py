"""One node's replicas share a log, a sync and a packet, and nobody speaks in another's name."""

from typing import cast

import pytest

from raft import host as host_module
from raft.host import _parts
from raft.messages import Addressed, AppendEntries, LogEntry, Packet, VoteReply
from raft.network import WireNetwork, receiving
from raft.peers import Peers
from tests.raft.members import CONFIG, GROUP, FatalError, Group, ListMachine, append, entries
from wire import Peer, Role, RpcClient

MESSAGE = VoteReply(1, granted=True)


# --- turns and syncs -----------------------------------------------------------------------------------------------


def test_groups_that_write_in_one_turn_share_a_sync() -> None:
    group = Group(1)
    a = group["a"]
    for number in range(100, 120):
        a.host.create(number, ["a"], ListMachine())
    a.sync()
    before = a.host.wal.syncs
    for replica in a.host.replicas.values():
        replica.journal.add(b"\x00x", 2, 0)
        a.host.wake(replica)
    a.sync()
    assert a.host.wal.syncs == before + 1


def test_what_a_turn_has_to_say_to_a_node_goes_in_one_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group()
    a = group.elect("a")
    packets: list[tuple[str, Packet]] = []
    monkeypatch.setattr(a, "send", lambda to, packet: packets.append((to, packet)))
    for number in range(10):
        a.replica.propose(b"%d" % number, lambda _outcome: None)
    a.loop.run()
    assert sorted(to for to, _ in packets) == ["b", "c"]


def test_an_idle_replica_is_not_ticked() -> None:
    group = Group()
    a = group.elect("a")
    group.settle()
    written = a.host.wal.written
    for member in group.members.values():
        member.scan()
    assert group.letters("b") == []
    assert a.host.wal.written == written


def test_long_lists_are_cut_into_packets_of_a_bounded_size() -> None:
    def entry(size: int) -> Addressed:
        return Addressed(GROUP, AppendEntries(1, 1, 1, 1, 0.0, 0, [LogEntry(1, bytes(size))]))

    messages = [entry(1 << 20) for _ in range(10)] + [entry(13 << 20), entry(1)]
    parts = [part for part, _ in _parts(messages)]
    assert [message for part in parts for message in part] == messages
    assert [len(part) for part in parts] == [3, 3, 3, 1, 1, 1]


def test_promises_that_the_disk_never_keeps_up_with_are_forgotten_oldest_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host_module, "_HELD_MESSAGES", 3)
    group = Group()
    b = group["b"]
    for _ in range(5):
        b.receive("a", append(b, term=1, entries=entries(1)))
    b.sync()
    assert [message.match_index for _, _, message in group.letters("b")] == [4, 5, 6]  # type: ignore[union-attr]


def test_an_error_in_the_middle_of_a_change_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory and log may differ from there on."""
    group = Group()
    b = group["b"]

    def fail(*_: object) -> None:
        raise ValueError("half done")

    monkeypatch.setattr(b.replica.journal, "add", fail)
    with pytest.raises(FatalError, match="half done"):
        b.receive("a", append(b, term=1, entries=entries(1)))


def test_a_leader_whose_log_hangs_steps_down() -> None:
    group = Group()
    a = group.elect("a")
    outcome = a.propose(b"x")
    a.scan()
    for _ in range(5):
        group.advance(CONFIG.leader_timeout_s / 4)
        a.heartbeat()
        for name in "bc":
            group.deliver(to=name)
            group[name].sync()
        group.deliver(to="a")
        a.scan()
    assert a.replica.role == "follower"
    assert len(outcome) == 1


# --- who is heard --------------------------------------------------------------------------------------------------


def test_a_packet_of_another_cluster_is_ignored() -> None:
    b = Group()["b"]
    b.host.receive(Packet("other", "a", "a", [Addressed(GROUP, append(b, term=1))]))
    assert b.replica.term == 0


def test_a_message_for_a_group_that_is_not_here_is_ignored() -> None:
    b = Group()["b"]
    b.host.receive(Packet("test", "a", "a", [Addressed(GROUP + 1, append(b, term=1))]))
    assert b.replica.term == 0


def test_a_node_that_comes_back_with_another_data_directory_is_not_heard_also_after_a_restart() -> None:
    b = Group()["b"]
    b.host.receive(Packet("test", "a", "first", []))
    for _ in range(2):
        b.host.receive(Packet("test", "a", "second", [Addressed(GROUP, append(b, term=1))]))
        assert b.replica.term == 0
        b.restart()
    b.host.receive(Packet("test", "a", "first", [Addressed(GROUP, append(b, term=1))]))
    assert b.replica.term == 1


def test_a_closed_host_hears_and_sends_nothing() -> None:
    group = Group()
    b = group["b"]
    b.host.close()
    b.receive("a", append(b, term=1))
    b.scan()
    assert (b.replica.term, group.mail) == (0, [])


def test_a_group_is_hosted_once() -> None:
    with pytest.raises(ValueError, match="hosted already"):
        Group()["b"].host.create(GROUP, ["a", "b", "c"], ListMachine())


def test_a_group_that_is_created_after_a_restart_has_what_the_log_knows_of_it() -> None:
    b = Group()["b"]
    replica = b.host.create(99, ["a", "b", "c"], ListMachine())
    replica.journal.add(b"\x00x", 2, 0)
    b.host.wake(replica)
    b.sync()
    b.restart()
    assert b.host.create(99, ["a", "b", "c"], ListMachine()).last_index == 2


@pytest.mark.parametrize(
    ("peer", "taken"),
    [
        (Peer("a", role=Role.NODE), True),
        (Peer("b", role=Role.NODE), False),
        (Peer("a", role=Role.GATEWAY), False),
        (Peer(), True),
    ],
    ids=["itself", "another node", "not a node", "without TLS"],
)
def test_a_packet_is_taken_from_the_node_that_it_names_only(peer: Peer, taken: bool) -> None:  # noqa: FBT001 - a table
    packets: list[Packet] = []
    _notification, handle, _role = receiving(packets.append)
    handle(peer, Packet("test", "a", "a", [Addressed(GROUP, MESSAGE)]))
    assert bool(packets) is taken


def test_a_sender_that_shares_no_group_is_not_remembered() -> None:
    member = Group()["a"]
    for sender in ("stranger", "a", "b"):
        member.host.receive(Packet("test", sender, sender, [Addressed(GROUP, MESSAGE)]))
    known = Peers(member.disk, "a")
    assert known.accept("stranger", "its first contact is still to come")
    assert not known.accept("b", "another")


# --- connections ---------------------------------------------------------------------------------------------------


class Channel:
    """An RPC client that only notes what it is asked."""

    def __init__(self, address: str, node: str) -> None:
        self.address, self.node = address, node
        self.sent: list[Packet] = []
        self.connected = False

    def notify(self, _notification: object, packet: Packet) -> bool:
        self.sent.append(packet)
        return self.connected


def network() -> tuple[WireNetwork, list[Channel]]:
    channels: list[Channel] = []

    def connect(address: str, node: str) -> RpcClient:
        channels.append(Channel(address, node))
        return cast("RpcClient", channels[-1])

    return WireNetwork("a", "test", "first", connect), channels


def test_a_node_whose_address_is_unknown_cannot_be_reached() -> None:
    wire, channels = network()
    assert not wire.connected("b")
    assert not wire.send("b", Packet("test", "a", "first", []))
    assert not channels


def test_asking_whether_a_node_is_connected_makes_its_channel_connect() -> None:
    wire, channels = network()
    wire.learn({"b": "host:1"})
    assert not wire.connected("b")
    [channel] = channels
    assert (channel.node, channel.sent) == ("b", [Packet("test", "a", "first", [])])


def test_a_changed_address_gets_a_new_channel() -> None:
    wire, channels = network()
    wire.learn({"b": "host:1"})
    wire.connected("b")
    wire.learn({"b": "host:1"})
    wire.connected("b")
    wire.learn({"b": "host:2"})
    wire.connected("b")
    assert [channel.address for channel in channels] == ["host:1", "host:2"]
