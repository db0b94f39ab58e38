"""Requests of one owner for a lock of a store in this process: the end of one takes nothing from another."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

import concord
from concord._local.store import LocalStore
from shard.embedded.engine import Engine
from wire.messages import AcquireLock, ItemResult

TIMEOUT_S = 10.0


@pytest.fixture
def store() -> Iterator[LocalStore]:
    with concord.open(durability="memory") as db:
        yield db._store  # type: ignore[misc] # the local store is one


def interrupted(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """The first that waits for a lock is interrupted while something else happens, as by Ctrl-C; others wait as ever."""
    wait = Engine.await_lock

    def cut_short(*_: object) -> ItemResult:
        monkeypatch.setattr(Engine, "await_lock", wait)
        meanwhile()
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "await_lock", cut_short)


def test_who_is_interrupted_does_not_take_the_lock_from_a_later_request_that_was_told_it_has_it(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = store.acquire_lock("l", "x", 60, 0.0, TIMEOUT_S)
    fences: list[int] = []

    def ask_again() -> None:
        store.release_lock("l", "x", held, TIMEOUT_S)
        fences.append(store.acquire_lock("l", "a", 60, 9.0, TIMEOUT_S))

    interrupted(monkeypatch, ask_again)
    with pytest.raises(KeyboardInterrupt):
        store.acquire_lock("l", "a", 60, 9.0, TIMEOUT_S)
    store.renew_lock("l", "a", fences[0], 60, TIMEOUT_S)


def test_who_is_interrupted_as_it_gets_the_lock_gives_it_back(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = store.acquire_lock("l", "x", 60, 0.0, TIMEOUT_S)
    interrupted(monkeypatch, lambda: store.release_lock("l", "x", held, TIMEOUT_S))
    with pytest.raises(KeyboardInterrupt):
        store.acquire_lock("l", "a", 60, 9.0, TIMEOUT_S)
    assert store.acquire_lock("l", "b", 60, 0.0, TIMEOUT_S) > held


def test_who_is_interrupted_leaves_a_later_request_of_the_same_owner_in_the_queue(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = store.acquire_lock("l", "x", 60, 0.0, TIMEOUT_S)
    fences: list[int] = []
    again = threading.Thread(target=lambda: fences.append(store.acquire_lock("l", "a", 60, 30.0, TIMEOUT_S)))
    waits = threading.Event()

    def ask_again() -> None:
        wait = Engine.await_lock

        def noted(engine: Engine, asked: AcquireLock) -> ItemResult:
            waits.set()
            return wait(engine, asked)

        monkeypatch.setattr(Engine, "await_lock", noted)
        again.start()
        assert waits.wait(TIMEOUT_S)

    interrupted(monkeypatch, ask_again)
    with pytest.raises(KeyboardInterrupt):
        store.acquire_lock("l", "a", 60, 30.0, TIMEOUT_S)
    store.release_lock("l", "x", held, TIMEOUT_S)
    again.join(TIMEOUT_S)
    store.renew_lock("l", "a", fences[0], 60, TIMEOUT_S)


def test_all_threads_that_wait_as_one_owner_are_told_at_once(store: LocalStore) -> None:
    held = store.acquire_lock("l", "x", 60, 0.0, TIMEOUT_S)
    fences: list[int] = []
    threads = [
        threading.Thread(target=lambda: fences.append(store.acquire_lock("l", "a", 60, 30.0, TIMEOUT_S)), daemon=True)
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + TIMEOUT_S
    while len(store._engine._lock_waits) < len(threads):
        assert time.monotonic() < until
        time.sleep(0.001)
    store.release_lock("l", "x", held, TIMEOUT_S)
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert len(fences) == len(threads)
    assert len(set(fences)) == 1
