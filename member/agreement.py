"""Before the first start of a cluster: do all members mean the same one?

A group whose members name different members could elect two leaders, each with a majority of its own. So a new member takes
no part, and does not even vote, before it has heard from every other that it was told the same: whoever asks for a vote has
then made sure of it at all whose votes count. That costs nothing, as the first start needs all members anyway.

The same are all members, by name and address: two nodes of one name, each known to some of the others, would vote twice. And
the numbers of groups and replicas, as whoever leads placement makes the first map from its own. The name of the cluster is
compared before a word is said (`wire.hello`). Which nodes host placement is compared as well: a
node that was not told of all members (`concord node`, in the directory of a member) says no more.
"""

import asyncio
from collections.abc import Mapping

from wire.errors import RpcError
from wire.messages import Founding, NodeStatus, StatusRequest
from wire.methods import STATUS
from wire.rpc import Connect

ASK_S = 1.0
PAUSE_S = 0.1
AUDIBLE_S = 3.0
"""That who has found a disagreement goes on answering, so that the others find it, too."""


SAME_MEMBERS = "all members have to be opened with the same ones in listen= and join=, and a cluster that has begun takes no others"


class DisagreementError(Exception):
    """Two members do not mean the same cluster. Says who and what."""


class Agreement:
    """Asks the others until all have answered.

    Args:
        own: id of this member.
        founding: what this one was told.
        hosts: ids of those that host placement, as this one has it.
        connect: gives a channel to an address.

    Attributes:
        waiting: what is missing, "" when nothing is.
    """

    def __init__(self, own: str, founding: Founding, hosts: list[str], connect: Connect) -> None:
        self._founding = founding
        self._hosts = hosts
        self._connect = connect
        self._left = {name: address for name, address in founding.members.items() if name != own}
        self.waiting = self._missing()

    async def reach(self) -> None:
        """Return once every other member has said the same.

        Raises:
            DisagreementError: one says something else.
        """
        while self._left:
            await asyncio.gather(*(self._ask(name, address) for name, address in self._left.items()))
            self.waiting = self._missing()
            if self._left:
                await asyncio.sleep(PAUSE_S)

    async def _ask(self, name: str, address: str) -> None:
        try:
            said = await self._connect(address).call(STATUS, StatusRequest(), ASK_S)
        except RpcError:
            return
        if said.id != name:
            raise DisagreementError(f"at {address} is the node {said.id}, not {name}: name it as {said.id}={address}")
        if differs := self._difference(said):
            raise DisagreementError(f"{name} at {address} {differs}")
        self._left = {other: where for other, where in self._left.items() if other != name}

    def _difference(self, said: NodeStatus) -> str:
        """What another says of itself and this one of itself, and what to do; "" when it is the same."""
        found = difference(said.founding, self._founding) if said.founding is not None else ""
        if not found and said.placement != self._hosts:
            hosts, own = ", ".join(said.placement), ", ".join(self._hosts)
            found = f"names {hosts} as the hosts of placement, this node {own}: {SAME_MEMBERS}"
        return found

    def _missing(self) -> str:
        return f"no word yet of the members {', '.join(sorted(self._left.values()))}" if self._left else ""


def difference(said: Founding, own: Founding) -> str:
    """In what another member and this one differ, and what to do; "" when they do not."""
    if said.members != own.members:
        return (
            f"names {_named(said.members, own.members)}, this node {_named(own.members, said.members)}: {SAME_MEMBERS}"
        )
    if said.groups != own.groups:
        return f"has groups={said.groups}, this node groups={own.groups}: open all members with the same"
    if said.replicas != own.replicas:
        return (
            f"gives each group {said.replicas} replicas, this node {own.replicas}: "
            "open all members with the same release"
        )
    return ""


def _named(members: Mapping[str, str], others: Mapping[str, str]) -> str:
    """The members that the other one does not have, or not at that address."""
    named = [f"{name}={address}" for name, address in members.items() if others.get(name) != address]
    return f"the member{'s' * (len(named) > 1)} {', '.join(named)}" if named else "no others"
