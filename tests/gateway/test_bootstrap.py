"""`concord token bootstrap`: one token, once, from placement itself."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from gateway.bootstrap import main
from placement.machine import PlacementMachine
from placement.tokens import verify
from placement.tokens.check import index_of
from placement.tokens.service import TokenService, serve_tokens
from raft.interface import Unknown
from tests.gateway.double import NAME
from tests.gateway.placement_double import GuardedCluster
from tests.placement.replicas import FakeReplica, refused
from wire import RpcServer
from wire.methods import WATCH_MAP


class Placement:
    """A member of placement behind a real RPC server, on a loop of its own."""

    def __init__(self) -> None:
        self.machine = PlacementMachine(NAME, lambda _: None)
        self.replica = FakeReplica(self.machine)
        self.address = ""
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))
        self._thread.start()
        assert self._ready.wait(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        server = RpcServer(cluster=NAME)
        serve_tokens(server, TokenService(self.replica, self.machine.tokens), ["n1"])
        server.on(WATCH_MAP, lambda call: call.reply(GuardedCluster().map))
        await server.start("127.0.0.1", 0)
        self.address = server.address
        self._ready.set()
        await self._stop.wait()
        await server.close(0.0)


@pytest.fixture
def placement() -> Iterator[Placement]:
    started = Placement()
    yield started
    started.close()


def bootstrap(placement: Placement, *more: str) -> int:
    return main(["--nodes", placement.address, "--cluster", NAME, "--timeout-s", "1", *more])


def test_the_token_on_stdout_is_good_and_there_is_no_second(
    placement: Placement, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bootstrap(placement, "--name", "first") == 0
    shown = capsys.readouterr()
    found = verify(index_of(placement.machine.tokens.table), shown.out.strip().encode(), 0)
    assert found is not None
    assert found.name == "first"
    assert shown.out.strip() not in shown.err
    assert bootstrap(placement) == 1
    again = capsys.readouterr()
    assert again.out == ""
    assert "already" in again.err


def test_a_token_of_which_it_is_not_known_whether_it_was_made_is_shown(
    placement: Placement, capsys: pytest.CaptureFixture[str]
) -> None:
    placement.replica.outcome = Unknown("")
    assert bootstrap(placement) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("sk_concord_")
    assert "not known" in shown.err


def test_a_token_that_was_certainly_not_made_is_not_shown(
    placement: Placement, capsys: pytest.CaptureFixture[str]
) -> None:
    placement.replica.outcome = refused()
    assert bootstrap(placement) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "--nodes"),
        (["--nodes", "10.0.0.1:1"], "--insecure"),
        (["--nodes", "127.0.0.1:1", "--tls-cert", "x"], "tls_ca"),
        (["--nodes", "127.0.0.1:1", "--name", "a\nb"], "name"),
    ],
)
def test_wrong_settings_are_refused_by_name(words: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert named in shown.err
    assert shown.out == ""
