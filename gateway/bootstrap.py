"""`concord token bootstrap`: makes a cluster's first token, once.

It does not go through a gateway, because there nobody has proved yet who he is: it asks placement itself, with the
certificate of an `admin` (or, without TLS, on loopback, where whoever reaches a node's port owns the cluster anyway).
The secret is drawn here and written to stdout, alone, so that a script can take it; everything else goes to stderr.
"""

import os
import random
import secrets
import sys
from collections.abc import Sequence
from typing import Annotated

import msgspec
import uvloop

from gateway.pool import Pool
from gateway.settings import check_nodes
from placement.leader import LeaderCaller, LeaderGuess
from placement.maps import addresses
from placement.tokens.text import ID_BYTES, KEY_BYTES, SECRET_BYTES, TokenText, digest, is_name, write
from process.clock import loop_time
from process.settings import SettingsError, load
from wire import RpcClient, RpcError, TlsConfig, TlsConfigError
from wire.errors import Applied
from wire.messages import ClusterMap, WatchMapRequest
from wire.methods import BOOTSTRAP_TOKENS, WATCH_MAP
from wire.token_messages import LIMIT_TOKEN_NAME, BootstrapTokensRequest, TokenStatus

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
MAP_TIMEOUT_S = 2.0


class BootstrapSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What `concord token bootstrap` is told."""

    nodes: Annotated[list[str], msgspec.Meta(description="RPC addresses host:port of nodes to ask", min_length=1)]
    cluster: Annotated[str, msgspec.Meta(description="name of the cluster", min_length=1)] = "concord"
    name: Annotated[str, msgspec.Meta(description="what people call the token")] = "bootstrap"
    timeout_s: Annotated[float, msgspec.Meta(description="seconds to try", ge=1, le=300)] = 20.0
    tls_cert: Annotated[str, msgspec.Meta(description="certificate (PEM) of an admin")] = ""
    tls_key: Annotated[str, msgspec.Meta(description="its private key (PEM)")] = ""
    tls_ca: Annotated[str, msgspec.Meta(description="certificate authority (PEM) of the cluster")] = ""
    insecure: Annotated[
        bool, msgspec.Meta(description="speak to nodes on other machines without TLS: the hash can be replaced")
    ] = False

    def __post_init__(self) -> None:
        """Check what concerns several settings.

        Raises:
            ValueError: with the setting's name.
        """
        check_nodes(self.nodes, (self.tls_cert, self.tls_key, self.tls_ca), insecure=self.insecure)
        if not is_name(self.name):
            raise ValueError(f"name: expected 1 to {LIMIT_TOKEN_NAME} characters, none of them for control")


def main(argv: Sequence[str]) -> int:
    """Make the token and write it to stdout; returns the exit status."""
    try:
        settings = load(BootstrapSettings, "token", argv, os.environ)
    except SettingsError as error:
        return _fail(str(error), EXIT_USAGE)
    made = TokenText(secrets.token_hex(ID_BYTES), secrets.token_bytes(SECRET_BYTES))
    token = write(bytes.fromhex(made.id), made.secret)
    try:
        refusal = uvloop.run(_bootstrap(settings, made))
    except (OSError, TlsConfigError) as error:
        return _fail(str(error), EXIT_FAILED)
    except RpcError as error:
        if error.failure.applied is not Applied.NO:
            sys.stdout.write(f"{token}\n")
            return _fail("it is not known whether the token was made: try the one on stdout, then again", EXIT_FAILED)
        return _fail(error.failure.message, EXIT_FAILED)
    if refusal:
        return _fail(refusal, EXIT_FAILED)
    sys.stdout.write(f"{token}\n")
    sys.stderr.write(f"token {made.id} ({settings.name}) may do everything. It is shown this once: keep it safe.\n")
    return EXIT_OK


async def _bootstrap(settings: BootstrapSettings, made: TokenText) -> str:
    """Ask placement for the token; why it was refused, "" when it was not."""
    tls = TlsConfig(settings.tls_cert, settings.tls_key, settings.tls_ca) if settings.tls_cert else None
    pool = Pool(lambda address: RpcClient(address, tls=tls, cluster=settings.cluster), settings.nodes)
    rng = random.Random(secrets.randbits(64))  # noqa: S311 - jitter, not secrets
    key = secrets.token_bytes(KEY_BYTES)
    request = BootstrapTokensRequest(key, made.id, settings.name, digest(key, made))
    try:
        known = await _map(pool, settings.nodes)
        guess = LeaderGuess(settings.nodes, lambda: addresses(known) if known else {}, rng)
        caller = LeaderCaller(guess, pool.channel, rng)
        reply, _ = await caller.call(BOOTSTRAP_TOKENS, request, loop_time() + settings.timeout_s)
    finally:
        await pool.close()
    return "" if reply.status is TokenStatus.OK else reply.message


async def _map(pool: Pool, nodes: Sequence[str]) -> ClusterMap | None:
    """The cluster map of the first node that has one: it says where the leader is that a node names."""
    for node in nodes:
        try:
            return await pool.channel(node).call(WATCH_MAP, WatchMapRequest(0, 0), MAP_TIMEOUT_S)
        except RpcError:
            continue
    return None


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"concord token bootstrap: {message}\n")
    return code
