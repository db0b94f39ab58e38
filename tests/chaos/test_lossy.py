"""The proxy passes on every request and loses the answers that it says, and what does not add up afterwards is found."""

import http.server
import random
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.lossy import LossyProxies
from tests.chaos.retries import COUNT, LEFT, QUOTA, RIGHT, SECTION, Tally, faults
from tests.e2e.cluster import Client

REQUESTS = 200


class Counting(http.server.BaseHTTPRequestHandler):
    """Counts what it is asked."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = b"{}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    handler = type("Handler", (Counting,), {"asked": []})
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def test_every_request_arrives_and_only_some_of_the_answers_do(server: http.server.ThreadingHTTPServer) -> None:
    told = 0
    with LossyProxies([server.server_port], 0.2, random.Random(1)) as proxies:
        client = Client(proxies.ports[0])
        for number in range(REQUESTS):
            try:
                told += client.send("GET", f"/{number}").status == 200
            except ConnectionError:
                continue
        client.close()
        assert (proxies.answers, proxies.answers - proxies.lost) == (REQUESTS, told)
    assert server.RequestHandlerClass.asked == [f"/api/v1/{number}" for number in range(REQUESTS)]  # type: ignore[attr-defined] # of Counting
    assert 0.1 < proxies.lost / REQUESTS < 0.3


def right() -> tuple[Tally, dict[str, int], dict[str, str]]:
    tally = Tally(winners={"race": ["ada"]})
    tally.asked.update({"sum": 7, "moved": 5, "sections": 2})
    tally.remaining.update([QUOTA - 1, QUOTA - 2])
    return tally, {COUNT: 7, LEFT: -5, RIGHT: 5, SECTION: 2}, {"race": "ada"}


def test_what_adds_up_is_no_fault() -> None:
    assert faults(*right()) == []


@pytest.mark.parametrize("key", [COUNT, LEFT, RIGHT, SECTION])
def test_a_number_that_counted_twice_is_a_fault(key: str) -> None:
    tally, found, there = right()
    assert len(faults(tally, found | {key: found[key] + 1}, there)) == 1


@pytest.mark.parametrize("winners", [[], ["bob"], ["ada", "bob"], ["ada", "ada"]])
def test_a_race_without_one_winner_is_a_fault(winners: list[str]) -> None:
    tally, found, there = right()
    tally.winners["race"] = winners
    assert len(faults(tally, found, there)) == 1


@pytest.mark.parametrize("remaining", [[QUOTA - 1, QUOTA - 1], [QUOTA - 1, QUOTA - 3]])
def test_a_take_that_counted_twice_is_a_fault(remaining: list[int]) -> None:
    tally, found, there = right()
    tally.remaining.clear()
    tally.remaining.update(remaining)
    assert len(faults(tally, found, there)) == 1
