"""Before the first start of a cluster: do all members mean the same one?

A group whose members name different members could elect two leaders, each with a majority of its own. So a new member takes
no part, and does not even vote, before it has heard from every other that it names the same hosts of placement: whoever asks for a vote has
then made sure of it at all whose votes count. That costs nothing, as the first start needs all members anyway.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from wire.errors import RpcError
from wire.messages import NodeStatus, StatusRequest
from wire.methods import STATUS
from wire.rpc import Method

ASK_S = 1.0
PAUSE_S = 0.1
AUDIBLE_S = 3.0
"""That who has found a disagreement goes on answering, so that the others find it, too."""


class DisagreementError(Exception):
    """Two members do not mean the same cluster. Says who and what."""


class Channel(Protocol):
    """The calling half of `wire.RpcClient`."""

    def call(
        self, method: Method[StatusRequest, NodeStatus], request: StatusRequest, timeout_s: float
    ) -> "asyncio.Future[NodeStatus]":
        """Send a request; the future raises RpcError."""


class Agreement:
    """Asks the others until all have answered.

    Args:
        own: id of this member.
        members: address by id of all.
        hosts: ids of those that host placement, as this one has it.
        connect: gives a channel to an address.

    Attributes:
        waiting: what is missing, "" when nothing is.
    """

    def __init__(
        self, own: str, members: Mapping[str, str], hosts: list[str], connect: Callable[[str], Channel]
    ) -> None:
        self._hosts = hosts
        self._connect = connect
        self._left = {name: address for name, address in members.items() if name != own}
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
        if said.placement != self._hosts:
            raise DisagreementError(
                f"{name} at {address} names {', '.join(said.placement)} as the hosts of placement, this node "
                f"{', '.join(self._hosts)}: all members have to be opened with the same ones in listen= and join="
            )
        self._left = {other: where for other, where in self._left.items() if other != name}

    def _missing(self) -> str:
        return f"no word yet of the members {', '.join(sorted(self._left.values()))}" if self._left else ""
