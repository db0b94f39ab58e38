"""What new members compare before they vote, and what they say of a difference."""

import asyncio
from typing import Any

import msgspec
import pytest

from member.agreement import Agreement, DisagreementError, difference
from wire.errors import Code, RpcError
from wire.messages import Founding, NodeStatus
from wire.rpc import not_applied

MEMBERS = {"a": "10.0.0.1:1", "b": "10.0.0.2:1", "c": "10.0.0.3:1", "d": "10.0.0.4:1"}
HOSTS = ["a", "b", "c"]
OWN = Founding(MEMBERS, 8, 3)


def status(name: str, founding: Founding | None = OWN, placement: list[str] = HOSTS) -> NodeStatus:
    figures: dict[str, Any] = {
        "uptime_s": 1.0,
        "memory_bytes": 1,
        "log_bytes": 1,
        "log_syncs": 1,
        "snapshots": 0,
        "leader_changes": 0,
    }
    told: dict[str, Any] = {"address": MEMBERS[name], "cluster": "concord", "zone": "z", "durability": "fsync"}
    return NodeStatus(id=name, epoch=0, groups=[], placement=placement, founding=founding, **told, **figures)


class Others:
    """The other members by their addresses; who is not there cannot be reached."""

    def __init__(self, *there: NodeStatus) -> None:
        self.there = {each.address: each for each in there}
        self.asked: list[str] = []
        self.asked_again = {address: asyncio.Event() for address in MEMBERS.values()}

    def connect(self, address: str) -> "Channel":
        return Channel(self, address)


class Channel:
    def __init__(self, others: Others, address: str) -> None:
        self._others = others
        self._address = address

    def call(self, *_: object) -> "asyncio.Future[Any]":
        if self._address in self._others.asked:
            self._others.asked_again[self._address].set()
        self._others.asked.append(self._address)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        said = self._others.there.get(self._address)
        if said is None:
            answer.set_exception(RpcError(not_applied(Code.UNAVAILABLE, "it is not there")))
        else:
            answer.set_result(said)
        return answer


def reached(*others: NodeStatus) -> list[str]:
    """Whom `a` has asked until all agreed."""
    there = Others(*others)
    asyncio.run(Agreement("a", OWN, HOSTS, there.connect).reach())
    return there.asked


def test_members_that_were_told_the_same_agree() -> None:
    assert sorted(reached(*map(status, "bcd"))) == sorted(MEMBERS[name] for name in "bcd")


def test_it_waits_for_who_is_not_there_and_says_for_whom() -> None:
    async def scenario() -> None:
        others = Others(status("b"), status("d"))
        agreement = Agreement("a", OWN, HOSTS, others.connect)
        reaching = asyncio.create_task(agreement.reach())
        await others.asked_again[MEMBERS["c"]].wait()
        assert agreement.waiting == "no word yet of the members 10.0.0.3:1"
        assert others.asked.count(MEMBERS["b"]) == 1
        others.there[MEMBERS["c"]] = status("c")
        await reaching
        assert agreement.waiting == ""

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            Founding(MEMBERS | {"e": "10.0.0.5:1"}, 8, 3),
            r"names the member e=10\.0\.0\.5:1, this node no others: .*same ones in listen= and join=",
        ),
        (
            Founding({name: MEMBERS[name] for name in HOSTS}, 8, 3),
            r"names no others, this node the member d=10\.0\.0\.4:1",
        ),
        (
            Founding(MEMBERS | {"c": "10.0.0.9:1", "d": "10.0.0.8:1"}, 8, 3),
            r"names the members c=10\.0\.0\.9:1, d=10\.0\.0\.8:1, this node the members c=10\.0\.0\.3:1, d=10\.0\.0\.4:1",
        ),
        (Founding(MEMBERS, 4, 3), "has groups=4, this node groups=8: open all members with the same"),
        (Founding(MEMBERS, 8, 2), "gives each group 2 replicas, this node 3"),
    ],
    ids=["one more", "one less", "other addresses", "groups", "replicas"],
)
def test_who_was_told_something_else_is_named_though_the_hosts_of_placement_are_the_same(
    said: Founding, why: str
) -> None:
    assert difference(OWN, OWN) == ""
    with pytest.raises(DisagreementError, match=rf"^b at 10\.0\.0\.2:1 {why}"):
        reached(status("b", said), status("c"), status("d"))


@pytest.mark.parametrize("founding", [OWN, None])
def test_other_hosts_of_placement_are_named(founding: Founding | None) -> None:
    with pytest.raises(DisagreementError, match=r"c at .* names a, b, d as the hosts of placement, this node a, b, c"):
        reached(status("b"), status("c", founding, ["a", "b", "d"]), status("d"))


def test_another_node_at_the_address_is_named() -> None:
    with pytest.raises(DisagreementError, match=r"at 10\.0\.0\.4:1 is the node x, not d: name it as x=10\.0\.0\.4:1"):
        reached(status("b"), status("c"), msgspec.structs.replace(status("d"), id="x"))


def test_a_node_that_was_not_told_of_all_agrees_when_the_hosts_of_placement_are_the_same() -> None:
    assert len(reached(status("b", None), status("c"), status("d"))) == 3


def test_a_status_of_an_earlier_release_says_nothing_of_it() -> None:
    earlier = msgspec.msgpack.decode(msgspec.msgpack.encode(status("b")), type=list[Any])[:-1]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(earlier), type=NodeStatus) == status("b", None)
