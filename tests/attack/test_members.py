"""A certificate of the cluster is not a licence to speak for others: who may send what groups act upon."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from process.address import parse_address
from raft.messages import RAFT, Addressed, Packet, RequestVote
from raft.sealed import unseal
from tests.attack.victims import ANSWER_S, CLUSTER, Victims, unharmed
from tests.e2e.cluster import wait_until
from tests.e2e.writers import Writers
from wire import Code, Peer, RpcClient, RpcError, RpcServer, TlsConfig
from wire.messages import ClusterMap, HeartbeatReply, HeartbeatRequest, StatusRequest, WatchMapRequest
from wire.methods import HEARTBEAT, STATUS, WATCH_MAP

TERM = 10**6
RECORDED = 30


def cluster_map(victims: Victims) -> ClusterMap:
    async def ask() -> ClusterMap:
        client = RpcClient(_address(victims, "n1"), tls=victims.certificate("admin", "map"))
        try:
            return await client.call(WATCH_MAP, WatchMapRequest(0, 0), ANSWER_S)
        finally:
            await client.close()

    return asyncio.run(ask())


def _address(victims: Victims, node: str) -> str:
    return victims.nodes.places[node].address


def forged(victims: Victims, sender: str) -> Packet:
    """A call for votes that would depose every leader, had it come from a member; with the incarnation that member has."""
    known = cluster_map(victims)
    incarnation = {node.id: node.incarnation for node in known.nodes}.get(sender, "made-up")
    vote = RequestVote(term=TERM, last_index=TERM, last_term=TERM, transfer=True)
    groups = [0, *[group.id for group in known.groups]]
    return Packet(CLUSTER, sender, incarnation, [Addressed(group, vote) for group in groups])


def send(victims: Victims, tls: TlsConfig | None, node: str, packets: Sequence[Packet]) -> None:
    """Send packets, and wait for an answer to what was asked after them: they have been looked at."""

    async def talk() -> None:
        client = RpcClient(_address(victims, node), tls=tls)
        try:
            await client.call(STATUS, StatusRequest(), ANSWER_S)
            for packet in packets:
                while not client.notify(RAFT, packet):
                    assert client.connected
                    await client.call(STATUS, StatusRequest(), ANSWER_S)
            await client.call(STATUS, StatusRequest(), ANSWER_S)
        finally:
            await client.close()

    asyncio.run(talk())


def known_peers(victims: Victims, node: str) -> dict[str, str]:
    sealed = (victims.nodes.directory / node / "peers.json").read_bytes()
    found: dict[str, str] = json.loads(unseal(sealed) or b"")["incarnations"]
    return found


@pytest.mark.parametrize(
    ("role", "name"), [("gateway", "g"), ("gateway", "n2"), ("admin", "n2"), ("node", "n9"), ("node", "n3")]
)
def test_nobody_speaks_in_the_name_of_a_member(secured: Victims, role: str, name: str) -> None:
    with unharmed(secured):
        send(secured, secured.certificate(role, name), "n1", [forged(secured, "n2")] * 20)
    what = "packet in the name of 'n2'" if role == "node" else "raft"
    assert f"{role} '{name}' sent a {what}: dropped" in secured.nodes.log("n1")


def test_a_node_that_no_group_has_is_not_heard_and_not_remembered(secured: Victims) -> None:
    with unharmed(secured):
        send(secured, secured.certificate("node", "n9"), "n1", [forged(secured, "n9")] * 20)
    assert set(known_peers(secured, "n1")) <= {"n2", "n3"}


def test_made_up_senders_leave_no_trace(plain: Victims) -> None:
    """Without TLS a sender is whoever it says, so that what is kept of senders must not grow with what they say."""
    with unharmed(plain):
        send(plain, None, "n1", [forged(plain, f"stranger{number}" + "x" * 1000) for number in range(50)])
    assert set(known_peers(plain, "n1")) <= {"n2", "n3"}


def test_a_member_with_another_data_directory_is_not_heard(plain: Victims) -> None:
    packet = forged(plain, "n2")
    with unharmed(plain):
        send(plain, None, "n1", [Packet(CLUSTER, "n2", "another", packet.messages)] * 20)


@pytest.mark.parametrize(("role", "name"), [("gateway", "n2"), ("node", "n9")])
def test_nobody_sends_heartbeats_in_the_name_of_a_node(secured: Victims, role: str, name: str) -> None:
    node = next(node for node in cluster_map(secured).nodes if node.id == "n2")

    async def beat(at: str) -> HeartbeatReply:
        client = RpcClient(_address(secured, at), tls=secured.certificate(role, name))
        try:
            return await client.call(HEARTBEAT, HeartbeatRequest("n2", node.incarnation, 0, []), ANSWER_S)
        finally:
            await client.close()

    for at in secured.nodes.places:
        with pytest.raises(RpcError) as refused:
            asyncio.run(beat(at))
        assert refused.value.failure.code in {Code.INVALID, Code.NOT_LEADER}


def test_recorded_packets_are_worth_nothing_to_others_and_nothing_new_from_their_sender(secured: Victims) -> None:
    """What one node said to n3 is sent to the other: by others, who are not heard, and in its name, where raft knows it."""
    recorded = _record(secured, "n3")
    sender = recorded[0].sender
    target = "n2" if sender == "n1" else "n1"
    stolen = secured.certificate("node", "n3")
    with unharmed(secured) as writers:
        for tls in (stolen, secured.certificate("node", "n9"), secured.certificate("gateway", "g")):
            send(secured, tls, target, recorded)
        for _ in range(3):
            send(secured, secured.certificate("node", sender), target, recorded)
            writers.wait_for(10)
    assert f"node 'n3' sent a packet in the name of '{sender}': dropped" in secured.nodes.log(target)


def _record(victims: Victims, place: str) -> list[Packet]:
    """Stand in for a node that is stopped meanwhile, and write down what one of the others says to it."""
    heard: dict[str, list[Packet]] = {"n1": [], "n2": []}

    def write_down(_peer: Peer, packet: Packet) -> None:
        if packet.messages:
            heard[packet.sender].append(packet)

    async def stand_in() -> None:
        server = RpcServer(tls=victims.certificate("node", place))
        server.on_notification(RAFT, write_down)
        await server.start(*parse_address(_address(victims, place)))
        try:
            async with asyncio.timeout(60):
                while max(map(len, heard.values())) < RECORDED:
                    await asyncio.sleep(0.01)
                    for other in heard:
                        victims.nodes.pid(other)
        finally:
            await server.close(0)

    victims.nodes.stop(place)
    try:
        with Writers(victims, "r"):
            asyncio.run(stand_in())
    finally:
        victims.nodes.start_node(place)
    return max(heard.values(), key=len)


def test_the_forged_packet_would_have_told_had_a_member_sent_it(secured: Victims) -> None:
    """The attacks above have teeth. Last, since it does depose the leaders."""
    send(secured, secured.certificate("node", "n2"), "n1", [forged(secured, "n2")])
    wait_until(lambda: min(secured.terms()["n1"].values()) >= TERM, "the term is taken over")
