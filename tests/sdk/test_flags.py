"""Flags do not wait for a gateway that says nothing: not longer than was said at their beginning, nor at their end."""

import threading
import time
from collections.abc import Iterator, Mapping

import pytest

import concord
from concord import Concord
from concord._transports import Request, Response, Stream

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
    network, timeout_s = Hanging(0), 1.0
    with Concord(transport=network) as client:
        began = time.monotonic()
        with pytest.raises(concord.Timeout), client.flags(timeout=timeout_s):
            raise AssertionError("there are none")
        assert time.monotonic() - began < 2 * timeout_s
    network.is_over.set()
