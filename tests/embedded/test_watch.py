"""A watch of a store in this process: the state, `synced`, every change once, and anew when changes were missed."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import concord
from concord import Embedded, Event
from shard.embedded import feed
from shard.seams import GroupLimits


@pytest.fixture
def db() -> Iterator[Embedded]:
    with concord.open(durability="memory") as db:
        yield db


def told(watch: Iterator[Event[int]], count: int) -> list[tuple[str, str, int | None]]:
    return [(event.kind, event.key, event.value) for _, event in zip(range(count), watch, strict=False)]


def test_the_state_then_every_change(db: Embedded) -> None:
    db.put_many({f"w/{number:04}": number for number in range(1_200)}).check()
    db.put("other", 1)
    with db.watch("w/", type=int) as watch:
        state = [next(watch) for _ in range(1_200)]
        assert [event.key for event in state] == [f"w/{number:04}" for number in range(1_200)]
        assert {event.kind for event in state} == {"state"}
        synced = next(watch)
        assert (synced.kind, bool(synced.id)) == ("synced", True)
        db.put("w/a", 1)
        db.put("other", 2)
        db.delete("w/a")
        db.put_many({"w/b": 2, "w/c": 3}).check()
        assert told(watch, 4) == [("put", "w/a", 1), ("delete", "w/a", None), ("put", "w/b", 2), ("put", "w/c", 3)]


def test_a_foreign_value_costs_one_event(db: Embedded) -> None:
    db.put_many({"w/a": "text", "w/b": 2}).check()
    with db.watch("w/", type=int) as watch:
        with pytest.raises(concord.InvalidValue, match="w/a") as raised:
            next(watch)
        assert (raised.value.key, raised.value.id) == ("w/a", "")
        assert told(watch, 2) == [("state", "w/b", 2), ("synced", "", None)]
        db.put("w/b", b"raw")
        db.put("w/a", 1)
        with pytest.raises(concord.InvalidValue, match="w/b") as raised:
            next(watch)
        assert told(watch, 1) == [("put", "w/a", 1)]
    with db.watch("w/", type=int, after=raised.value.id) as watch:
        assert told(watch, 2) == [("synced", "", None), ("put", "w/a", 1)]


def test_changes_while_the_state_is_told_are_told_once(db: Embedded) -> None:
    db.put_many({f"w/{number:04}": 0 for number in range(1_100)}).check()
    with db.watch("w/", type=int) as watch:
        next(watch)  # the first page is read
        db.put("w/0001", 7)  # in the part that was read: a change to come
        db.put("w/1050", 8)  # in the part that was not: its state
        rest = []
        for event in watch:
            rest.append((event.kind, event.key, event.value))
            if event.kind == "put":
                break
        assert ("state", "w/1050", 8) in rest
        assert rest[-2:] == [("synced", "", None), ("put", "w/0001", 7)]


def test_it_goes_on_after_an_id(db: Embedded) -> None:
    with db.watch("w/", type=int) as watch:
        place = next(watch).id
        db.put("w/a", 1)
        db.put_many({"w/b": 2, "w/c": 3}).check()
        middle = [next(watch) for _ in range(2)][-1]
        with db.watch("w/", type=int, after=place) as other:
            assert told(other, 4) == [("synced", "", None), ("put", "w/a", 1), ("put", "w/b", 2), ("put", "w/c", 3)]
        with db.watch("w/", type=int, after=middle.id) as other:
            assert told(other, 2) == [("synced", "", None), ("put", "w/c", 3)]
    with pytest.raises(concord.InvalidRequest):
        db.watch("w/", after="nonsense")


def test_an_id_of_another_opening_begins_with_the_state(tmp_path: Path) -> None:
    with concord.open(tmp_path, durability="os") as db, db.watch("w/") as watch:
        place = next(watch).id
        db.put("w/a", 1)
    with concord.open(tmp_path, durability="os") as db, db.watch("w/", after=place) as watch:
        assert told(watch, 2) == [("state", "w/a", 1), ("synced", "", None)]


def test_who_missed_changes_is_told_the_state_anew(db: Embedded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_LIMITS", GroupLimits(history_events_max=5))
    db.put_many({"w/a": 1, "w/b": 2}).check()
    with db.watch("w/", type=int) as watch:
        told(watch, 3)
        db.delete("w/a")
        for number in range(20):
            db.put("w/c", number)
        assert told(watch, 3) == [("state", "w/b", 2), ("state", "w/c", 19), ("delete", "w/a", None)]
        db.put("w/d", 4)
        assert told(watch, 1) == [("put", "w/d", 4)]


def test_an_expired_key_is_told_by_upkeep(db: Embedded) -> None:
    with db.watch("w/", type=int) as watch:
        assert next(watch).kind == "synced"
        db.put("w/a", 1, ttl=1)
        assert told(watch, 2) == [("put", "w/a", 1), ("expired", "w/a", None)]
    assert db.get("w/a") is None


def test_closing_it_from_another_thread_ends_it_and_closing_the_store_is_an_error(db: Embedded) -> None:
    watch = db.watch("w/")
    assert next(watch).kind == "synced"
    rest: list[object] = []
    reader = threading.Thread(target=lambda: rest.extend(watch))
    reader.start()
    watch.close()
    reader.join(10)
    assert not reader.is_alive()
    assert rest == []
    ended: list[str] = []
    other = db.watch("w/")

    def read() -> None:
        try:
            list(other)
        except concord.StoreFailed as error:
            ended.append(error.code)

    reader = threading.Thread(target=read)
    reader.start()
    db.close()
    reader.join(10)
    assert ended == ["STORE_CLOSED"]


def test_flags_follow(db: Embedded) -> None:
    db.put("flags/dark", True)
    with db.flags() as flags:
        assert flags.get("dark", False) is True
        db.put("flags/new", 1)
        db.delete("flags/dark")
        with db.watch("flags/") as watch:
            next(watch)
        while flags.get("new") is None or flags.get("dark") is not None:
            pass
        assert flags.age_s == 0.0
