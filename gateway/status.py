"""`GET /status`, and its parts `/members`, `/nodes` and `/groups`: every node asked at once what it hosts, put together to
one picture. The putting together is pure.
"""  # noqa: D205 - the routes are the summary

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from gateway.answers import Answer, data
from gateway.errors import ApiCode, ApiError
from gateway.requests import Request
from gateway.router import Router
from wire.errors import RpcError
from wire.messages import GroupStatus, NodeInfo, NodeStatus, StatusRequest
from wire.methods import STATUS
from wire.rpc import Connect

PLACEMENT_GROUP = 0
NODE_TIMEOUT_S = 1.0
LEADER, FOLLOWER = "leader", "follower"


class _Node(msgspec.Struct):
    name: str
    status: str
    address: str
    zone: str
    reachable: bool


class _Cluster(msgspec.Struct):
    name: str
    nodes: list[_Node]
    leader: str | None


class _Storage(msgspec.Struct):
    size: int
    memory: int


class _Group(msgspec.Struct):
    id: int
    leader: str | None
    replicas: list[str]
    term: int
    commit_index: int
    applied_index: int
    keys: int
    bytes: int
    checked_index: int
    diverged: bool
    fenced: list[str]


class _Host(msgspec.Struct):
    """A node with what it says of itself; null for what only it could say, when it does not answer."""

    name: str
    address: str
    zone: str
    host: str
    reachable: bool
    durability: str | None
    uptime_s: float | None
    memory: int | None
    log_bytes: int | None
    epoch: int | None
    replicas: int
    leads: int


class _Picture(msgspec.Struct):
    cluster: _Cluster
    storage: _Storage
    metrics: dict[str, int]
    groups: list[_Group]
    epoch: int


Answers = Mapping[str, NodeStatus]


class StatusPage:
    """Answers `GET /status`."""

    def __init__(self, cluster: str, router: Router, connect: Connect) -> None:
        self._cluster = cluster
        self._router = router
        self._connect = connect

    async def status(self, request: Request) -> Answer:
        """`GET /status`; nodes that do not answer in time are shown as unreachable."""
        nodes, answered = await self._look(request)
        return _answer(self._picture(nodes, answered))

    async def members(self, request: Request) -> Answer:
        """`GET /members`: the nodes of the cluster, and what each is in placement's group."""
        nodes, answered = await self._look(request)
        return _answer([_node(node, answered) for node in nodes])

    async def hosts(self, request: Request) -> Answer:
        """`GET /nodes`: each node with what it hosts and uses."""
        nodes, answered = await self._look(request)
        return _answer([self._host(node, answered.get(node.id)) for node in nodes])

    async def groups(self, request: Request) -> Answer:
        """`GET /groups`: each group as its leader sees it."""
        _, answered = await self._look(request)
        return _answer(self._groups(answered))

    async def _look(self, request: Request) -> tuple[list[NodeInfo], Answers]:
        """The nodes of the map, and what those say that answer in time.

        Raises:
            ApiError: INVALID_REQUEST; CLUSTER_UNAVAILABLE when none does.
        """
        request.query()
        nodes = list(self._router.nodes)
        replies = await asyncio.gather(*(self.ask(node) for node in nodes))
        answered = {node.id: reply for node, reply in zip(nodes, replies, strict=True) if reply is not None}
        if not answered:
            raise ApiError(ApiCode.CLUSTER_UNAVAILABLE, "no node of the cluster answers")
        return nodes, answered

    async def ask(self, node: NodeInfo) -> NodeStatus | None:
        """The status of a node; None when it does not answer in time."""
        try:
            return await self._connect(node.address).call(STATUS, StatusRequest(), NODE_TIMEOUT_S)
        except RpcError:
            return None

    def _picture(self, nodes: Sequence[NodeInfo], answered: Answers) -> _Picture:
        groups = self._groups(answered)
        return _Picture(
            cluster=_Cluster(
                name=self._cluster,
                nodes=[_node(node, answered) for node in nodes],
                leader=_leader(PLACEMENT_GROUP, answered),
            ),
            storage=_Storage(
                size=sum(group.bytes for group in groups),
                memory=sum(status.memory_bytes for status in answered.values()),
            ),
            metrics=_totals(groups, answered),
            groups=groups,
            epoch=self._router.epoch,
        )

    def _groups(self, answered: Answers) -> list[_Group]:
        return [_group(group, self._router.replicas(group), answered) for group in self._router.groups]

    def _host(self, node: NodeInfo, status: NodeStatus | None) -> _Host:
        return _Host(
            name=node.id,
            address=node.address,
            zone=node.zone,
            host=node.host,
            reachable=status is not None,
            durability=status.durability if status else None,
            uptime_s=status.uptime_s if status else None,
            memory=status.memory_bytes if status else None,
            log_bytes=status.log_bytes if status else None,
            epoch=status.epoch if status else None,
            replicas=sum(node.id in self._router.replicas(group) for group in self._router.groups),
            leads=sum(replica.role == LEADER and replica.id != PLACEMENT_GROUP for replica in status.groups)
            if status
            else 0,
        )


def _answer(shown: object) -> Answer:
    return Answer(data(msgspec.json.encode(shown)))


def _node(node: NodeInfo, answered: Answers) -> _Node:
    status = answered.get(node.id)
    replica = _replica(status, PLACEMENT_GROUP) if status is not None else None
    return _Node(
        name=node.id,
        status=replica.role if replica is not None else FOLLOWER,
        address=node.address,
        zone=node.zone,
        reachable=status is not None,
    )


def _group(group: int, replicas: Sequence[str], answered: Answers) -> _Group:
    """A group as its leader sees it, else as the replica that has applied most; `fenced` are the nodes that say so."""
    seen = [replica for status in answered.values() if (replica := _replica(status, group)) is not None]
    best = max(seen, key=lambda replica: (replica.role == LEADER, replica.term, replica.applied_index), default=None)
    return _Group(
        id=group,
        leader=_leader(group, answered),
        replicas=list(replicas),
        term=best.term if best is not None else 0,
        commit_index=best.commit_index if best is not None else 0,
        applied_index=best.applied_index if best is not None else 0,
        keys=best.keys if best is not None else 0,
        bytes=best.bytes if best is not None else 0,
        checked_index=max((replica.checked_index for replica in seen), default=0),
        diverged=any(replica.diverged for replica in seen),
        fenced=[node for node in replicas if node in answered and _is_fenced(answered[node], group)],
    )


def _leader(group: int, answered: Answers) -> str | None:
    """The node that leads a group in its highest term, among those that say so of themselves."""
    claims = [
        (replica.term, node)
        for node, status in answered.items()
        if (replica := _replica(status, group)) is not None and replica.role == LEADER
    ]
    return max(claims)[1] if claims else None


def _is_fenced(status: NodeStatus, group: int) -> bool:
    replica = _replica(status, group)
    return replica is not None and replica.fenced


def _replica(status: NodeStatus, group: int) -> GroupStatus | None:
    return next((replica for replica in status.groups if replica.id == group), None)


def _totals(groups: Sequence[_Group], answered: Answers) -> dict[str, int]:
    statuses = answered.values()
    return {
        "keys": sum(group.keys for group in groups),
        "groups": len(groups),
        "groups_without_leader": sum(group.leader is None for group in groups),
        "groups_diverged": sum(group.diverged or bool(group.fenced) for group in groups),
        "nodes": len(answered),
        "log_bytes": sum(status.log_bytes for status in statuses),
        "log_syncs": sum(status.log_syncs for status in statuses),
        "snapshots": sum(status.snapshots for status in statuses),
        "leader_changes": sum(status.leader_changes for status in statuses),
    }
