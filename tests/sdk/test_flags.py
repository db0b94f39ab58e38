"""Flags do not wait for a gateway that says nothing: not for its stream, not longer than was said, and not at their end."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest

import concord
from concord import AsyncConcord, Concord
from concord._transports import AsyncStream, Request, Response, Stream, TransportError
from concord._watching import SILENCE_S

LONG_S = 60.0  # what it took when it was waited for


class State:
    """A watch that tells its state, that there is none, and ends."""

    status = 200
    headers: Mapping[str, str] = {}

    def chunks(self) -> Iterator[bytes]:
        yield b"event: synced\ndata: {}\n\n"

    def interrupt(self) -> None:
        """It ends by itself."""

    def close(self) -> None:
        """It ends by itself."""


class Hanging:
    """A network in which so many watches are answered, and each later one is not until the end of the test."""

    def __init__(self, answered: int) -> None:
        self.hangs = threading.Event()
        self.is_over = threading.Event()
        self._left = answered

    def send(self, _url: str, _request: Request, _timeout_s: float) -> Response:
        raise AssertionError("nobody asks")

    def stream(self, _url: str, _request: Request, _silence_s: float) -> Stream:
        self._left -= 1
        if self._left < 0:
            self.hangs.set()
            self.is_over.wait(LONG_S)
        return State()

    def close(self) -> None:
        """There is nothing to close."""


def test_the_end_of_flags_does_not_wait_for_a_connection_that_hangs() -> None:
    network, began = Hanging(1), time.monotonic()
    with Concord(transport=network, timeout=LONG_S) as client, client.flags() as flags:
        assert flags.get("a", "default") == "default"
        assert network.hangs.wait(LONG_S)
    assert time.monotonic() - began < LONG_S / 2
    network.is_over.set()


def test_flags_that_are_not_there_in_time_are_given_up_at_once() -> None:
    network, timeout_s = Hanging(0), 3.0
    with Concord(transport=network) as client:
        began = time.monotonic()
        with pytest.raises(concord.Timeout), client.flags(timeout=timeout_s):
            raise AssertionError("there are none")
        assert time.monotonic() - began < 2 * timeout_s
    network.is_over.set()


class OneIsSilent:
    """A network in which `http://a` takes connections and says nothing, and the other gateway knows no flags."""

    def __init__(self) -> None:
        self.streams: list[str] = []

    def send(self, url: str, request: Request, timeout_s: float) -> Response:
        assert (request.method, request.target) == ("GET", "/livez")
        assert timeout_s < SILENCE_S / 5
        if url == "http://a":
            raise TransportError("nothing came", was_sent=True, timed_out=True)
        return Response(200, {}, b"")

    def stream(self, url: str, _request: Request, _silence_s: float) -> Stream:
        self.streams.append(url)
        return State()

    def close(self) -> None:
        """There is nothing to close."""


class AsyncState(State):
    """The same for asyncio."""

    async def chunks(self) -> AsyncIterator[bytes]:  # type: ignore[override] # it is another protocol
        for chunk in super().chunks():
            yield chunk

    async def close(self) -> None:  # type: ignore[override] # likewise
        """It ends by itself."""


class AsyncOneIsSilent:
    """The same for asyncio."""

    def __init__(self, network: OneIsSilent) -> None:
        self._network = network

    async def send(self, url: str, request: Request, timeout_s: float) -> Response:
        return self._network.send(url, request, timeout_s)

    async def stream(self, url: str, request: Request, silence_s: float) -> AsyncStream:
        self._network.stream(url, request, silence_s)
        return AsyncState()

    async def close(self) -> None:
        """There is nothing to close."""


def test_a_gateway_that_says_nothing_is_not_waited_for_where_there_is_another() -> None:
    network = OneIsSilent()
    for _ in range(8):  # beginning at either
        with Concord(["http://a", "http://b"], transport=network) as client, client.flags() as flags:
            assert flags.get("a", "default") == "default"
    assert set(network.streams) == {"http://b"}


def test_nor_by_the_client_for_asyncio() -> None:
    network = OneIsSilent()

    async def main() -> None:
        for _ in range(8):
            transport = AsyncOneIsSilent(network)
            async with AsyncConcord(["http://a", "http://b"], transport=transport) as client, client.flags() as flags:
                assert flags.get("a", "default") == "default"

    asyncio.run(main())
    assert set(network.streams) == {"http://b"}
