"""The judge notices a stale read, a lost write and replicas that differ, and keeps the evidence."""

import asyncio
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from tests.chaos import states
from tests.chaos.fleet import Fleet
from tests.chaos.judge import Judge
from tests.linearizability import Kind, Operation, load
from wire import RpcServer
from wire.messages import ListEntry, ListReply, ListRequest
from wire.methods import LIST
from wire.rpc import Call

TIMEOUT_S = 20.0


class Loopback:
    """As much of a fleet as is needed to compare replicas."""

    def __init__(self, addresses: dict[str, str]) -> None:
        self._addresses = addresses
        self.inside = self

    def node_address(self, name: str) -> str:
        return self._addresses[name]

    def map(self, work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        return [work(item) for item in items]


@contextmanager
def replicas(*replies: ListReply) -> Iterator[Fleet]:
    """Nodes n0, n1 … that answer every list so."""
    addresses: dict[str, str] = {}
    ready, stopping = threading.Event(), threading.Event()

    async def serve() -> None:
        servers = []
        for number, reply in enumerate(replies):

            def answer(call: Call[ListRequest, ListReply], reply: ListReply = reply) -> None:
                call.reply(reply)

            server = RpcServer()
            server.on(LIST, answer)
            await server.start("127.0.0.1", 0)
            addresses[f"n{number}"] = server.address
            servers.append(server)
        ready.set()
        await asyncio.to_thread(stopping.wait, TIMEOUT_S)
        for server in servers:
            await server.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(TIMEOUT_S)
        yield cast("Fleet", Loopback(addresses))
    finally:
        stopping.set()
        thread.join()


def page(value: bytes, index: int = 9) -> ListReply:
    return ListReply([ListEntry("k", 3, value=value)], more=False, revision=index)


def test_replicas_that_hold_the_same_are_alike() -> None:
    with replicas(page(b"1"), page(b"1"), page(b"1")) as fleet:
        assert states.differences(fleet, {1: ["n0", "n1", "n2"]}) == []


def test_a_replica_that_differs_in_one_value_is_noticed() -> None:
    with replicas(page(b"1"), page(b"2"), page(b"1")) as fleet:
        (text,) = states.differences(fleet, {1: ["n0", "n1", "n2"]})
    assert "different states" in text


def test_a_replica_that_stays_behind_is_noticed() -> None:
    with replicas(page(b"1"), page(b"1", index=8)) as fleet:
        (text,) = states.differences(fleet, {1: ["n0", "n1"]})
    assert "same index" in text


def test_a_stale_read_is_a_violation_with_its_evidence(tmp_path: Path) -> None:
    violations: list[str] = []
    judge = Judge(cast("Fleet", None), tmp_path / "evidence", violations.append, catch_up_s=5.0, rng=random.Random(1))
    history = [
        Operation(1, "k", Kind.PUT, 10, 20, argument="a"),
        Operation(1, "k", Kind.PUT, 30, 40, argument="b"),
        Operation(2, "k", Kind.GET, 50, 60, result="a"),
        Operation(2, "other", Kind.PUT, 50, 60, argument="c"),
    ]
    judge.check(history, "round")
    (text,) = violations
    assert "k" in text
    assert list(load(tmp_path / "evidence" / "round.jsonl")) == history
    assert len(list(load(tmp_path / "evidence" / "round-0.jsonl"))) < len(history)
    assert (tmp_path / "evidence" / "round-0.html").read_text().startswith("<!")


def test_a_history_with_an_order_is_none(tmp_path: Path) -> None:
    violations: list[str] = []
    judge = Judge(cast("Fleet", None), tmp_path / "evidence", violations.append, catch_up_s=5.0, rng=random.Random(1))
    judge.check([Operation(1, "k", Kind.PUT, 10, None, argument="a")], "round")
    assert not violations
    assert not (tmp_path / "evidence").exists()
