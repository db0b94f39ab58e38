"""The audit log: what is in it, what can never be, and what happens when it cannot be written."""

import asyncio
import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.backlog import Backlog
from gateway.audit.lines import LINE_BYTES_MAX, Event, KeyForm, Lines
from gateway.audit.log import AuditLog
from gateway.settings import GatewaySettings
from tests.gateway.double import NAME, SETTINGS, Client, FakeCluster, Reply, run, until
from tests.gateway.machines import MachineCluster
from tests.gateway.placement_double import GUARDED, ROOT, GuardedCluster, bearer
from wire.messages import WriteRequest

Row = dict[str, Any]
VALUE = "CANARYVALUE"
HASH_KEY = b"k" * 32


def event(**more: Any) -> Event:
    fields: Row = {
        "at_ms": 1_700_000_000_123,
        "request": "r1",
        "address": "192.0.2.1",
        "token": "a" * 12,
        "verb": "write",
        "method": "PUT",
        "route": "put",
        "keys": ("k",),
        "status": 200,
    }
    return Event(**(fields | more))


# --- lines


def test_a_line_says_who_did_what_and_what_came_of_it() -> None:
    line = Lines(KeyForm.PLAIN).line(event(revision=7))
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.123Z",
        "request": "r1",
        "token": "a" * 12,
        "address": "192.0.2.1",
        "verb": "write",
        "method": "PUT",
        "route": "put",
        "status": 200,
        "code": "OK",
        "revision": 7,
        "key_count": 1,
        "keys": ["k"],
    }
    failed = json.loads(Lines(KeyForm.PLAIN).line(event(status=504, code="TIMEOUT", unknown=True)))
    assert (failed["status"], failed["code"], failed["applied"]) == (504, "TIMEOUT", "unknown")


@given(st.lists(st.text(max_size=1024).filter(lambda key: len(key.encode("utf-8", "ignore")) <= 1024), max_size=40))
def test_whatever_keys_hold_a_line_is_one_bounded_line_of_printable_ascii(keys: list[str]) -> None:
    keys = [key.encode("utf-8", "ignore").decode() for key in keys]
    line = Lines(KeyForm.PLAIN).line(event(keys=keys))
    assert len(line) <= LINE_BYTES_MAX
    assert line.endswith(b"\n")
    assert all(32 <= byte < 127 for byte in line[:-1])
    row = json.loads(line)
    assert row.get("key_count", 0) == len(keys)
    shown = row.get("keys", [])
    assert shown == keys[: len(shown)]
    assert shown or not keys


def test_the_longest_and_worst_keys_fit() -> None:
    for key in ("\x00" * 1024, "é" * 512, "😀" * 256, "\u2028" * 341, "\x7f" * 1024, '"' * 1024):
        line = Lines(KeyForm.PLAIN).line(event(keys=[key] * 500))
        assert len(line) <= LINE_BYTES_MAX
        assert json.loads(line)["keys"][0] == key
        assert json.loads(line)["key_count"] == 500


def test_hashed_keys_are_told_apart_only_by_who_has_the_key() -> None:
    one, same, other = (Lines(KeyForm.HASH, key) for key in (HASH_KEY, HASH_KEY, b"o" * 32))
    seen = [json.loads(lines.line(event(keys=("secret-name", "b"))))["keys"] for lines in (one, same, other)]
    assert seen[0] == seen[1] != seen[2]
    assert len(set(seen[0])) == 2
    assert "secret-name" not in str(seen)
    assert "keys" not in json.loads(Lines(KeyForm.NONE).line(event(keys=("secret-name",))))


# --- the backlog


@given(
    st.lists(
        st.tuples(st.sampled_from(["reserve", "add", "reserved", "release", "take"]), st.integers(1, LINE_BYTES_MAX))
    )
)
def test_the_backlog_is_bounded_keeps_order_and_never_drops_what_had_room_reserved(
    steps: list[tuple[str, int]],
) -> None:
    limit = 3 * LINE_BYTES_MAX
    backlog, open_places, expected, dropped = Backlog(limit), 0, list[bytes](), 0
    for number, (action, size) in enumerate(steps):
        line = number.to_bytes(8, "big").ljust(size, b"x")[: max(8, size)]
        if action == "reserve":
            open_places += backlog.reserve()
        elif action == "reserved" and open_places:
            assert backlog.add(line[:LINE_BYTES_MAX], was_reserved=True)
            open_places -= 1
            expected.append(line[:LINE_BYTES_MAX])
        elif action == "release" and open_places:
            backlog.release()
            open_places -= 1
        elif action == "add":
            if backlog.add(line, was_reserved=False):
                expected.append(line)
            else:
                dropped += 1
        elif action == "take":
            taken = backlog.take(size)
            assert taken == expected[: len(taken)]
            assert bool(taken) == bool(expected)
            del expected[: len(taken)]
        assert backlog.size == sum(map(len, expected))
        assert backlog.size + open_places * LINE_BYTES_MAX <= limit
    assert backlog.take_dropped() == dropped
    assert backlog.take_dropped() == 0


# --- the file


class Disk:
    """`os.write` that can be full, or take only a part."""

    def __init__(self) -> None:
        self.room: int | None = None
        self.failures = 0

    def __call__(self, file: int, data: bytes) -> int:
        if self.room == 0:
            self.failures += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = os.write(file, data if self.room is None else data[: self.room])
        if self.room is not None:
            self.room -= taken
        return taken


def wait_for(condition: Callable[[], bool]) -> None:
    async def main() -> None:
        await until(condition)

    asyncio.run(main())


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def test_a_full_disk_keeps_lines_waiting_and_tears_none_and_what_had_no_room_is_counted(tmp_path: Path) -> None:
    path, disk, dropped = tmp_path / "audit.log", Disk(), list[None]()
    log = AuditLog(str(path), write=disk, backlog_bytes=2 * LINE_BYTES_MAX, on_dropped=lambda: dropped.append(None))
    log.start()
    disk.room = 5
    log.add(b"first line\n", was_reserved=False)
    wait_for(lambda: log.is_failing)
    assert path.read_bytes() == b"first"
    assert not log.reserve()
    long = b"x" * (LINE_BYTES_MAX - 1) + b"\n"
    for _ in range(4):
        log.add(long, was_reserved=False)
    disk.room = None
    wait_for(lambda: not log.is_failing and not log.waiting_bytes)
    found = lines_of(path)
    assert found[:3] == [b"first line", long[:-1], long[:-1]]
    assert (len(dropped), json.loads(found[3])["dropped"], len(found)) == (2, 2, 4)
    assert log.reserve()
    log.release()
    assert log.close()


def test_the_file_is_opened_again_when_it_was_rotated_away_and_at_a_signal(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    log = AuditLog(str(path))
    log.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    log.add(b"one\n", was_reserved=False)
    wait_for(lambda: lines_of(path) == [b"one"])
    path.rename(tmp_path / "audit.log.1")
    log.reopen()
    wait_for(path.exists)
    log.add(b"two\n", was_reserved=False)
    wait_for(lambda: lines_of(path) == [b"two"])
    path.rename(tmp_path / "audit.log.2")  # without a word: noticed by itself
    wait_for(path.exists)
    log.add(b"three\n", was_reserved=False)
    wait_for(lambda: lines_of(path) == [b"three"])
    assert log.close()
    assert lines_of(tmp_path / "audit.log.1") == [b"one"]


def test_a_line_cut_off_by_a_crash_does_not_swallow_the_next_and_a_loose_mode_is_tightened(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b'whole\n{"cut')
    path.chmod(0o644)
    log = AuditLog(str(path))
    log.start()
    log.add(b"next\n", was_reserved=False)
    assert log.close()
    assert lines_of(path) == [b"whole", b'{"cut', b"next"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_no_regular_file_is_refused_at_the_start(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "real").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("pipe", "link", "nowhere/audit.log"):
        with pytest.raises(OSError):  # noqa: PT011 - each for a reason of its own
            AuditLog(str(tmp_path / name)).start()


# --- the gateway


def audited(
    scenario: Callable[[Client], Any], path: Path, cluster: FakeCluster | None = None, **settings: Any
) -> list[Row]:
    """Run a scenario with an audit log; returns its rows."""
    base = GUARDED if isinstance(cluster, GuardedCluster) else SETTINGS
    chosen = msgspec.structs.replace(base, audit_log=str(path), **settings)

    async def ready(client: Client) -> None:
        if client.gateway.tokens is not None:
            await client.gateway.tokens.reached(1)
        await scenario(client)

    run(ready, cluster, settings=chosen, started=isinstance(cluster, GuardedCluster))
    return [json.loads(line) for line in lines_of(path)]


def test_neither_a_secret_nor_a_value_is_ever_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    cluster = GuardedCluster()
    wrong = ROOT[:-9] + "0" * 9

    async def scenario(client: Client) -> None:
        async def send(method: str, target: str, body: object = None, token: str = ROOT) -> Reply:
            return await client.send(method, target, body, headers=bearer(token), address="192.0.2.9")

        item = {"key": "b", "value": VALUE}
        replies = [
            await send("PUT", "/api/v1/kv/a", {"value": VALUE}),
            await send("PUT", "/api/v1/kv/a", {"value": VALUE, "if_value": VALUE}),
            await send("PUT", "/api/v1/kv/a", {"value": VALUE, "unknown": VALUE}),
            await send("PUT", "/api/v1/kv/a", {"value": VALUE}, token=wrong),
            await send("PUT", f"/api/v1/kv/a?{VALUE}={VALUE}", {"value": VALUE}),
            await send("GET", "/api/v1/kv/a"),
            await send("POST", "/api/v1/kv/bulk", {"operations": [item]}),
            await send("POST", "/api/v1/txn", {"compare": [], "success": [{"op": "put", **item}], "failure": []}),
            await send("POST", "/api/v1/locks/l/acquire", {"owner": VALUE, "ttl": 10}),
            await send("POST", "/api/v1/tokens", {"name": VALUE, "scopes": [{"prefix": "", "verbs": ["read"]}]}),
        ]
        secret = replies[-1].data["token"]
        replies.append(await send("PUT", "/api/v1/kv/a", {"value": VALUE}, token=secret))
        replies.append(await send("POST", f"/api/v1/tokens/{replies[-2].data['id']}/rotate"))
        made.extend([secret, replies[-1].data["token"]])
        statuses.extend(reply.status for reply in replies)

    made, statuses = list[str](), list[int]()
    rows = audited(scenario, path, cluster, audit_reads=True)
    assert statuses == [200, 200, 400, 401, 400, 200, 200, 200, 200, 200, 403, 200]
    assert [row["status"] for row in rows] == statuses
    text = path.read_text()
    for secret in (ROOT, wrong, *made):
        for part in secret.split("_")[3:]:
            assert part not in text
    assert VALUE not in text
    assert {row["address"] for row in rows} == {"192.0.2.9"}
    assert "token" not in rows[3]
    assert rows[10]["token"] == made[0].split("_")[2]
    assert rows[10]["keys"] == ["a"]


def test_changes_are_written_down_with_key_and_revision_and_reads_only_when_asked(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        reply = await client.send("PUT", "/api/v1/kv/a%0A%7B%7D", {"value": 1}, headers=[("x-request-id", "mine-1")])
        assert reply.headers["x-request-id"] == "mine-1"
        odd = await client.send("DELETE", "/api/v1/kv/b", headers=[("x-request-id", 'x"\n{}')])
        assert odd.headers["x-request-id"] not in ("", 'x"\n{}')
        keys = [f"k{number}" for number in range(40)]
        await client.send("POST", "/api/v1/kv/bulk/delete", {"keys": keys})
        await client.send("GET", "/api/v1/kv/a")
        await client.send("GET", "/api/v1/kv?prefix=p")
        await client.send("GET", "/metrics")
        await client.send("GET", "/livez")

    rows = audited(scenario, tmp_path / "few")
    assert [row["route"] for row in rows] == ["put", "delete", "bulk_delete"]
    assert (rows[0]["keys"], rows[0]["revision"], rows[0]["request"]) == (["a\n{}"], 1, "mine-1")
    assert (rows[2]["key_count"], rows[2]["keys"]) == (40, [f"k{number}" for number in range(16)])
    rows = audited(scenario, tmp_path / "all", audit_reads=True)
    assert [row["route"] for row in rows] == ["put", "delete", "bulk_delete", "get", "list"]
    assert (rows[3]["code"], rows[4]["keys"]) == ("NOT_FOUND", ["p"])


def test_a_second_request_id_that_a_proxy_added_is_no_reason_to_refuse(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        two = [("x-request-id", "mine"), ("x-request-id", "of-a-proxy")]
        reply = await client.send("PUT", "/api/v1/kv/a", {"value": 1}, headers=two)
        assert (reply.status, reply.headers["x-request-id"]) == (200, "mine")

    assert [row["request"] for row in audited(scenario, tmp_path / "audit.log")] == ["mine"]


def test_what_was_done_as_one_is_written_down_with_its_revision_and_a_lock_with_its_fence(tmp_path: Path) -> None:
    expected: list[tuple[str, int | None]] = []

    async def scenario(client: Client) -> None:
        async def post(route: str, path: str, body: object) -> Reply:
            expected.append((route, None))
            return await client.send("POST", "/api/v1" + path, body)

        def known(revision: str | int) -> None:
            expected[-1] = (expected[-1][0], int(revision))

        known((await post("txn", "/txn", {"success": [{"op": "increment", "key": "a"}]})).data["revision"])
        known((await post("increment", "/kv/a/increment", {})).headers["etag"].strip('"'))
        known((await post("touch", "/kv/a/touch", {"ttl": 60})).headers["etag"].strip('"'))
        fence = (await post("lock_acquire", "/locks/l/acquire", {"owner": "a", "ttl": 60})).data["fence"]
        known(fence)
        await post("lock_renew", "/locks/l/renew", {"owner": "a", "fence": fence, "ttl": 60})
        known(fence)
        await post("lock_release", "/locks/l/release", {"owner": "a", "fence": fence})
        known(fence)
        items = [{"key": key, "value": 1} for key in ("{s}a", "{s}b")]
        await post("bulk_put", "/kv/bulk", {"operations": items, "atomic": True})
        known(client.cluster.index)
        await post("bulk_put", "/kv/bulk", {"operations": items})
        await post("bulk_delete", "/kv/bulk/delete", {"keys": ["{s}c"], "atomic": True})
        await post("txn", "/txn", {"success": [{"op": "get", "key": "a"}]})
        await post(
            "txn", "/txn", {"compare": [{"key": "a", "exists": False}], "success": [{"op": "delete", "key": "a"}]}
        )
        await post("txn", "/txn", {"success": [{"op": "delete", "key": "c"}]})

    rows = audited(scenario, tmp_path / "audit.log", MachineCluster())
    assert [(row["route"], row.get("revision")) for row in rows] == expected


def test_who_is_turned_away_is_written_down_and_who_floods_is_not(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        for _ in range(30):
            await client.send("GET", "/api/v1/kv/a", headers=bearer("wrong"))
            await client.send("PUT", "/api/v1/kv/a", {"value": 1}, headers=bearer("wrong"))

    rows = audited(scenario, tmp_path / "audit.log", GuardedCluster(), failed_logins=3)
    assert {row["code"] for row in rows} == {"UNAUTHORIZED"}
    assert 3 <= len(rows) < 10


def test_a_body_that_breaks_off_is_written_down_as_refused(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        async def ended() -> dict[str, object]:
            return {"type": "http.disconnect"}

        async def nobody(_: object) -> None:
            return

        scope = {
            "type": "http",
            "method": "PUT",
            "raw_path": b"/api/v1/kv/a",
            "query_string": b"",
            "headers": [],
            "client": ("192.0.2.1", 1),
        }
        await client.gateway.dispatcher(cast("Any", scope), cast("Any", ended), cast("Any", nobody))

    (row,) = audited(scenario, tmp_path / "audit.log")
    assert (row["status"], row["code"]) == (400, "INVALID_REQUEST")
    assert "applied" not in row  # nothing was


def test_a_client_that_is_gone_and_an_unknown_outcome_are_written_down(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        gone = asyncio.Event()
        gone.set()
        await client.send("POST", "/api/v1/locks/l/acquire", {"owner": "a", "ttl": 60})
        await client.send("POST", "/api/v1/locks/l/acquire", {"owner": "b", "ttl": 1, "wait_ms": 5000}, gone=gone)

    rows = audited(scenario, tmp_path / "audit.log", MachineCluster())
    row = next(row for row in rows if row["status"] != 200)
    assert (row["status"], row["code"], row["applied"]) == (0, "CLIENT_GONE", "unknown")


def test_when_told_to_refuse_nothing_is_changed_that_might_not_be_written_down(tmp_path: Path) -> None:
    async def scenario(client: Client) -> None:
        trail = client.gateway.audit
        assert trail is not None
        assert (await client.send("PUT", "/api/v1/kv/a", {"value": 1})).status == 200
        await until(lambda: not trail.log.waiting_bytes)
        trail.log.is_failing = True
        before = len(client.cluster.requests(WriteRequest))
        refused = await client.send("PUT", "/api/v1/kv/a", {"value": 1})
        assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "CLUSTER_UNAVAILABLE", "1")
        assert len(client.cluster.requests(WriteRequest)) == before
        assert (await client.send("GET", "/api/v1/kv/a")).status == 200  # reads are not written down
        await until(lambda: not trail.log.is_failing)  # the thread finds that it can write
        assert (await client.send("PUT", "/api/v1/kv/a", {"value": 1})).status == 200

    rows = audited(scenario, tmp_path / "audit.log", audit_full="refuse")
    assert len(rows) == 2


def test_a_hash_key_of_a_wrong_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"short\n")
    settings = GatewaySettings(
        nodes=["127.0.0.1:1"],
        cluster=NAME,
        audit_log=str(tmp_path / "audit.log"),
        audit_keys="hash",
        audit_hash_key=str(tmp_path / "key"),
    )
    with pytest.raises(OSError, match="audit_hash_key"):
        run(lambda _: asyncio.sleep(0), settings=settings)
