"""Whether the replicas of a group hold the same state: what each of them lists, stale, hashed.

This is the one place that knows how states are compared. A replica lists as of the last entry that it applied, so two
that have applied the same entries must list the same keys with the same values, revisions and times to live.
"""

import asyncio
import hashlib
from functools import partial

import msgspec

from tests.chaos.fleet import Fleet
from wire import RpcClient, RpcError
from wire.messages import LIMIT_LIST_ITEMS, Consistency, ListRequest
from wire.methods import LIST

TIMEOUT_S = 5.0
TRIES = 40
PAUSE_S = 0.1


class State(msgspec.Struct, frozen=True):
    """Of one replica: the last index that it applied, and the hash of what it holds."""

    index: int
    hash: str
    keys: int


def differences(fleet: Fleet, groups: dict[int, list[str]]) -> list[str]:
    """What differs between the replicas of each group, in sentences; nobody may be writing.

    Args:
        fleet: the cluster.
        groups: group → names of the nodes that have its replicas.
    """
    return [text for texts in fleet.inside.map(partial(_compare, fleet), groups.items()) for text in texts]


def _compare(fleet: Fleet, group: tuple[int, list[str]]) -> list[str]:
    number, names = group
    states = asyncio.run(_agreed(number, {name: fleet.node_address(name) for name in names}))
    if len({state.index for state in states.values()}) > 1 or len(states) < len(names):
        return [f"group {number}: its replicas do not come to the same index: {_shown(states)}"]
    if len({state.hash for state in states.values()}) > 1:
        return [f"group {number}: its replicas hold different states: {_shown(states)}"]
    return []


def _shown(states: dict[str, State]) -> str:
    return ", ".join(f"{name}: {state.keys} keys at {state.index}, {state.hash}" for name, state in states.items())


async def _agreed(group: int, addresses: dict[str, str]) -> dict[str, State]:
    """The states once all are at the same index, or as they were last."""
    channels = {name: RpcClient(address) for name, address in addresses.items()}
    states: dict[str, State] = {}
    try:
        for _ in range(TRIES):
            answers = await asyncio.gather(*(_state(channel, group) for channel in channels.values()))
            states = {name: state for name, state in zip(channels, answers, strict=True) if state is not None}
            if len(states) == len(addresses) and len({state.index for state in states.values()}) == 1:
                break
            await asyncio.sleep(PAUSE_S)
    finally:
        for channel in channels.values():
            await channel.close()
    return states


async def _state(channel: RpcClient, group: int) -> State | None:
    """None when the replica does not answer, or applied something meanwhile."""
    digest, after, keys, indexes = hashlib.sha256(), "", 0, set()
    while True:
        asked = ListRequest(group, "", after, LIMIT_LIST_ITEMS, with_values=True, consistency=Consistency.STALE)
        try:
            reply = await channel.call(LIST, asked, TIMEOUT_S)
        except RpcError:
            return None
        indexes.add(reply.revision)
        keys += len(reply.entries)
        digest.update(msgspec.msgpack.encode(reply.entries))
        if not reply.more:
            break
        after = reply.entries[-1].key
    return State(indexes.pop(), digest.hexdigest()[:16], keys) if len(indexes) == 1 else None
