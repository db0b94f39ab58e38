"""Who may talk to whom, decided by certificates."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from process.listener import InsecureBindError
from tests.certificates import Authority
from tests.wire.support import ECHO, KEEP, TOLD, Run, Text, failure_of, hello, raw_client, until
from wire import Applied, Call, Code, Limits, Peer, RpcClient, RpcServer, TlsConfig, TlsConfigError
from wire.hello import RefusedError
from wire.tls import CredentialSource, Role, load_credentials, read_identity

LIMITS = Limits(handshake_timeout_s=0.5, goodbye_timeout_s=0.1)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
def other_authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "other")


@asynccontextmanager
async def served(tls: TlsConfig, limits: Limits = LIMITS) -> AsyncIterator[tuple[RpcServer, list[Peer]]]:
    """A server with the certificate, and everyone that its handlers heard."""
    heard: list[Peer] = []

    def echo(call: Call[Text, Text]) -> None:
        heard.append(call.peer)
        call.reply(call.request)

    server = RpcServer(limits, tls)
    server.on(ECHO, echo)
    await server.start("127.0.0.1", 0)
    try:
        yield server, heard
    finally:
        await server.close(0)


async def _is_refused(server: RpcServer, tls: TlsConfig, expect_node: str = "") -> None:
    client = RpcClient(server.address, tls=tls, expect_node=expect_node, limits=LIMITS)
    failure = await failure_of(client.call(ECHO, Text("x"), 10))
    assert (failure.code, failure.applied) == (Code.UNAVAILABLE, Applied.NO)
    await client.close()


def test_a_node_and_a_gateway_of_one_cluster_talk_and_know_each_other(run: Run, authority: Authority) -> None:
    async def scenario() -> None:
        async with served(authority.issue("concord://blue/node/n1")) as (server, heard):
            client = RpcClient(server.address, tls=authority.issue("concord://blue/gateway/g7"), expect_node="n1")
            data = bytes(range(256)) * 4096
            assert (await client.call(ECHO, Text("x", data), 10)).data == data
            assert (heard[0].node, heard[0].cluster, heard[0].role) == ("g7", "blue", "gateway")
            assert heard[0].address.startswith("127.0.0.1:")
            await client.close()

    run(scenario())


def test_many_calls_over_tls_are_answered(run: Run, authority: Authority) -> None:
    async def scenario() -> None:
        tls = authority.issue("concord://blue/node/n1")
        async with served(tls) as (server, _):
            client = RpcClient(server.address, tls=tls, expect_node="n1")
            replies = await asyncio.gather(*[client.call(ECHO, Text(str(n), bytes(1000)), 30) for n in range(1000)])
            assert [reply.text for reply in replies] == [str(n) for n in range(1000)]
            await client.close()

    run(scenario())


def test_a_connection_lost_under_tls_leaves_the_outcome_unknown_and_is_made_again(
    run: Run, authority: Authority
) -> None:
    async def scenario() -> None:
        tls = authority.issue("concord://blue/node/n1")
        async with served(tls) as (server, _):
            kept: list[Call[Text, Text]] = []
            server.on(KEEP, kept.append)
            client = RpcClient(server.address, tls=tls)
            call = client.call(KEEP, Text("x"), 10)
            await until(lambda: kept)
            for connection in list(server._service.connections):
                connection.abort()
            assert (await failure_of(call)).code is Code.UNKNOWN
            assert (await client.call(ECHO, Text("again"), 10)).text == "again"
            await client.close()

    run(scenario())


@pytest.mark.parametrize("node", ["n1", ""])
def test_a_server_of_another_authority_is_refused(
    run: Run, authority: Authority, other_authority: Authority, node: str
) -> None:
    async def scenario() -> None:
        async with served(other_authority.issue("concord://blue/node/n1")) as (server, heard):
            await _is_refused(server, authority.issue("concord://blue/gateway/g"), node)
            assert heard == []

    run(scenario())


def test_a_client_of_another_authority_is_refused(
    run: Run, authority: Authority, other_authority: Authority, tmp_path: Path
) -> None:
    stranger = other_authority.issue("concord://blue/gateway/g")
    both = tmp_path / "both.pem"
    both.write_bytes(authority.path.read_bytes() + other_authority.path.read_bytes())
    trusting = TlsConfig(stranger.cert, stranger.key, str(both))

    async def scenario() -> None:
        async with served(authority.issue("concord://blue/node/n1")) as (server, heard):
            await _is_refused(server, trusting)
            assert heard == []
            await until(lambda: server.connections == 0)

    run(scenario())


def test_another_cluster_of_the_same_authority_is_refused_by_the_client(run: Run, authority: Authority) -> None:
    async def scenario() -> None:
        async with served(authority.issue("concord://green/node/n1")) as (server, heard):
            await _is_refused(server, authority.issue("concord://blue/gateway/g"))
            assert heard == []

    run(scenario())


@pytest.mark.parametrize("uris", [["concord://green/gateway/g"], [], ["https://blue/node/n1"]])
def test_a_certificate_without_a_name_in_the_cluster_is_refused_by_the_server(
    run: Run, authority: Authority, uris: list[str]
) -> None:
    """The client here is not ours: it checks nothing, so that the server has to."""
    tls = authority.issue(*uris)
    context = ssl.create_default_context(cafile=tls.ca)
    context.check_hostname = False
    context.load_cert_chain(tls.cert, tls.key)

    async def scenario() -> None:
        async with served(authority.issue("concord://blue/node/n1")) as (server, heard):
            host, _, port = server.address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
            writer.write(hello())
            answer = await reader.read(1000)
            assert b"certificate" in answer
            assert heard == []
            writer.transport.abort()

    run(scenario())


def test_the_wrong_node_is_refused(run: Run, authority: Authority) -> None:
    async def scenario() -> None:
        async with served(authority.issue("concord://blue/node/n1")) as (server, heard):
            await _is_refused(server, authority.issue("concord://blue/gateway/g"), expect_node="n2")
            assert heard == []

    run(scenario())


@pytest.mark.parametrize("role", ["gateway", "admin"])
def test_only_a_node_may_serve(run: Run, authority: Authority, role: str) -> None:
    async def scenario() -> None:
        async with served(authority.issue(f"concord://blue/{role}/n1")) as (server, heard):
            await _is_refused(server, authority.issue("concord://blue/node/n2"), expect_node="n1")
            assert heard == []

    run(scenario())


def test_a_stranger_without_a_certificate_is_refused(run: Run, authority: Authority) -> None:
    context = ssl.create_default_context(cafile=authority.path)
    context.check_hostname = False

    async def scenario() -> None:
        async with served(authority.issue("concord://blue/node/n1")) as (server, heard):
            host, _, port = server.address.rpartition(":")
            with pytest.raises(OSError):  # noqa: PT011 - which one depends on the moment; SSLError is one
                await _talk(host, int(port), context)
            await until(lambda: server.connections == 0)
            assert heard == []

    run(scenario())


async def _talk(host: str, port: int, context: ssl.SSLContext) -> None:
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        writer.write(hello())
        if not await reader.read(1000):
            raise ConnectionError("the server hung up")
    finally:
        writer.transport.abort()


def test_a_plain_client_is_refused_and_the_server_goes_on(run: Run, authority: Authority) -> None:
    async def scenario() -> None:
        tls = authority.issue("concord://blue/node/n1")
        async with served(tls) as (server, _):
            plain = RpcClient(server.address, limits=LIMITS)
            assert (await failure_of(plain.call(ECHO, Text("x"), 10))).code is Code.UNAVAILABLE
            await plain.close()
            client = RpcClient(server.address, tls=tls)
            assert (await client.call(ECHO, Text("alive"), 10)).text == "alive"
            await client.close()

    run(scenario())


def test_an_older_tls_is_refused(run: Run, authority: Authority) -> None:
    tls = authority.issue("concord://blue/node/n1")
    context = ssl.create_default_context(cafile=tls.ca)
    context.check_hostname = False
    context.load_cert_chain(tls.cert, tls.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    async def scenario() -> None:
        async with served(tls) as (server, _):
            host, _, port = server.address.rpartition(":")
            with pytest.raises(OSError):  # noqa: PT011 - which one depends on the moment; SSLError is one
                await _talk(host, int(port), context)

    run(scenario())


def test_half_open_handshakes_are_counted_and_cut_off(run: Run, authority: Authority) -> None:
    limits = Limits(handshake_timeout_s=0.3, goodbye_timeout_s=0.1, connections_max=2)

    async def scenario() -> None:
        tls = authority.issue("concord://blue/node/n1")
        async with (
            served(tls, limits) as (server, _),
            raw_client(server.address) as first,
            raw_client(server.address) as second,
        ):
            await until(lambda: server.connections == 2)
            async with raw_client(server.address) as third:
                assert await third.receive() is None
            assert await first.receive() is None
            assert await second.receive() is None
            client = RpcClient(server.address, tls=tls)
            assert (await client.call(ECHO, Text("room again"), 10)).text == "room again"
            await client.close()

    run(scenario())


def test_one_certificate_gets_so_many_connections_and_another_its_own(run: Run, authority: Authority) -> None:
    async def scenario() -> None:
        limits = Limits(peer_connections_max=2)
        async with served(authority.issue("concord://blue/node/n1"), limits) as (server, _):
            tls = authority.issue("concord://blue/gateway/g")
            clients = [RpcClient(server.address, tls=tls, limits=LIMITS) for _ in range(2)]
            for client in clients:
                await client.call(ECHO, Text("x"), 10)
            await _is_refused(server, tls)
            other = RpcClient(server.address, tls=authority.issue("concord://blue/gateway/h"))
            assert (await other.call(ECHO, Text("x"), 10)).text == "x"
            await clients.pop().close()
            await until(lambda: server.connections == 2)
            again = RpcClient(server.address, tls=tls)
            assert (await again.call(ECHO, Text("x"), 10)).text == "x"
            for client in (*clients, other, again):
                await client.close()

    run(scenario())


def test_new_files_are_used_for_new_connections(run: Run, authority: Authority) -> None:
    async def scenario() -> None:
        async with served(authority.issue("concord://blue/node/n1", file="server")) as (server, _):
            tls = authority.issue("concord://blue/gateway/g")
            before = RpcClient(server.address, tls=tls, expect_node="n1")
            await before.call(ECHO, Text("x"), 10)
            authority.issue("concord://blue/node/n9", file="server")
            after = RpcClient(server.address, tls=tls, expect_node="n9")
            await after.call(ECHO, Text("x"), 10)
            assert before.connected
            await before.close()
            await after.close()

    run(scenario())


def test_unfit_new_files_are_not_used(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    tls = authority.issue("concord://blue/node/n1")
    source = CredentialSource(tls)
    good = source.current()
    Path(tls.cert).write_text("not a certificate")
    assert source.current() is good
    assert "keeping" in caplog.text


def test_files_that_cannot_serve_are_found_when_loaded(
    authority: Authority, other_authority: Authority, tmp_path: Path
) -> None:
    good = authority.issue("concord://blue/node/n1")
    second = authority.issue("concord://blue/node/n2")
    unfit = {
        "no certificate": TlsConfig(str(tmp_path / "none"), good.key, good.ca),
        "no key": TlsConfig(good.cert, str(tmp_path / "none"), good.ca),
        "no authority": TlsConfig(good.cert, good.key, str(tmp_path / "none")),
        "key of another": TlsConfig(good.cert, second.key, good.ca),
        "other authority": TlsConfig(good.cert, good.key, str(other_authority.path)),
        "expired": authority.issue("concord://blue/node/n1", ends_in=-1),
        "no name": authority.issue(),
        "two names": authority.issue("concord://blue/node/n1", "concord://blue/node/n2"),
        "unknown role": authority.issue("concord://blue/king/n1"),
    }
    load_credentials(good)
    for case, config in unfit.items():
        for use in (load_credentials, lambda tls: RpcServer(tls=tls), lambda tls: RpcClient("127.0.0.1:1", tls=tls)):
            assert _is_unfit(use, config), case


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("concord://blue/node/n2", r"node 'n2' of cluster 'blue', the settings are for node 'n1'"),
        ("concord://green/node/n1", r"node 'n1' of cluster 'green', the settings are for cluster 'blue'"),
        ("concord://blue/gateway/n1", r"gateway 'n1' of cluster 'blue', the settings are for node 'n1'"),
        ("concord://blue/admin/n1", r"admin 'n1' of cluster 'blue', the settings are for node 'n1'"),
    ],
)
def test_nobody_starts_with_the_certificate_of_somebody_else(authority: Authority, uri: str, said: str) -> None:
    tls = authority.issue(uri)
    with pytest.raises(TlsConfigError, match=said):
        RpcServer(tls=tls, cluster="blue", node="n1")
    with pytest.raises(TlsConfigError, match=said):
        RpcClient("127.0.0.1:1", tls=tls, cluster="blue", node="n1")


def test_a_process_that_is_no_node_needs_a_certificate_of_its_cluster(authority: Authority) -> None:
    RpcClient("127.0.0.1:1", tls=authority.issue("concord://blue/gateway/g"), cluster="blue")
    with pytest.raises(TlsConfigError, match="gateway 'g' of cluster 'green', the settings are for cluster 'blue'"):
        RpcClient("127.0.0.1:1", tls=authority.issue("concord://green/gateway/g"), cluster="blue")


def test_new_files_of_somebody_else_are_not_used(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    source = CredentialSource(authority.issue("concord://blue/node/n1", file="own"), cluster="blue", node="n1")
    authority.issue("concord://blue/node/n1", file="own")
    renewed = source.current()
    authority.issue("concord://blue/node/n2", file="own")
    assert source.current() is renewed
    assert "the settings are for node 'n1'" in caplog.text


def _is_unfit(use: Callable[[TlsConfig], object], config: TlsConfig) -> bool:
    try:
        use(config)
    except TlsConfigError:
        return True
    return False


@pytest.mark.parametrize(
    "uri",
    [
        "concord://blue/node",
        "concord://blue/node/",
        "concord:///node/n1",
        "concord://blue/node/n1/x",
        "CONCORD://b/node/n",
    ],
)
def test_a_name_has_exactly_three_parts(uri: str) -> None:
    with pytest.raises(RefusedError):
        read_identity({"subjectAltName": (("URI", uri),)})


def test_a_name_is_read_beside_names_of_other_kinds() -> None:
    names = (("DNS", "host"), ("URI", "https://x/y/z"), ("URI", "concord://blue/admin/ops"))
    identity = read_identity({"subjectAltName": names})
    assert (identity.cluster, identity.role, identity.id) == ("blue", Role.ADMIN, "ops")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_a_server_without_tls_refuses_an_address_that_others_can_reach(host: str) -> None:
    async def scenario() -> None:
        server = RpcServer()
        with pytest.raises(InsecureBindError, match="TLS"):
            await server.start(host, 0)
        with pytest.raises(RuntimeError):
            _ = server.address
        await server.close()

    uvloop.run(scenario())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.8.9.10"])
def test_a_server_without_tls_may_listen_on_loopback(host: str) -> None:
    async def scenario() -> None:
        server = RpcServer()
        await server.start(host, 0)
        await server.close()

    asyncio.run(scenario())


def test_with_tls_or_when_told_to_a_server_may_listen_anywhere(authority: Authority) -> None:
    """Shown by the kernel's refusal of an address that no machine has, so that nothing is exposed here."""

    async def scenario() -> None:
        told = RpcServer()
        with pytest.raises(OSError, match="assign"):
            await told.start("192.0.2.1", 0, insecure=True)
        safe = RpcServer(tls=authority.issue("concord://blue/node/n1"))
        with pytest.raises(OSError, match="assign"):
            await safe.start("192.0.2.1", 0)

    uvloop.run(scenario())


def test_notifications_carry_the_sender(run: Run, authority: Authority) -> None:
    async def scenario() -> None:
        tls = authority.issue("concord://blue/node/n1")
        async with served(tls) as (server, _):
            heard: list[tuple[str, str]] = []
            server.on_notification(TOLD, lambda peer, message: heard.append((peer.node, message.text)))
            client = RpcClient(server.address, tls=tls)
            client.notify(TOLD, Text("lost"))
            await until(lambda: client.connected)
            client.notify(TOLD, Text("heard"))
            await until(lambda: heard)
            assert heard == [("n1", "heard")]
            await client.close()

    run(scenario())
