"""A cluster with a placement that keeps tokens: its real state machine and service, behind the same RPC seam."""

import asyncio
import time
from typing import Any, TypeVar

from gateway.pool import ClosableChannel
from gateway.settings import GatewaySettings
from placement.machine import PlacementMachine
from placement.tokens.scopes import EVERYTHING
from placement.tokens.service import TokenService, serve_tokens
from tests.gateway.double import NAME
from tests.gateway.machines import MachineCluster
from tests.placement.replicas import FakeReplica
from tests.placement.token_rows import KEY, hash_of, id_of, row, secret_of
from wire.errors import Applied, Code, Failure, RpcError
from wire.rpc import Call, Method, Peer
from wire.token_messages import BootstrapTokensRequest, CreateTokenRequest, TokenScope, WatchTokensRequest

Req = TypeVar("Req")
Rep = TypeVar("Rep")

GUARDED = GatewaySettings(nodes=["127.0.0.1:1"], cluster=NAME, auth="on", tokens_age_s_max=60.0)
ROOT = secret_of(0)


def bearer(token: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {token}")]


class GuardedCluster(MachineCluster):
    """The first token is ROOT. While `away`, placement does not answer; `lost` answers of changes get lost."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = PlacementMachine(NAME, lambda _: None)
        self.away = False
        self.lost = 0
        self.behind_ms = 0  # how much the clock of placement is late
        self.handlers: dict[int, Any] = {}
        self.service = TokenService(
            FakeReplica(self.machine), self.machine.tokens, now_ms=lambda: time.time_ns() // 1_000_000 - self.behind_ms
        )
        serve_tokens(self, self.service, ["n1"])
        self.ask(self.service.bootstrap, BootstrapTokensRequest(KEY, id_of(0), "root", hash_of(ROOT)))

    def on(self, method: Method[Any, Any], handler: Any) -> None:
        self.handlers[method.number] = handler

    def add(self, number: int, *scopes: tuple[str, int]) -> str:
        """Make a token with scopes (prefix, verbs) and give it back."""
        made = [TokenScope(prefix.encode(), verbs) for prefix, verbs in scopes] or [EVERYTHING]
        self.ask(self.service.create, CreateTokenRequest(id_of(number), "added", made, row(number).hash))
        return secret_of(number)

    def ask(self, handler: Any, request: object, desk: "Desk | None" = None) -> None:
        handler(Call(request, Peer(), 1e18, 1, 1, desk or Desk(None)))

    def open_channel(self, address: str) -> ClosableChannel:
        return GuardedChannel(self, super().open_channel(address))


class Desk:
    """Resolves the caller's future."""

    def __init__(self, future: "asyncio.Future[Any] | None") -> None:
        self._future = future

    def answer(self, call: Call[Any, Any], value: object) -> None:
        del call
        if self._future is not None and not self._future.done():
            self._future.set_result(value)

    def refuse(self, call: Call[Any, Any], failure: Failure) -> None:
        del call
        assert self._future is not None, failure
        if not self._future.done():
            self._future.set_exception(RpcError(failure))


class GuardedChannel:
    """Requests about tokens go to placement, all others to the groups."""

    def __init__(self, cluster: GuardedCluster, groups: ClosableChannel) -> None:
        self._cluster = cluster
        self._groups = groups

    def call(self, method: Method[Req, Rep], request: Req, timeout_s: float) -> asyncio.Future[Rep]:
        handler = self._cluster.handlers.get(method.number)
        if handler is None:
            return self._groups.call(method, request, timeout_s)
        future: asyncio.Future[Rep] = asyncio.get_running_loop().create_future()
        if self._cluster.away:
            future.set_exception(RpcError(Failure(Code.UNAVAILABLE, "connection refused")))
        elif self._cluster.lost and not isinstance(request, WatchTokensRequest):
            self._cluster.lost -= 1
            self._cluster.ask(handler, request)
            future.set_exception(RpcError(Failure(Code.UNKNOWN, "connection lost", Applied.UNKNOWN)))
        else:
            self._cluster.ask(handler, request, Desk(future))
        return future

    async def close(self) -> None:
        await self._groups.close()
