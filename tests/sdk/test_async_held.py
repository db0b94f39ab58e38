"""A task that is cancelled leaves no lock behind: not while it asks for one, not while it gives one back."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import msgspec
import pytest

from concord import AsyncConcord, LockLost
from concord._async_held import AsyncLock
from concord._settled import settled, undisturbed
from concord._transports import AsyncStream, Request, Response
from tests.sdk.fake import ok, refused

Asked: TypeAlias = tuple[str, dict[str, Any]]


class LockServer:
    """Grants one lock. A request for `verb` is on its way when `asked` is set; the answer to an acquisition gets lost."""

    def __init__(self, verb: str) -> None:
        self.owner = ""
        self.fence = 0
        self.asked = asyncio.Event()
        self._verb = verb

    async def send(self, _: str, request: Request, timeout_s: float) -> Response:
        verb = request.target.rpartition("/")[2]
        if verb == self._verb and not self.asked.is_set():
            self.asked.set()
            if verb == "acquire":
                self._answer(verb, msgspec.json.decode(request.body))
                await asyncio.sleep(timeout_s)
            await asyncio.sleep(0.05)
        return self._answer(verb, msgspec.json.decode(request.body))

    def _answer(self, verb: str, body: dict[str, Any]) -> Response:
        if verb == "acquire" and not self.owner:
            self.owner = body["owner"]
            self.fence += 1
        if self.owner != body["owner"]:
            return refused(409, "CONFLICT")
        if verb == "release":
            self.owner = ""
        return ok({"fence": self.fence, "ttl": 30})

    async def stream(self, base_url: str, request: Request, silence_s: float) -> AsyncStream:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


async def cancelled_while(server: LockServer, body: Callable[[AsyncLock], Coroutine[Any, Any, None]]) -> None:
    """Cancel a task as soon as the server was asked, and wait for its end."""
    async with AsyncConcord(transport=server) as client:
        task = asyncio.create_task(body(client.lock("l")))
        await server.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def hold(lock: AsyncLock) -> None:
    async with lock:
        pass


@pytest.mark.parametrize("verb", ["acquire", "release"])
def test_a_task_that_is_cancelled_as_it_asks_or_gives_back_leaves_no_lock(verb: str) -> None:
    async def main() -> None:
        server = LockServer(verb)
        await cancelled_while(server, hold)
        assert server.owner == ""
        assert server.fence == 1

    asyncio.run(main())


def test_a_cancelled_task_takes_no_lock_from_another() -> None:
    async def main() -> None:
        server = LockServer("acquire")
        server.owner = "another"
        await cancelled_while(server, hold)
        assert server.owner == "another"

    asyncio.run(main())


class Unrenewable:
    """Grants a lock, and fails to renew it on a defect that is no error of the package."""

    def __init__(self, defect: Exception) -> None:
        self._defect = defect

    async def send(self, _: str, request: Request, _timeout_s: float) -> Response:
        if request.target.endswith("/renew"):
            raise self._defect
        return ok({"fence": 1, "ttl": 1})

    async def stream(self, base_url: str, request: Request, silence_s: float) -> AsyncStream:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


def test_who_holds_a_lock_is_told_of_a_defect_that_keeps_it_from_being_renewed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    defect = RuntimeError("a defect")

    async def main() -> None:
        async with AsyncConcord(transport=Unrenewable(defect)) as client:
            with pytest.raises(LockLost, match="the lock l is lost") as caught:
                async with client.lock("l", ttl=1):
                    await asyncio.Event().wait()
            assert caught.value.__cause__ is defect

    asyncio.run(main())
    assert "the lock l is not kept any more" in caplog.text


class Registry:
    """Knows no instance that is to be kept, and takes its time to register one a second time."""

    def __init__(self) -> None:
        self.verbs: list[str] = []
        self.asked_again = asyncio.Event()

    async def send(self, _: str, request: Request, _timeout_s: float) -> Response:
        if request.method == "POST":
            return refused(404, "NOT_FOUND")
        if request.method == "PUT" and self.verbs:
            self.asked_again.set()
            await asyncio.sleep(0.05)
        self.verbs.append(request.method)
        return ok({"existed": True})

    async def stream(self, base_url: str, request: Request, silence_s: float) -> AsyncStream:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


def test_an_instance_is_not_taken_out_before_a_heartbeat_that_sets_it_again_has_ended() -> None:
    async def main() -> None:
        registry = Registry()
        async with AsyncConcord(transport=registry) as client, client.service("s").register("i", "a", 1, ttl=1):
            await registry.asked_again.wait()
        assert registry.verbs == ["PUT", "PUT", "DELETE"]

    asyncio.run(main())


def test_what_is_settled_ends_before_who_is_cancelled_goes_on() -> None:
    async def main() -> None:
        begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def work() -> None:
            begun.set()
            await may_end.wait()
            ended.set()

        task = asyncio.create_task(settled(work()))
        await begun.wait()
        task.cancel()
        await asyncio.wait([task], timeout=0.01)
        assert not task.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

    asyncio.run(main())


def test_what_is_settled_and_fails_is_no_complaint_of_the_event_loop_when_who_asked_is_cancelled() -> None:
    complaints: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            begun.set()
            await may_end.wait()
            raise NotImplementedError

        task = asyncio.create_task(settled(work()))
        await begun.wait()
        task.cancel()
        await asyncio.wait([task], timeout=0.01)
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        gc.collect()

    asyncio.run(main())
    gc.collect()
    assert not complaints


def test_a_second_cancellation_is_obeyed_at_once() -> None:
    async def main() -> None:
        begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def work() -> None:
            begun.set()
            await may_end.wait()
            ended.set()

        task = asyncio.create_task(settled(work()))
        await begun.wait()
        for _ in range(2):
            task.cancel()
            await asyncio.wait([task], timeout=0.01)
        assert task.cancelled()
        may_end.set()
        await ended.wait()

    asyncio.run(main())


def test_what_is_undisturbed_goes_on_when_who_waits_is_cancelled_and_may_fail_without_a_complaint() -> None:
    complaints: list[dict[str, Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        future: asyncio.Future[None] = loop.create_future()
        waiting = asyncio.create_task(undisturbed(future))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not future.done()
        future.set_exception(NotImplementedError())
        await asyncio.sleep(0)
        del future
        gc.collect()

    asyncio.run(main())
    gc.collect()
    assert not complaints
