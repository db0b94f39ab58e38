"""A node: one process that hosts replicas of many groups, of placement too if it is one of the chosen.

Puts the rooms together and decides nothing. Which data groups it hosts is what the cluster map says; the map comes from
its own file at the start, then from placement.
"""

import asyncio
import logging
import os
import random
import resource
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from placement import PLACEMENT_GROUP, MapHolder, PlacementClient, PlacementMachine, PlacementService
from placement.tokens.service import TokenService, serve_tokens
from process.address import parse_address
from process.clock import boottime
from process.descriptors import connections_that_fit
from process.metrics_server import MetricsServer
from raft import DataDirectory, Durability, Packet, RaftHost, SafeReplica, ThreadOffload, WireNetwork, receiving
from shard.checksums import Checksums
from shard.colleagues import NodeColleagues
from shard.fence_mark import MarkFile
from shard.figures import NodeView, figures
from shard.group import GroupService
from shard.machine import Machine
from shard.map_file import MapFile
from shard.seams import ChecksumPace
from shard.service import ShardService
from shard.settings import NodeSettings
from shard.surroundings import OWN_PROCESS, Surroundings
from wire import Call, Limits, RpcClient, RpcServer
from wire.limits import DEFAULT_LIMITS
from wire.messages import ClusterMap, GroupBeat, GroupInfo, GroupStatus, NodeInfo, NodeStatus, StatusRequest, Transfer
from wire.methods import HEARTBEAT, REGISTER, STATUS, WATCH_MAP
from wire.tracing import Tracer

logger = logging.getLogger(__name__)


class Node:
    """Everything that a node runs. Create it on the running event loop, by `shard.running`.

    Args:
        settings: what it is told.
        directory: its data; closed with it.
        offloads: the threads that write the log and the snapshots; closed with it.
        on_fatal: called when placement will never take this node, with a sentence for a person.
        tracer: with it, calls that are part of a trace get spans.
        surroundings: what it takes of this process.
    """

    def __init__(
        self,
        settings: NodeSettings,
        directory: DataDirectory,
        offloads: tuple[ThreadOffload, ThreadOffload],
        on_fatal: Callable[[str], None],
        *,
        tracer: Tracer | None = None,
        surroundings: Surroundings = OWN_PROCESS,
    ) -> None:
        self._surroundings = surroundings
        self._begun = False
        self._settings = settings
        self._directory = directory
        self._started = time.monotonic()
        self._tls = settings.tls
        self._loop = asyncio.get_running_loop()
        self._rng = random.Random(secrets.randbits(64))  # noqa: S311 - jitter, not secrets
        self._channels: dict[str, RpcClient] = {}
        self._groups: dict[int, GroupService] = {}
        self._on_fatal = on_fatal
        self._server = RpcServer(
            _limits(surroundings.descriptors()), self._tls, cluster=settings.cluster, node=settings.id, tracer=tracer
        )
        self._network = WireNetwork(
            settings.id, settings.cluster, directory.identity.incarnation, self._connect_to_node
        )
        self._network.learn(settings.placement_addresses)
        self._offloads = offloads
        self._host = self._open_host()
        if settings.durability is not Durability.MEMORY:
            directory.record_log_begun()
        map_file = MapFile(Path(settings.data_dir) / "map.msgpack")
        self._holder = MapHolder(settings.cluster, load=map_file.load, save=map_file.save)
        self._colleagues = NodeColleagues(settings.id, lambda: self._holder.current, self.connect)
        self._placement = self._host_placement()
        self._client: PlacementClient | None = None
        self._server.on(WATCH_MAP, self._holder.watch)
        self._server.on(STATUS, self._answer_status)
        self._server.on_notification(*receiving(self._receive))
        ShardService(self._groups, self._server)
        self._metrics = MetricsServer(lambda: figures(self._view()))
        self._follow(self._holder.current)
        self._holder.subscribe(self._follow)

    # --- life ------------------------------------------------------------------------------------------------------

    async def listen(self) -> None:
        """Answer others; no vote and no entry before `begin`.

        Raises:
            InsecureBindError, OSError: the address cannot be used.
        """
        host, port = parse_address(self._settings.listen)
        await self._server.start(host, port, insecure=self._settings.insecure)
        if self._settings.metrics_listen:
            metrics_host, metrics_port = parse_address(self._settings.metrics_listen)
            await self._metrics.start(metrics_host, metrics_port, exposed=self._settings.insecure_metrics)

    def begin(self) -> None:
        """Take part: look at timers, register."""
        self._begun = True
        self._host.start()
        if self._placement is not None:
            self._placement.start()
        self._client = PlacementClient(
            self._info(),
            self._placement_addresses(),
            self._holder,
            self.connect,
            beats=self._beats,
            on_transfers=self._hand_over,
            on_fatal=self._on_fatal,
            rng=self._rng,
        )
        self._client.start()

    @property
    def address(self) -> str:
        """`host:port` as bound."""
        return self._server.address

    @property
    def metrics_address(self) -> str:
        """`host:port` of the listener for figures as bound, "" when there is none."""
        return self._metrics.address

    @property
    def failed(self) -> bool:
        """Whether an error has ended it: see `Surroundings.fatal`. It takes no part any more, and can only be closed."""
        return self._host.failed

    async def silence(self) -> None:
        """Answer nobody any more; what was asked and not done fails as that."""
        await self._server.close(grace_s=0.0)

    def clear(self) -> None:
        """Forget all data, as if nothing had ever been written.

        Raises:
            RuntimeError: there are other nodes, or a disk, that would remember.
        """
        if self._settings.expect_nodes > 1 or self._settings.durability is not Durability.MEMORY:
            raise RuntimeError("only a node that is alone and keeps nothing on disk can forget its data")
        for service in self._groups.values():
            service.machine.clear()

    async def close(self) -> None:
        """Stop in order: hand leadership over, answer everyone, let the log finish. After a failure: be silent first."""
        if self.failed:
            await self.silence()
        else:
            self._leave_leadership()
        if self._client is not None:
            await self._client.close()
        if self._placement is not None:
            self._placement.close()
        for group in self._groups.values():
            group.close()
        self._holder.close()
        await self._server.close()
        await self._metrics.close()
        self._host.close()
        for offload in self._offloads:
            offload.close()
        await self._network.close()
        for channel in self._channels.values():
            await channel.close()
        self._directory.close()

    def _open_host(self) -> RaftHost:
        settings = self._settings
        return RaftHost(
            node_id=settings.id,
            cluster=settings.cluster,
            incarnation=self._directory.identity.incarnation,
            disk=self._directory.disk,
            log_offload=self._offloads[0],
            snapshot_offload=self._offloads[1],
            network=self._network,
            loop=self._loop,
            clock=boottime,  # a lease must not outlive a suspend
            rng=self._rng,
            fatal=self._surroundings.fatal,
            config=self._surroundings.raft or settings.raft,
            durability=settings.durability,
        )

    # --- groups ----------------------------------------------------------------------------------------------------

    def _host_placement(self) -> PlacementService | None:
        members = list(self._settings.placement_addresses)
        if self._settings.id not in members:
            serve_tokens(self._server, None, members)
            return None
        machine = PlacementMachine(self._settings.cluster, self._holder.publish)
        replica = self._host.create(PLACEMENT_GROUP, members, machine)
        service = PlacementService(replica, machine, self._settings.goals, settings=self._surroundings.placement)
        self._server.on(REGISTER, service.register)
        self._server.on(HEARTBEAT, service.heartbeat)
        serve_tokens(self._server, TokenService(replica, machine.tokens), members)
        return service

    def _follow(self, cluster_map: ClusterMap) -> None:
        """Host what the map says, and tell each group its slots."""
        self._network.learn({node.id: node.address for node in cluster_map.nodes if node.id != self._settings.id})
        for group in cluster_map.groups:
            if self._settings.id in group.replicas and group.id not in self._groups:
                self._groups[group.id] = self._host_group(group)
        for number, service in self._groups.items():
            ranges = [(slots.first, slots.last) for slots in cluster_map.slots if slots.group == number]
            service.assign(ranges, cluster_map.epoch)

    def _host_group(self, group: GroupInfo) -> GroupService:
        machine = Machine()
        replica = self._host.create(group.id, group.replicas, machine)
        checksums = Checksums(
            replica,
            machine,
            self._loop,
            colleagues=self._colleagues,
            marks=MarkFile(self._directory.disk, group.id, self._host.fatal),
            pace=ChecksumPace(entries=self._settings.checksum_entries),
        )
        return GroupService(replica, machine, self._loop, checksums, self._settings.group_limits)

    def _receive(self, packet: Packet) -> None:
        if self._begun:
            self._host.receive(packet)

    def _hand_over(self, transfers: Sequence[Transfer]) -> None:
        for transfer in transfers:
            service = self._groups.get(transfer.group)
            if service is not None:
                service.hand_over(transfer.to)

    def _placement_addresses(self) -> dict[str, str]:
        """Those of the settings; this node's own port may have been left to the kernel."""
        addresses = self._settings.placement_addresses
        own = addresses.get(self._settings.id, "")
        return addresses | ({self._settings.id: self.address} if own and not parse_address(own)[1] else {})

    def _leave_leadership(self) -> None:
        """A planned stop should not cost the others an election timeout."""
        for replica in self._host.replicas.values():
            if replica.is_leader:
                any(replica.transfer_leadership(peer) for peer in replica.replicas if peer != self._settings.id)

    # --- what others ask -------------------------------------------------------------------------------------------

    def _info(self) -> NodeInfo:
        settings = self._settings
        return NodeInfo(
            id=settings.id,
            address=settings.advertise or self.address,
            zone=settings.zone,
            host=settings.host_label or settings.id,
            incarnation=self._directory.identity.incarnation,
        )

    def _beats(self) -> list[GroupBeat]:
        return [
            GroupBeat(group=number, leading=service.replica.is_leader, term=service.replica.term)
            for number, service in self._groups.items()
        ]

    def _view(self) -> NodeView:
        settings = self._settings
        return NodeView(
            identity=(settings.id, settings.cluster, settings.durability.value),
            host=self._host,
            server=self._server,
            groups=self._groups,
            epoch=lambda: self._holder.current.epoch,
            uptime_s=lambda: time.monotonic() - self._started,
            memory_bytes=_resident_bytes,
            cpu_s=time.process_time,
            descriptors=_open_descriptors,
        )

    def _answer_status(self, call: Call[StatusRequest, NodeStatus]) -> None:
        replicas = self._host.replicas
        call.reply(
            NodeStatus(
                id=self._settings.id,
                zone=self._settings.zone,
                address=self._settings.advertise or self.address,
                cluster=self._settings.cluster,
                epoch=self._holder.current.epoch,
                durability=self._settings.durability.value,
                uptime_s=time.monotonic() - self._started,
                memory_bytes=_resident_bytes(),
                log_bytes=self._host.wal.size_bytes,
                log_syncs=self._host.wal.syncs,
                snapshots=sum(replica.snapshots_taken for replica in replicas.values()),
                leader_changes=sum(replica.leader_changes for replica in replicas.values()),
                groups=[self._group_status(number, replica) for number, replica in replicas.items()],
                placement=list(self._settings.placement_addresses),
                founding=self._surroundings.founding,
            )
        )

    def _group_status(self, number: int, replica: SafeReplica) -> GroupStatus:
        machine = replica.machine
        checksums = self._groups[number].checksums if number in self._groups else None
        return GroupStatus(
            id=number,
            role=replica.role,
            leader=replica.leader,
            term=replica.term,
            commit_index=replica.commit_index,
            applied_index=replica.applied_index,
            last_index=replica.last_index,
            snapshot_index=replica.snapshot_index,
            keys=machine.keys if isinstance(machine, Machine) else 0,
            bytes=machine.size_bytes if isinstance(machine, Machine) else 0,
            checked_index=checksums.checked_index if checksums else 0,
            diverged=checksums.diverged if checksums else False,
            fenced=replica.is_fenced,
        )

    # --- channels --------------------------------------------------------------------------------------------------

    def connect(self, address: str) -> RpcClient:
        """The channel to an address; closed with the node."""
        if address not in self._channels:
            self._channels[address] = self._connect_to_node(address, "")
        return self._channels[address]

    def _connect_to_node(self, address: str, node: str) -> RpcClient:
        settings = self._settings
        return RpcClient(address, tls=self._tls, expect_node=node, cluster=settings.cluster, node=settings.id)


def _limits(descriptors: int) -> Limits:
    """Those of wire, with descriptors kept for the log."""
    return Limits(connections_max=connections_that_fit(DEFAULT_LIMITS.connections_max, descriptors))


def _resident_bytes() -> int:
    """Memory of this process, as the kernel counts it."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()


def _open_descriptors() -> int:
    """File descriptors that this process has open, as the kernel counts them; 0 where it does not tell."""
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the names only, and many
    except OSError:
        return 0
