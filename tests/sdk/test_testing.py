"""`concord.testing` and the fixtures of pytest, against real servers in this process."""

import asyncio
import re
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from concord import AsyncConcord, Concord, testing
from tests.e2e.cluster import ROOT, wait_until

pytest_plugins = ["pytester"]

# Of the plugins that are installed here, ours alone.
LEAN = [f"-pno:{name}" for name in ("cacheprovider", "anyio", "faker", "hypothesispytest", "schemathesis")]
INNER = """
import sys

HAD = set(sys.modules)
HEAVY = {"concord", "msgspec", "litestar", "shard", "gateway", "urllib3"}


def test_nothing_is_loaded_before_a_fixture_is_used():
    assert not HEAVY & HAD


def test_keys_locks_and_limits(concord_client):
    assert list(concord_client.keys()) == []
    concord_client.put("a", 1)
    concord_client.lock("job").__enter__()
    assert concord_client.limiter("calls", 1, 1000).acquire().allowed


def test_are_gone_in_the_next_test(concord_client, concord_url):
    assert list(concord_client.keys()) == []
    with concord_client.lock("job", wait=0):
        assert concord_client.limiter("calls", 1, 1000).acquire().allowed
    from concord import Concord
    with Concord(concord_url) as other:
        other.put("b", 2)
    assert concord_client.get("b") == 2


def test_the_server_is_one_for_the_session_and_empties_on_demand(concord_server, concord_url):
    assert concord_server.url == concord_url
"""


def blocks() -> list[str]:
    """The code of the page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "testing.md").read_text(), re.DOTALL)


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def tasks() -> int:
    """Threads as the kernel counts them, those of granian too."""
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.fixture(scope="module")
def server() -> Iterator[testing.Server]:
    with testing.server() as server:
        yield server


@pytest.fixture
def client(server: testing.Server) -> Iterator[Concord]:
    server.clear()
    with Concord(server.url) as client:
        yield client


def test_the_page_about_it_is_true() -> None:
    exec(compile(blocks()[0], "docs/testing.md", "exec"), {})  # noqa: S102 - our own page


def test_nothing_is_left_of_a_server(server: testing.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server.url
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def use() -> None:
        with testing.server(durability="os") as other, Concord(other.url) as client:
            client.put("a", 1)
            assert any(tmp_path.iterdir())

    names, running = threads(), tasks()
    use()  # and what libraries open once and keep
    opened = descriptors()
    use()
    wait_until(lambda: tasks() <= running, "its threads have ended")
    assert threads() == names
    wait_until(lambda: descriptors() <= opened, "its sockets are closed")
    assert not any(tmp_path.iterdir())


def test_servers_of_one_process_know_nothing_of_one_another(client: Concord) -> None:
    with testing.server(groups=1) as one, Concord(one.url) as other:
        other.put("a", 1)
        client.put("b", 2)
        assert list(other.keys()) == ["a"]
        assert list(client.keys()) == ["b"]


def test_a_cleared_server_has_forgotten_all_and_a_watch_goes_on(server: testing.Server, client: Concord) -> None:
    revision = client.put("a", 1, ttl=100)
    lock, limit = client.lock("job"), client.limiter("calls", 1, 1000)
    lock.__enter__()
    assert limit.acquire().allowed
    with client.watch() as watch:
        assert [next(watch).kind for _ in range(2)] == ["state", "synced"]
        server.clear()
        assert client.put("a", 2) > revision
        event = next(watch)
        assert (event.kind, event.value) == ("put", 2)
    assert list(client.keys()) == ["a"]
    assert client.ttl("a") is None
    with client.lock("job", wait=0):
        assert limit.acquire().allowed
    lock.__exit__(None, None, None)


def test_a_server_with_a_disk_does_not_forget() -> None:
    with testing.server(durability="os") as server, pytest.raises(RuntimeError, match="keeps nothing on disk"):
        server.clear()


def test_a_port_that_is_taken_is_said_and_leaves_nothing_behind(server: testing.Server) -> None:
    before = threads()
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"), testing.server(port=port):
        pass
    assert threads() == before


def test_the_async_form_does_not_hold_the_loop_up() -> None:
    async def scenario() -> None:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        turning = asyncio.create_task(turn())
        async with testing.async_server() as server, AsyncConcord(server.url) as client:
            await client.put("a", 1)
            assert await client.get("a") == 1
        turning.cancel()
        assert turns > 100

    asyncio.run(scenario())


def test_the_server_listens_on_loopback_only(server: testing.Server) -> None:
    host, _, port = server.url.removeprefix("http://").rpartition(":")
    assert host == "127.0.0.1"
    with socket.socket() as probe:
        probe.connect((host, int(port)))


def test_the_fixtures_give_each_test_an_empty_store(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_inner=INNER, test_pools=blocks()[1])
    result = pytester.runpytest_subprocess(*LEAN, "-W", "error")
    result.assert_outcomes(passed=6)


def test_without_the_server_only_tests_that_use_it_fail_and_say_why(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import sys\nsys.modules['litestar'] = None\n")
    pytester.makepyfile("def test_other(): pass\ndef test_with(concord_url): pass\n")
    result = pytester.runpytest_subprocess(*LEAN)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*needs litestar, which is not installed: install Concord with its extra 'server'*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_the_plugin_is_announced_to_pytest() -> None:
    assert 'concord = "concord_pytest"' in (ROOT / "pyproject.toml").read_text()
