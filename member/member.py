"""A node of a cluster inside a program, with a gateway for the program's own calls and others for HTTP.

Everything runs on one thread with an event loop of its own; the methods may be called from any other thread. Signals, the limits of
the process, its logging and its garbage collector are the program's and are left alone.

When the disk fails, or memory and log may differ, the node stops where it stands: it takes and sends nothing any more, lets
go of its data, and `failure` says why. The program goes on, and so do the other members.
"""

import asyncio
import concurrent.futures
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, NoReturn, TypeAlias

import msgspec

from gateway.app import Gateway
from gateway.health import HealthPace
from gateway.running import open_channels, serving
from member import roll
from member.agreement import AUDIBLE_S, Agreement, DisagreementError
from member.calls import Answered, Asked, Streaming, ask
from member.settings import MemberSettings, gateway_settings, http_settings, node_settings
from member.thread import LifeThread
from placement import ServiceSettings
from process.address import format_address
from process.descriptors import present_limit
from raft import DataDirectory, RaftConfig, describe_storage_error
from raft.disk import Fatal
from shard.node import Node
from shard.running import running
from shard.settings import NodeSettings
from shard.surroundings import Surroundings
from wire.messages import Founding

logger = logging.getLogger(__name__)

Refused: TypeAlias = Callable[[str, str], Exception]
LOCKED, DAMAGED, FAILED = "STORE_LOCKED", "STORE_DAMAGED", "STORE_FAILED"
CLOSED, FORKED = "STORE_CLOSED", "STORE_FORKED"

ALONE_ELECTION_S = 0.02
ALONE_TICK_S = 0.02
PROBE_S = 0.02
POLL_S = 0.005
SERVE_S = 10.0  # that a gateway which begins to serve HTTP gets, to be as ready as the program's own
REQUESTS_MAX = 1 << 16


class _Parts(msgspec.Struct, frozen=True):
    """What lives on the loop."""

    node: Node
    address: str
    gateway: Gateway
    servers: contextlib.AsyncExitStack
    served: list[Gateway]


class Member:
    """The node, from `start` to `close`.

    Args:
        settings: what it is told.
        directory: its data, open; closed with it.
        refused: makes the exception of what cannot be done any more, from a code and a message.

    Attributes:
        failure: why it has stopped by itself, one sentence for a person; "" while it has not.
    """

    def __init__(self, settings: MemberSettings, directory: DataDirectory, refused: Refused) -> None:
        self.failure = ""
        self._settings = settings
        self._directory = directory
        self._refused = refused
        self._told = node_settings(settings)
        self._thread = LifeThread(f"concord-{settings.id}", self._life, self.ended)
        self._parts: _Parts | None = None
        self._agreement: Agreement | None = None

    @property
    def id(self) -> str:
        """Name of this node."""
        return self._told.id

    @property
    def address(self) -> str:
        """`host:port` of this node for the others, as bound."""
        return self._live.address

    def start(self) -> None:
        """Listen and begin to take part; does not wait for the others.

        Raises:
            StorageError: the data cannot be used.
            InsecureBindError, OSError: the address cannot be used.
            TlsConfigError: the certificates cannot be used.
            Exception: the disk failed: what `ended` gives.
        """
        self._parts = self._thread.start()

    def close(self) -> None:
        """Stop in order and wait for it; harmless when it was stopped."""
        self._thread.stop()

    def ended(self) -> Exception:
        """What to raise once it has stopped."""
        if self._thread.is_forked:
            return self._refused(FORKED, "this process is a fork of the one that opened it: open it after the fork")
        if self.failure:
            return self._refused(FAILED, self.failure)
        return self._refused(CLOSED, "it was closed")

    # --- calls: each, or its future, raises what `ended` gives, or the future is cancelled, when it has stopped ------

    def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Any:  # noqa: ANN401 - see there
        """A future of the answer to a request (`calls.Answered`). To cancel it is to hang up."""
        return self._thread.submit(self._ask(Asked(method, target, headers, body)))

    def stream(self, method: str, target: str, headers: Mapping[str, str]) -> Any:  # noqa: ANN401 - see there
        """A future of a `Stream` whose head has come."""
        return self._thread.submit(self._stream(Asked(method, target, headers)))

    def missing(self, timeout_s: float) -> str:
        """Wait until every group serves; what is missing when that takes longer, else ""."""
        found: str = self._wait(self._missing(timeout_s))
        return found

    def clear(self) -> None:
        """Forget all data; see `Node.clear`."""
        self._wait(self._clear())

    def serve_http(self, host: str, port: int, *, auth: bool | None, insecure: bool) -> str:
        """Serve HTTP, too; the URL. While the groups answer this program, the first request finds them, too.

        Args:
            host: where.
            port: 0 lets the kernel choose.
            auth: ask for tokens; None is no, for loopback only.
            insecure: allow an address beyond loopback, although HTTP has no TLS here.

        Raises:
            ValueError: something needs consent.
            OSError: the address cannot be bound.
        """
        told = http_settings(host, port, auth=auth, insecure=insecure)
        url: str = self._wait(self._serve(gateway_settings(self._settings, self.address, **told)))
        return url

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - what the work gives
        try:
            return self._thread.submit(work).result()
        except concurrent.futures.CancelledError:
            raise self.ended() from None

    # --- on the loop -----------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _life(self) -> AsyncIterator[_Parts]:
        surroundings = _surroundings(self._told, self._settings.founding, self._fatal)
        begins = roll.is_settled(self._directory.disk)
        async with running(self._told, self._directory, self._refuse, surroundings=surroundings, begins=begins) as node:
            joining = asyncio.get_running_loop().create_task(self._join(node, begins=begins), name="joining")
            told = gateway_settings(
                self._settings,
                node.address,
                listen="127.0.0.1:0",  # it listens nowhere
                requests_in_flight=REQUESTS_MAX,
                requests_per_address=REQUESTS_MAX,
            )
            gateway = Gateway(told, open_channels(told, None), health_pace=_health_pace())
            await gateway.start()
            servers = contextlib.AsyncExitStack()
            try:
                yield _Parts(node, node.address, gateway, servers, [gateway])
            finally:
                joining.cancel()
                if node.failed:
                    await node.silence()
                await servers.aclose()
                gateway.drain()
                await gateway.close()

    async def _join(self, node: Node, *, begins: bool) -> None:
        """Take part for the first time once all others mean the same cluster."""
        if begins:
            return
        hosts = list(self._told.placement_addresses)
        self._agreement = Agreement(self.id, self._settings.founding, hosts, node.connect)
        try:
            await self._agreement.reach()
            roll.settle(self._directory.disk, self._settings)
        except DisagreementError as error:
            self._fail(str(error))
            await asyncio.sleep(AUDIBLE_S)
            self._refuse(str(error))
        except OSError as error:
            self._fatal(describe_storage_error(f"writing {roll.FILE}", error))
        else:
            node.begin()

    def _fatal(self, reason: str) -> NoReturn:
        self._fail(reason)
        raise SystemExit(reason)

    def _refuse(self, reason: str) -> None:
        self._fail(reason)
        self._thread.end()

    def _fail(self, reason: str) -> None:
        if not self.failure:
            self.failure = reason
            logger.error("the node %s in this process has stopped: %s", self.id, reason)

    async def _ask(self, asked: Asked) -> Answered:
        return await ask(self._live.gateway.dispatcher, asked)

    async def _stream(self, asked: Asked) -> "Stream":
        streaming = Streaming(self._live.gateway.dispatcher, asked)
        await streaming.begun()
        return Stream(self._thread, streaming)

    async def _missing(self, timeout_s: float) -> str:
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while failed := [check for each in self._live.served for check in each.health.checks() if not check.ok]:
            if loop.time() >= end:
                if self._agreement is not None and self._agreement.waiting:
                    return self._agreement.waiting
                return "; ".join(check.detail or check.name for check in failed)
            await asyncio.sleep(POLL_S)
        return ""

    async def _clear(self) -> None:
        self._live.node.clear()

    async def _serve(self, settings: Any) -> str:  # noqa: ANN401 - GatewaySettings
        live = self._live
        served = await live.servers.enter_async_context(serving(settings, health_pace=_health_pace()))
        await served.server.accepting()
        loop = asyncio.get_running_loop()
        end = loop.time() + SERVE_S
        own, new = live.gateway.health, served.gateway.health
        while own.ready and not new.ready and loop.time() < end:  # noqa: ASYNC110 - readiness is asked for
            await asyncio.sleep(POLL_S)
        live.served.append(served.gateway)
        return f"http://{format_address(served.server.host, served.server.port)}"

    @property
    def _live(self) -> _Parts:
        if self._parts is None:
            raise self.ended()
        return self._parts


class Stream:
    """An answer that goes on, for other threads."""

    def __init__(self, thread: LifeThread[_Parts], streaming: Streaming) -> None:
        self.status = streaming.status
        self.headers = streaming.headers
        self._thread = thread
        self._streaming = streaming

    def next(self) -> Any:  # noqa: ANN401 - a future of bytes
        """A future of the next part; b"" is the end."""
        return self._thread.submit(self._streaming.next())

    def close(self) -> None:
        """Hang up; from any thread, whoever waits for a part gets the end."""
        with contextlib.suppress(Exception):  # it has ended with the node
            self._thread.submit(_end(self._streaming))


async def _end(streaming: Streaming) -> None:
    streaming.end()


def _surroundings(told: NodeSettings, founding: Founding, fatal: Fatal) -> Surroundings:
    """Those of a program that goes on without the node; a node that is alone need not wait for others."""
    if told.expect_nodes > 1:
        return Surroundings(fatal=fatal, descriptors=present_limit, founding=founding)
    raft: RaftConfig = msgspec.structs.replace(
        told.raft,
        election_timeout_s_min=ALONE_ELECTION_S,
        election_timeout_s_max=1.5 * ALONE_ELECTION_S,
        heartbeat_s=0.3 * ALONE_ELECTION_S,
    )
    placement = ServiceSettings(tick_s=ALONE_TICK_S)
    return Surroundings(fatal=fatal, descriptors=present_limit, raft=raft, placement=placement, founding=founding)


def _health_pace() -> HealthPace:
    return HealthPace(probe_interval_s_unready=PROBE_S)
