"""What nodes say about themselves over RPC, as a program sees it that asks now and then."""

import asyncio
from collections.abc import Iterable, Mapping

from wire import RpcClient, RpcError
from wire.messages import NodeStatus, StatusRequest
from wire.methods import STATUS

TIMEOUT_S = 10.0

Indexes = Mapping[int, int]
"""Group → log index."""


def ask(address: str, timeout_s: float = TIMEOUT_S) -> NodeStatus | None:
    """A node's status, None when it does not answer in time."""
    return asyncio.run(_ask(address, timeout_s))


async def _ask(address: str, timeout_s: float) -> NodeStatus | None:
    client = RpcClient(address)
    try:
        return await client.call(STATUS, StatusRequest(), timeout_s)
    except RpcError:
        return None
    finally:
        await client.close()


def commit_indexes(statuses: Iterable[NodeStatus]) -> Indexes:
    """The highest index that any replica of a group knows to be committed."""
    highest: dict[int, int] = {}
    for status in statuses:
        for group in status.groups:
            highest[group.id] = max(group.commit_index, highest.get(group.id, 0))
    return highest


def has_applied(status: NodeStatus | None, wanted: Indexes) -> bool:
    """Whether every replica of the node is as far."""
    return status is not None and all(group.applied_index >= wanted.get(group.id, 0) for group in status.groups)


def has_snapshots_after(status: NodeStatus | None, indexes: Indexes, placement: int = 0) -> bool:
    """Whether every replica of a data group has a snapshot that goes beyond an index."""
    return status is not None and all(
        group.snapshot_index > indexes.get(group.id, 0) for group in status.groups if group.id != placement
    )


def keys_led(statuses: Iterable[NodeStatus]) -> int:
    """Keys of the whole cluster, as the leaders count them."""
    return sum(group.keys for status in statuses for group in status.groups if group.role == "leader")
