"""The scenarios as Locust's users. Run by `run.py`; by hand: `locust -f loadtest/scenarios/locustfile.py --host http://127.0.0.1:4000 Sessions`.

Each user has a connection of its own and one request under way at most. When an answer is late, those that were due meanwhile follow one
after the other without a pause, and each is timed from when it was due: Locust's own `constant_throughput` leaves them out.
"""

import itertools
import os
import random
import time
from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import urlsplit

import locust
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import StopUser

from concord._sse import Parser
from loadtest.client import HttpClient
from loadtest.scenarios.uses import USES, Scenario, Step, Use, Watcher

TIMEOUT_S = 30.0
_numbers: Iterator[int] = itertools.count()


def _add_options(parser: LocustArgumentParser, **_: object) -> None:
    parser.add_argument("--per-s", type=float, default=100.0, help="requests a second of all users together")
    parser.add_argument("--watchers", type=int, default=0, help="how many of the users watch")


def _count_watchers(environment: Environment, **_: object) -> None:
    if environment.parsed_options is not None:
        Watches.fixed_count = environment.parsed_options.watchers


locust.events.init_command_line_parser.add_listener(_add_options)  # type: ignore[no-untyped-call]  # Locust's events have no types
locust.events.init.add_listener(_count_watchers)  # type: ignore[no-untyped-call]  # likewise


class Fault(Exception):  # noqa: N818 - not raised: what Locust is shown of a wrong answer
    """What was wrong with an answer; Locust counts these by their text."""


class Paced(locust.User):
    """A user whose requests are due at a steady pace, whatever becomes of them."""

    abstract = True
    scenario: ClassVar[Scenario]
    kind = "paced"

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        options = environment.parsed_options
        if options is None:
            raise StopUser
        address = urlsplit(self.host or environment.host or options.host).netloc
        number = os.getpid() << 20 | next(_numbers)
        self._rng = random.Random(number)
        self._client = HttpClient(address, TIMEOUT_S)
        self._use: Use = USES[self.scenario](number, self._rng)
        self._every_s = max(1, options.num_users - options.watchers) / options.per_s
        self._due_s = 0.0

    def on_start(self) -> None:
        """Prepare, and begin at a moment of one's own."""
        step = self._use.prepare()
        if step is not None:
            self._client.send(step.request)
        self._due_s = time.perf_counter() + self._every_s * self._rng.random()
        time.sleep(max(0.0, self._due_s - time.perf_counter()))

    def on_stop(self) -> None:
        """Hang up."""
        self._client.close()

    def wait_time(self) -> float:
        """Until the next request is due: not at all when that is over already."""
        self._due_s += self._every_s
        return max(0.0, self._due_s - time.perf_counter())

    @locust.task
    def ask(self) -> None:
        """One request."""
        late_s = time.perf_counter() - self._due_s
        step = self._use.step(time.time() - max(0.0, late_s))
        try:
            answer = self._client.send(step.request)
            fault, length = self._use.fault(step, answer), len(answer.body)
        except OSError as error:
            fault, length = f"{type(error).__name__} {error}", 0
        self._tell(step, (time.perf_counter() - self._due_s) * 1000, length, fault)

    def _tell(self, step: Step, took_ms: float, length: int, fault: str) -> None:
        self.environment.events.request.fire(
            request_type=self.scenario.value,
            name=step.name,
            response_time=took_ms,
            response_length=length,
            exception=Fault(fault) if fault else None,
            context={},
        )


class Sessions(Paced):
    """See uses.Sessions."""

    scenario = Scenario.SESSIONS


class Flags(Paced):
    """See uses.Flags."""

    scenario = Scenario.FLAGS


class Limits(Paced):
    """See uses.Limits."""

    scenario = Scenario.LIMITS


class Bulk(Paced):
    """See uses.Bulk."""

    scenario = Scenario.BULK


class Writes(Paced):
    """See uses.Writes."""

    scenario = Scenario.WATCH


class Watches(locust.User):
    """Follows what the writers do; the time of an event is counted from when its write was due."""

    wait_time = locust.constant(0)

    @locust.task
    def follow(self) -> None:
        """One stream, to its end."""
        options = self.environment.parsed_options
        address = urlsplit(self.host or self.environment.host or (options.host if options else "")).netloc
        client, watcher, parser = HttpClient(address, TIMEOUT_S), Watcher(), Parser()
        try:
            for chunk in client.stream(Watcher.request):
                for block in parser.feed(chunk):
                    found = watcher.take(block.event, block.data, time.time())
                    if found is not None:
                        self._tell(*found)
        except OSError as error:
            self._tell(0.0, f"{type(error).__name__} {error}")
            time.sleep(1.0)
        finally:
            client.close()

    def _tell(self, took_ms: float, fault: str) -> None:
        self.environment.events.request.fire(
            request_type=Scenario.WATCH.value,
            name="event",
            response_time=took_ms,
            response_length=0,
            exception=Fault(fault) if fault else None,
            context={},
        )
