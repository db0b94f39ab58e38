"""An application that is a node, in this process: life, errors, and what happens when its disk fails."""

import asyncio
import errno
import http.client
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

import concord
from concord import Concord, Member, StoreFailed, UnknownOutcome, open_async_member, open_member
from member.settings import MemberSettings, gateway_settings, http_settings, node_settings
from placement.watcher import MapWatcher
from raft.disk import OsFile
from tests.certificates import Authority
from tests.e2e.cluster import ROOT, free_port, wait_until

ALONE = "127.0.0.1:0"


@contextmanager
def alone(path: Path, **told: Any) -> Iterator[Member]:
    with open_member(path, listen=ALONE, groups=2, **told) as db:
        db.wait_ready()
        yield db


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """Directories whose disk fails from now on."""
    paths: set[Path] = set()
    sync = OsFile.sync

    def failing(self: OsFile) -> None:
        link = Path(f"/proc/self/fd/{self._descriptor}").readlink()
        if any(link.is_relative_to(path) for path in paths):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(link))
        sync(self)

    monkeypatch.setattr(OsFile, "sync", failing)
    return paths


def test_it_has_the_methods_of_the_client_and_keeps_its_data(tmp_path: Path) -> None:
    with alone(tmp_path / "data") as db:
        db.put("a", {"x": 1})
        db.put_many({f"many/{n}": n for n in range(1200)}).check()
        assert db.increment("count") == 1
        with db.lock("job") as lock, db.flags("a") as flags, db.watch("a") as watch:
            db.put("a", 2, if_fence=lock.fence)
            wait_until(lambda: flags.get("a", default=0) == 2 or flags.get("", default=0) == 2, "the flag is known")
            assert next(watch).kind == "state"
    with alone(tmp_path / "data") as db:
        assert db.get("a") == 2
        assert db.get_many([f"many/{n}" for n in range(1200)]).check().values["many/1199"] == 1199
        assert sum(1 for _ in db.scan("many/")) == 1200


def test_threads_may_share_it(tmp_path: Path) -> None:
    with alone(tmp_path / "data", durability="os") as db:
        threads = [threading.Thread(target=lambda: [db.increment("n") for _ in range(25)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert db.get("n") == 100


def test_asyncio_and_http_from_the_same_node(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with await open_async_member(tmp_path / "data", listen=ALONE, durability="os") as db:
            await db.wait_ready()
            await db.put("a", 1)
            url = await db.serve_http()
            with Concord(url) as client:
                assert await asyncio.to_thread(client.get, "a") == 1
            async with db.lock("job"):
                assert [entry.key async for entry in db.scan()] == ["a"]
            watch = db.watch("a")
            assert (await anext(aiter(watch))).value == 1
            await watch.close()

    asyncio.run(scenario())


def test_signals_are_the_applications(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with alone(tmp_path / "data", durability="memory") as db:
        db.serve_http()
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_second_one_that_opens_the_directory_is_told(tmp_path: Path) -> None:
    with alone(tmp_path / "data"):
        with pytest.raises(StoreFailed, match="is held by process") as caught:
            open_member(tmp_path / "data", listen=ALONE)
        assert caught.value.code == "STORE_LOCKED"


def test_closed_is_said(tmp_path: Path) -> None:
    with alone(tmp_path / "data", durability="memory") as db:
        watch = db.watch()
        next(watch)
    for call in (lambda: db.put("a", 1), db.serve_http, lambda: next(watch), db.wait_ready):
        with pytest.raises(StoreFailed) as caught:
            call()
        assert caught.value.code == "STORE_CLOSED"
    db.close()


def test_a_fork_is_told_and_its_parent_is_not_disturbed(tmp_path: Path) -> None:
    with alone(tmp_path / "data", durability="memory") as db:
        child = os.fork()
        if child == 0:  # nothing but what is tested may run here
            code = 1
            try:
                db.get("a")
            except StoreFailed as error:
                code = 0 if error.code == "STORE_FORKED" else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert db.put("a", 1)


def test_a_disk_that_fails_ends_the_node_and_not_the_application(tmp_path: Path, broken: set[Path]) -> None:
    names = {thread.name for thread in threading.enumerate()}
    path = tmp_path / "data"
    with alone(path) as db:
        db.put("kept", 1)
        broken.add(path)
        with pytest.raises((StoreFailed, UnknownOutcome)) as first:
            db.put("lost", 2)
        assert first.value.applied == "unknown"
        for call in (lambda: db.get("kept"), lambda: db.put("a", 1), lambda: next(db.watch()), db.serve_http):
            with pytest.raises(
                StoreFailed, match=r"EIO .*start the node again|EIO .*before starting the node"
            ) as caught:
                call()
            assert caught.value.code == "STORE_FAILED"
        wait_until(lambda: {thread.name for thread in threading.enumerate()} <= names | {"concord_0"}, "it has ended")
    broken.clear()
    with alone(path) as db:
        assert db.get("kept") == 1


def test_a_disk_that_fails_at_the_start_is_said(tmp_path: Path, broken: set[Path]) -> None:
    broken.add(tmp_path / "data")
    with pytest.raises(StoreFailed, match="EIO") as caught:
        open_member(tmp_path / "data", listen=ALONE)
    assert caught.value.code in {"STORE_FAILED", "STORE_DAMAGED"}
    broken.clear()
    with alone(tmp_path / "data"):
        pass


def test_an_address_in_use_is_said_and_gives_the_directory_free(tmp_path: Path) -> None:
    with alone(tmp_path / "one", durability="memory") as db:
        with pytest.raises(StoreFailed, match="in use") as caught:
            open_member(tmp_path / "two", listen=db.address)
        assert caught.value.code == "STORE_FAILED"
        with open_member(tmp_path / "two", listen=ALONE) as two:
            two.wait_ready()


def test_members_are_decided_at_the_first_start(tmp_path: Path) -> None:
    port = free_port()
    own, other = f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}"
    with alone(tmp_path / "data", node_id="a"):
        pass
    with pytest.raises(StoreFailed, match=r"a cluster of a, and listen= and join= name 127.*decided") as caught:
        open_member(tmp_path / "data", listen=own, node_id="a", join=[other], groups=2)
    assert caught.value.code == "STORE_DAMAGED"
    with pytest.raises(StoreFailed, match="groups= as it was"):
        open_member(tmp_path / "data", listen=own, node_id="a", groups=4)
    with alone(tmp_path / "data", node_id="a"):
        pass


def test_members_that_mean_different_clusters_take_no_part_and_say_why(tmp_path: Path) -> None:
    port = free_port()
    first, second, third, fourth = (f"127.0.0.1:{port + number}" for number in range(4))
    with (
        open_member(tmp_path / "first", listen=first, join=[second, third]) as one,
        open_member(tmp_path / "second", listen=second, join=[first, fourth]) as two,
    ):
        for db, names in ((one, f"{port + 3}.*this node.*{port + 2}"), (two, f"{port + 2}.*this node.*{port + 3}")):
            with pytest.raises(StoreFailed, match=names) as caught:
                db.wait_ready(20)
            assert caught.value.code == "STORE_FAILED"
    with (  # nothing was decided
        open_member(tmp_path / "second", listen=second, join=[first, third]) as two,
        pytest.raises(concord.Unavailable, match=f"no word yet of the members {first}, {third}"),
    ):
        two.wait_ready(0.1)


@pytest.mark.parametrize("what", ["a fourth member", "groups"])
def test_members_that_mean_the_same_hosts_of_placement_but_another_cluster_say_why(tmp_path: Path, what: str) -> None:
    port = free_port()
    first, second, third, fourth = (f"127.0.0.1:{port + number}" for number in range(4))
    told: dict[str, Any] = {"join": [first, third], "groups": 3}
    more = {"join": [first, third, fourth]} if what == "a fourth member" else {"groups": 4}
    why = f"{port + 3}" if what == "a fourth member" else "groups=[34], this node groups=[34]: open all members"
    with (
        open_member(tmp_path / "first", listen=first, join=[second, third], groups=3) as one,
        open_member(tmp_path / "second", listen=second, **(told | more)) as two,
    ):
        for db in (one, two):
            with pytest.raises(StoreFailed, match=why) as caught:
                db.wait_ready(20)
            assert caught.value.code == "STORE_FAILED"
    with ExitStack() as stack:  # nothing was decided, and what all mean now they mean for good
        for name, own in (("first", first), ("second", second), ("third", third)):
            db = stack.enter_context(open_member(tmp_path / name, listen=own, join=[first, second, third], groups=3))
        db.wait_ready()
    with (  # it asks nobody any more
        open_member(tmp_path / "first", listen=first, join=[second, third], groups=3) as one,
        pytest.raises(concord.Unavailable) as caught_alone,
    ):
        one.wait_ready(0.1)
    assert "no word" not in str(caught_alone.value)


def test_in_a_cluster_the_others_go_on_without_a_failed_member(tmp_path: Path, broken: set[Path]) -> None:
    port = free_port()
    addresses = [f"127.0.0.1:{port + number}" for number in range(3)]
    with ExitStack() as stack:
        members = [
            stack.enter_context(open_member(tmp_path / f"m{number}", listen=address, join=addresses, groups=3))
            for number, address in enumerate(addresses)
        ]
        for member in members:
            member.wait_ready()
        members[0].put("a", 1)
        broken.add(tmp_path / "m1")
        for key in range(12):  # in every group
            members[0].put(f"b/{key}", key, timeout=20)
        with pytest.raises(StoreFailed):
            members[1].get("a")
        assert members[2].get_many([f"b/{key}" for key in range(12)]).check().values["b/11"] == 11


def test_the_page_about_it_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, port = (ROOT / "docs" / "members.md").read_text(), free_port()
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        there = re.sub(r"127\.0\.0\.1:450(\d)", lambda found: f"127.0.0.1:{port + int(found[1])}", block)
        exec(compile(there, "docs/members.md", "exec"), names)  # noqa: S102 - our own page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data-0", "data-1", "data-2"]


# --- what is told, and what node and gateway make of it -------------------------------------------------------------


def settings(**told: Any) -> MemberSettings:
    return MemberSettings(**{"path": "data", "listen": "10.0.0.1:4100", "insecure": True, **told})


def test_all_members_host_placement_alike() -> None:
    addresses = [f"10.0.0.{number}:4100" for number in (4, 3, 2, 1)]
    told = [
        node_settings(settings(listen=own, join=[each for each in addresses if each != own or own[-6] in "13"]))
        for own in addresses
    ]
    assert {tuple(each.placement) for each in told} == {
        tuple(f"10.0.0.{number}-4100=10.0.0.{number}:4100" for number in (1, 2, 3))
    }
    assert {(each.expect_nodes, each.replicas) for each in told} == {(4, 3)}
    assert {each.id for each in told} == {f"10.0.0.{number}-4100" for number in (1, 2, 3, 4)}


def test_members_with_names_may_move() -> None:
    told = settings(node_id="a", join=["b=10.0.0.2:1", "c=10.0.0.3:1"])
    assert node_settings(told).placement == ["a=10.0.0.1:4100", "b=10.0.0.2:1", "c=10.0.0.3:1"]
    assert gateway_settings(told, "10.0.0.1:4100").nodes == ["10.0.0.1:4100", "10.0.0.2:1", "10.0.0.3:1"]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"insecure": False}, r"10\.0\.0\.1:4100 is not loopback.*tls_cert=.*insecure=True"),
        ({"listen": "127.0.0.1:1", "join": ["10.0.0.2:1"], "insecure": False}, r"10\.0\.0\.2:1 is not loopback"),
        ({"listen": "0.0.0.0:4100", "join": ["10.0.0.2:1"]}, "advertise="),
        ({"listen": "127.0.0.1:0", "join": ["127.0.0.1:1"]}, "leaves it to the kernel"),
        ({"node_id": "a", "join": ["a=10.0.0.2:1"]}, "has the name of this node"),
        ({"join": ["a=10.0.0.2:1", "a=10.0.0.3:1"]}, "is there twice"),
        ({"join": ["a=10.0.0.2:1", "b=10.0.0.2:1"]}, "is there twice"),
        ({"join": [f"10.0.1.{number}:1" for number in range(32)]}, "at most 32"),
        ({"join": ["somewhere"]}, "host:port"),
        ({"listen": "4100"}, "host:port"),
        ({"groups": 0}, "groups"),
        ({"durability": "some"}, "durability"),
        ({"tls_cert": "a"}, "belong together"),
    ],
)
def test_what_cannot_be_is_refused(told: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        node_settings(settings(**told))


def test_http_beyond_loopback_needs_consent() -> None:
    with pytest.raises(ValueError, match="insecure=True"):
        http_settings("10.0.0.1", 80, auth=None, insecure=False)
    with pytest.raises(ValueError, match="auth=True"):
        http_settings("10.0.0.1", 80, auth=None, insecure=True)
    told = gateway_settings(settings(), "10.0.0.1:1", **http_settings("10.0.0.1", 80, auth=True, insecure=True))
    assert (told.listen, told.auth) == ("10.0.0.1:80", "on")


def test_a_wrong_argument_is_a_value_error_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="loopback"):
        open_member(tmp_path / "data", listen="192.0.2.1:4100")
    with pytest.raises(ValueError, match="groups"):
        open_member(tmp_path / "data", listen=ALONE, groups=0)
    assert not (tmp_path / "data").exists()


def test_a_certificate_of_another_node_is_a_value_error_and_makes_nothing(tmp_path: Path) -> None:
    tls = Authority(tmp_path, "authority").issue("concord://blue/node/n2")
    files: dict[str, Any] = {"tls_cert": tls.cert, "tls_key": tls.key, "tls_ca": tls.ca}
    with pytest.raises(ValueError, match="node 'n2' of cluster 'blue', the settings are for node 'n1'"):
        open_member(tmp_path / "data", listen=ALONE, node_id="n1", cluster="blue", **files)
    assert not (tmp_path / "data").exists()


def test_tokens_are_asked_for_where_it_was_said(tmp_path: Path) -> None:
    with alone(tmp_path / "data", durability="memory") as db:
        url = db.serve_http(auth=True)
        assert first_status(url) == 401
        assert db.get("a") is None


def test_the_first_request_over_http_finds_the_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = MapWatcher.start
    with alone(tmp_path / "data", durability="memory") as db:
        monkeypatch.setattr(MapWatcher, "start", lambda self: asyncio.get_running_loop().call_later(0.3, begin, self))
        assert first_status(db.serve_http()) == 404


def first_status(url: str) -> int:
    """What one request gets, without the retries of a client."""
    with closing(http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)) as connection:
        connection.request("GET", "/api/v1/kv/a")
        return connection.getresponse().status


def test_what_only_a_node_takes_is_refused_where_there_is_none() -> None:
    with pytest.raises(ValueError, match=r"^groups, join: only with listen="):
        concord.open("data", join=["127.0.0.1:1"], groups=2)  # type: ignore[call-overload] # that is the point
    with pytest.raises(ValueError, match=r"^path: a node of a cluster needs a data directory"):
        concord.open(listen=ALONE)  # type: ignore[call-overload] # likewise
