"""What every `Concord` does, whatever is behind it: a cluster, a gateway in memory, a store in this process.

Each function is a scenario on keys of its own, called with a client; who calls them says what is behind.
"""

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import pytest

import concord
from concord import Concord, Put, Steps, Txn
from concord._values import AS_STORED

MANY = 1200


class Flag(msgspec.Struct):
    enabled: bool
    share: float


def one_key(client: Concord) -> None:
    assert client.get("one/a") is None
    assert client.get("one/a", type=int, default=5) == 5
    revision = client.put("one/a", Flag(enabled=True, share=0.5), ttl=100)
    assert client.get("one/a", type=Flag) == Flag(enabled=True, share=0.5)
    assert client.entry("one/a") == concord.Entry("one/a", {"enabled": True, "share": 0.5}, revision, 100)
    assert client.ttl("one/a") == 100
    assert client.touch("one/a", 50) > revision
    with pytest.raises(concord.PreconditionFailed):
        client.put("one/a", 1, if_revision=revision)
    with pytest.raises(concord.PreconditionFailed):
        client.put("one/a", 1, if_absent=True)
    client.put("one/a", None, if_value={"share": 0.5, "enabled": True})
    entry = client.entry("one/a")
    assert entry is not None
    assert entry.value is None
    assert client.delete("one/a", if_revision=entry.revision) is True
    assert client.delete("one/a") is False
    with pytest.raises(concord.NotFound):
        client.touch("one/a", 1)
    with pytest.raises(concord.NotFound):
        client.ttl("one/a")
    client.put("one/b", b"\x00\xff", ttl=9, content_type="image/png", if_absent=True)
    assert client.get("one/b", type=bytes) == b"\x00\xff"
    raw = [client.entry("one/b"), client.get_many(["one/b"]).entries["one/b"], *client.scan("one/b")]
    assert [one and one.content_type for one in raw] == ["image/png"] * 3
    assert client.get("one/b") == b"\x00\xff"
    assert [client.increment("one/n", 5, initial=10, max=20) for _ in range(2)] == [15, 20]
    with pytest.raises(concord.Conflict):
        client.increment("one/n", max=20)
    for key in (".", "..", "bulk", "one/x/ttl", "one/ä ?#%", "\0", "\0\0one", "one\n"):
        client.put(key, key)
        assert client.get(key) == key
        client.touch(key, 100)
        assert client.get(key, consistency="stale") == key
        client.delete(key)
        assert client.get(key) is None


def fences(client: Concord) -> None:
    client.put("fenced/a", 1, if_fence=7)
    client.put("fenced/a", 2)
    with pytest.raises(concord.PreconditionFailed):
        client.put("fenced/a", 3, if_fence=6)
    with pytest.raises(concord.PreconditionFailed):
        client.delete("fenced/a", if_fence=6)
    assert client.get("fenced/a") == 2
    assert client.delete("fenced/a", if_fence=7)


def fences_of_every_write(client: Concord) -> None:
    """Whatever changes a key remembers the fence that it is given, and is refused under a smaller one."""
    names = ["{f}a", "{f}b"]

    def txn(add: Callable[[Steps], Steps]) -> Txn:
        made = Txn()
        add(made.then)
        return made

    def outcome(written: concord.Written) -> list[str]:
        assert all(isinstance(error, concord.PreconditionFailed) for error in written.errors.values())
        return written.done

    writes: list[Callable[[int], object]] = [
        lambda fence: client.increment("{f}a", if_fence=fence),
        lambda fence: client.touch("{f}a", 100, if_fence=fence),
        lambda fence: outcome(client.put_many({"{f}a": 1, "{f}b": 2}, if_fence=fence)),
        lambda fence: outcome(client.put_many({name: Put(1, ttl=9, if_fence=fence) for name in names}, if_fence=99)),
        lambda fence: outcome(client.touch_many(names, 100, if_fence=fence)),
        lambda fence: client.commit(txn(lambda steps: steps.put("{f}a", 1, if_fence=fence))),
        lambda fence: client.commit(txn(lambda steps: steps.touch("{f}a", 9, if_fence=fence))),
        lambda fence: client.commit(txn(lambda steps: steps.increment("{f}a", if_fence=fence))),
    ]
    deletions: list[Callable[[int], object]] = [
        lambda fence: outcome(client.delete_many(names, if_fence=fence)),
        lambda fence: client.commit(txn(lambda steps: steps.delete("{f}a", if_fence=fence).delete("{f}b"))),
    ]
    for write in (*writes, *deletions):
        client.put_many({"{f}a": 1, "{f}b": 2}, if_fence=7).check()
        assert write(8)
        is_there = client.get("{f}a") is not None
        assert is_there == (write in writes)
        if is_there:
            with pytest.raises(concord.PreconditionFailed):
                client.put("{f}a", 1, if_fence=7)  # it has remembered the 8
        client.put_many({"{f}a": 1, "{f}b": 2}, if_fence=8).check()
        assert is_refused(lambda write=write: write(7))  # type: ignore[misc] # bound early
        assert {entry.key: entry.value for entry in client.scan("{f}")} == {"{f}a": 1, "{f}b": 2}
        client.delete_many(names, if_fence=8).check()
    with pytest.raises(concord.InvalidRequest):
        client.put_many({"{f}a": 1, "{f}b": b"raw"}, if_fence=7)
    assert list(client.keys("{f}")) == []
    for bad in (-1, 1 << 63):
        with pytest.raises(concord.InvalidRequest):
            client.increment("{f}a", if_fence=bad)
        written = client.put_many({"{f}a": 1}, if_fence=bad), client.delete_many(["{f}a"], if_fence=bad)
        assert [isinstance(one.errors["{f}a"], concord.InvalidRequest) for one in written] == [True, True]


def is_refused(write: Callable[[], object]) -> bool:
    """Whether a write under an old fence did nothing: it raises, or of many keys none was written."""
    try:
        return write() == []
    except concord.PreconditionFailed as error:
        return error.applied is False


def refusals(client: Concord) -> None:
    """The limits, each at what it allows and one over it, with the code that says which."""
    client.put("k" * 1024, 1)
    client.put("refused/long", "x" * ((1 << 20) - 2))
    deep: list[object] = []
    for _ in range(63):
        deep = [deep]
    client.put("refused/deep", deep)
    client.put("refused/n", "no number")
    refused = [
        (lambda: client.put("", 1), concord.InvalidRequest, "INVALID_KEY"),
        (lambda: client.put("k" * 1025, 1), concord.InvalidRequest, "INVALID_KEY"),
        (lambda: client.get("ä" * 513), concord.InvalidRequest, "INVALID_KEY"),
        (lambda: client.get("\ud800"), concord.InvalidRequest, "INVALID_KEY"),
        (lambda: client.put("refused/a", "x" * ((1 << 20) - 1)), concord.TooLarge, "VALUE_TOO_LARGE"),
        (lambda: client.put("refused/a", b"x" * ((1 << 20) + 1)), concord.TooLarge, "VALUE_TOO_LARGE"),
        (lambda: client.put("refused/a", [deep]), concord.InvalidRequest, "INVALID_REQUEST"),
        (lambda: client.put("refused/a", object()), concord.InvalidRequest, "INVALID_REQUEST"),
        (lambda: client.put("refused/a", 1, content_type="text/plain"), concord.InvalidRequest, "INVALID_REQUEST"),
        (lambda: client.put("refused/a", b"1", if_value=1), concord.InvalidRequest, "INVALID_REQUEST"),
        (lambda: client.put("refused/a", 1, ttl=0), concord.InvalidRequest, "INVALID_REQUEST"),
        (lambda: client.put("refused/a", 1, ttl=315_360_001), concord.InvalidRequest, "INVALID_REQUEST"),
        (lambda: client.put("refused/a", 1, if_revision=-1), concord.InvalidRequest, "INVALID_REQUEST"),
        (lambda: client.touch("refused/long", 0), concord.InvalidRequest, "INVALID_REQUEST"),
        (lambda: client.increment("refused/n"), concord.Conflict, "CONFLICT"),
        (lambda: client.increment("refused/m", 1 << 63), concord.InvalidRequest, "INVALID_REQUEST"),
        (lambda: client.limiter("refused", 0, 1).acquire(), concord.InvalidRequest, "INVALID_REQUEST"),
        (lambda: client.limiter("refused", 1, 1).acquire(2), concord.InvalidRequest, "INVALID_REQUEST"),
        (lambda: client.service("a/b").instances(), concord.InvalidRequest, "INVALID_KEY"),
        (
            lambda: client.commit(Txn().if_exists("refused/a", cast("bool", 1))),
            concord.InvalidRequest,
            "INVALID_REQUEST",
        ),
        (
            lambda: client.commit(Txn().if_value("refused/a", 1, op=cast("Any", "<="))),
            concord.InvalidRequest,
            "INVALID_REQUEST",
        ),
        (lambda: client.get("refused/n", type=int), concord.InvalidValue, "INVALID_VALUE"),
        (lambda: client.get("refused/n", type=bytes), concord.InvalidValue, "INVALID_VALUE"),
    ]
    for number, (call, kind, code) in enumerate(refused):
        with pytest.raises(kind) as raised:
            call()  # type: ignore[no-untyped-call] # a list of lambdas
        assert (number, raised.value.code, raised.value.applied) == (number, code, False)
    assert client.get("refused/a") is None


def many_keys(client: Concord) -> None:
    items: dict[str, object] = {f"many/{number:05}": number for number in range(MANY)} | {"many/raw": b"\x01"}
    assert sorted(client.put_many(items).check().done) == sorted(items)
    found = client.get_many([*items, "many/none"], consistency="stale").check()
    assert found.values == items
    assert found.missing == ["many/none"]
    assert client.get_many(items, consistency="stale", max_age_ms=0).check().values == items
    assert set(client.keys("many/", consistency="stale", max_age_ms=60_000)) <= set(items)
    for entry in client.scan("many/", consistency="stale", max_age_ms=60_000):
        assert items[entry.key] == entry.value
    assert list(client.keys("many/")) == sorted(items)
    assert {entry.key: entry.value for entry in client.scan("many/")} == items
    touched = client.touch_many([*items, "many/none"], 100)
    assert len(touched.done) == len(items)
    assert isinstance(touched.errors["many/none"], concord.NotFound)
    client.delete_many([*items, "many/none"]).check()
    assert list(client.keys("many/")) == []
    assert client.get_many([]).entries == {}
    uneven = {"uneven/a": 1, "uneven/b": Put(2, ttl=50), "uneven/c": Put(b"x", ttl=60, content_type="image/png")}
    client.put_many(uneven, ttl=100).check()
    pages = list(client.pages("uneven/", limit=2))
    assert [len(page.entries) for page in pages] == [2, 1]
    assert [(entry.value, entry.ttl) for page in pages for entry in page.entries] == [(1, 100), (2, 50), (b"x", 60)]
    assert [entry.key for page in client.pages("uneven/", cursor=pages[0].cursor) for entry in page.entries] == [
        "uneven/c"
    ]
    stored = client.get_many(uneven, type=AS_STORED).check().values
    assert (bytes(stored["uneven/a"]), stored["uneven/c"]) == (b"1", b"x")
    with pytest.raises(concord.InvalidRequest):
        client.put_many({"uneven/a": Put(1, content_type="image/png")})
    wrong = client.put_many({"many/ok": 1, "": 2})
    assert isinstance(wrong.errors[""], concord.InvalidRequest)


@dataclass
class Measured:
    at: object


def numbers_without_json(client: Concord) -> None:
    """NaN and infinity are refused by name, and nothing is written; a `null` that was meant is not."""
    missing = float("nan")
    txn, compared = Txn(), Txn().if_value("{nan}b", missing)
    txn.then.put("{nan}a", 1).put("{nan}b", {"x": missing})
    compared.then.put("{nan}a", 1)
    kinds = [missing, -math.inf, {"a": [None, missing]}, (missing,), Measured(Flag(enabled=True, share=math.inf))]
    writes: list[Callable[[], object]] = [lambda value=value: client.put("{nan}b", value) for value in kinds]  # type: ignore[misc] # bound early
    writes += [
        lambda: client.put("{nan}b", 1, if_value=missing),
        lambda: client.put("{nan}b", [msgspec.Raw(b"null"), missing], ttl=9),
        lambda: client.delete("{nan}b", if_value=missing),
        lambda: client.put_many({"{nan}a": 1, "{nan}b": {"x": missing}}),
        lambda: client.put_many({"{nan}a": Put(1, ttl=3), "{nan}b": Put(missing, ttl=3)}),
        lambda: client.commit(txn),
        lambda: client.commit(compared),
    ]
    for write in writes:
        with pytest.raises(concord.InvalidRequest, match=r"\{nan\}b.*NaN") as raised:
            write()
        assert raised.value.applied is False
    assert list(client.keys("{nan}")) == []
    values: dict[str, object] = {"{nan}a": None, "{nan}b": {"x": [None, 1.5, "null"]}, "{nan}c": msgspec.Raw(b"[null]")}
    client.put_many(values).check()
    for key, value in values.items():
        client.put(key, value)
    assert [entry.value for entry in client.scan("{nan}")] == [None, {"x": [None, 1.5, "null"]}, [None]]


def foreign_values(client: Concord) -> None:
    """Values that are not of the type that is asked for cost whoever iterates only themselves."""
    client.put_many({"foreign/a": 1, "foreign/b": "text", "foreign/c": b"raw", "foreign/d": 4}).check()
    told = ["foreign/a", ("foreign/b",), ("foreign/c",), "foreign/d"]
    assert keys_told(client.scan("foreign/", type=int)) == told
    pages = client.pages("foreign/", type=int, limit=2)
    for key in ("foreign/b", "foreign/c"):
        with pytest.raises(concord.InvalidValue, match=key) as raised:
            next(pages)
        assert raised.value.key == key
    assert list(pages) == []
    for key in ("foreign/b", "foreign/c"):
        for read in (client.get, client.entry):
            with pytest.raises(concord.InvalidValue, match=key):
                read(key, type=int)


def keys_told(items: Iterator[concord.Entry[int]]) -> list[str | tuple[str]]:
    """The keys of all entries that come; of an error as a tuple."""
    keys: list[str | tuple[str]] = []
    while True:
        try:
            keys.append(next(items).key)
        except StopIteration:
            return keys
        except concord.InvalidValue as error:
            keys.append((error.key,))


def transactions(client: Concord) -> None:
    txn = Txn().if_exists("{t}a", exists=False)
    txn.then.put("{t}a", 1).increment("{t}n", 2, initial=3)
    txn.otherwise.get("{t}a").delete("{t}none").get("{t}none")
    done = client.commit(txn)
    assert (done.succeeded, [one.value for one in done.results]) == (True, [None, 5])
    again = client.commit(txn)
    assert (again.succeeded, [one.value for one in again.results]) == (False, [1, None, None])
    assert [one.found for one in again.results] == [True, False, False]
    entry = client.entry("{t}a")
    assert entry is not None
    assert again.results[0].revision == entry.revision == done.revision
    bigger = Txn().if_value("{t}n", 4, ">").if_revision("{t}a", entry.revision)
    bigger.then.touch("{t}a", 100)
    assert client.commit(bigger).succeeded
    undone = Txn()
    undone.then.put("{t}a", 9).touch("{t}none", 100)
    with pytest.raises(concord.NotFound):
        client.commit(undone)
    no_number = Txn()
    no_number.then.put("{t}a", "text").increment("{t}a")
    with pytest.raises(concord.Conflict):
        client.commit(no_number)
    assert client.get("{t}a") == 1
    crossing = Txn()
    crossing.then.put("{t}a", 1).put("{u}a", 1)
    with pytest.raises(concord.CrossGroup):
        client.commit(crossing)
    long = Txn()
    for _ in range(501):
        long.then.get("{t}a")
    with pytest.raises(concord.TooLarge):
        client.commit(long)
    with pytest.raises(concord.InvalidRequest):
        client.commit(Txn())


def locks(client: Concord) -> None:
    inside: list[int] = []

    def enter() -> None:
        with client.lock("exclusive", ttl=5) as lock:
            inside.append(lock.fence)
            assert len(inside) % 2 == 1
            client.put("exclusive/n", lock.fence, if_fence=lock.fence)
            inside.append(lock.fence)

    threads = [threading.Thread(target=enter) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(inside) == 12
    assert inside == sorted(inside)
    assert len(set(inside)) == 6
    with client.lock("exclusive"), pytest.raises(concord.Conflict) as raised, client.lock("exclusive", wait=0):
        pass
    assert raised.value.holder is not None


def limits_and_services(client: Concord) -> None:
    limiter = client.limiter("calls", 2, 3600, algorithm="gcra")
    permits = [limiter.acquire() for _ in range(3)]
    assert [(permit.allowed, permit.remaining) for permit in permits] == [(True, 1), (True, 0), (False, 0)]
    assert [permit.retry_after_ms > 0 for permit in permits] == [False, False, True]
    with pytest.raises(concord.Timeout):
        limiter.wait(wait=0.1)
    service = client.service("web")
    with service.register("one", "10.0.0.1", 8080, metadata={"zone": "a"}, ttl=10):
        (found,) = service.instances()
        assert (found.instance, found.address, found.port, found.metadata) == ("one", "10.0.0.1", 8080, {"zone": "a"})
        assert client.get("services/web/one") == {"address": "10.0.0.1", "port": 8080, "metadata": {"zone": "a"}}
    assert service.instances() == []


def sessions(client: Concord) -> None:
    store = client.sessions(ttl=100)
    session = store.create({"user": "ada"})
    assert store.load(session) == {"user": "ada"}
    assert store.touch(session)
    store.delete(session)
    assert store.load(session) is None
    assert store.touch(session) is False


EVERY = (
    one_key,
    fences,
    fences_of_every_write,
    refusals,
    many_keys,
    foreign_values,
    numbers_without_json,
    transactions,
    locks,
    limits_and_services,
    sessions,
)
