"""What users ask, and what a right answer is. Pure: requests out, answers in."""

import enum
import random
from abc import ABC, abstractmethod
from typing import ClassVar

import msgspec

from loadtest.client import Answer
from loadtest.dialects import Request

SESSION_TTL_S = 1800
FLAGS = 200
TENANTS = 20
LIMIT, WINDOW_S = 1_000, 10
BULK_ITEMS = 500
BULK_KEYS = 100_000
WATCHED = "load/watched/"
VALUE = "x" * 100


class Scenario(enum.Enum):
    """A use; its value is its name on the command line."""

    SESSIONS = "sessions"
    FLAGS = "flags"
    LIMITS = "limits"
    BULK = "bulk"
    WATCH = "watch"


class Step(msgspec.Struct, frozen=True):
    """A request and under which name it is counted."""

    name: str
    request: Request


class Use(ABC):
    """One user. A step is asked for, sent, and its answer shown, one after the other.

    Args:
        number: tells this user from all others, in all processes.
        rng: what it does is drawn from it.
    """

    def __init__(self, number: int, rng: random.Random) -> None:
        self.number = number
        self.rng = rng

    def prepare(self) -> Step | None:
        """What has to be there before anything is counted."""
        return None

    @abstractmethod
    def step(self, now_s: float) -> Step:
        """The next request; it is due at `now_s` (time.time)."""

    @abstractmethod
    def fault(self, step: Step, answer: Answer) -> str:
        """What is wrong with an answer, "" when nothing is."""


class Sessions(Use):
    """Log in, read, stay, log out: what was written is what is read."""

    def __init__(self, number: int, rng: random.Random) -> None:
        super().__init__(number, rng)
        self._path = f"/api/v1/kv/load/session/{number}"
        self._cart: int | None = None  # what the session holds, None when there is none
        self._next = 0

    def step(self, now_s: float) -> Step:
        """See Use."""
        del now_s
        drawn = self.rng.random()
        if self._cart is None or drawn < 0.1:
            self._next += 1
            return Step(
                "log in", _json("PUT", self._path, {"value": {"cart": self._next, "of": VALUE}, "ttl": SESSION_TTL_S})
            )
        if drawn < 0.75:
            return Step("read", Request("GET", self._path))
        if drawn < 0.97:
            return Step("stay", _json("POST", f"{self._path}/touch", {"ttl": SESSION_TTL_S}))
        return Step("log out", Request("DELETE", self._path))

    def fault(self, step: Step, answer: Answer) -> str:
        """See Use."""
        if found := _status(answer):
            return found
        if step.name == "log in":
            self._cart = self._next
        elif step.name == "log out":
            self._cart = None
        elif step.name == "read":
            cart = msgspec.json.decode(answer.body)["data"]["value"]["cart"]
            return "" if cart == self._cart else f"the session holds cart {cart}, not {self._cart}"
        return ""


class Flags(Use):
    """Read one of many flags, half of the time one that may be a second old; seldom change one."""

    def prepare(self) -> Step | None:
        """All flags."""
        flags = [{"key": f"load/flags/{number}", "value": {"enabled": True}} for number in range(FLAGS)]
        return Step("prepare", _json("POST", "/api/v1/kv/bulk", {"operations": flags}))

    def step(self, now_s: float) -> Step:
        """See Use."""
        del now_s
        path, drawn = f"/api/v1/kv/load/flags/{self.rng.randrange(FLAGS)}", self.rng.random()
        if drawn < 0.02:
            return Step("change", _json("PUT", path, {"value": {"enabled": self.rng.random() < 0.5}}))
        if drawn < 0.5:
            return Step("read, perhaps old", Request("GET", f"{path}?consistency=stale&max_age_ms=1000"))
        return Step("read", Request("GET", path))

    def fault(self, step: Step, answer: Answer) -> str:
        """See Use."""
        if (found := _status(answer)) or step.name == "change":
            return found
        value = msgspec.json.decode(answer.body)["data"]["value"]
        return "" if isinstance(value.get("enabled"), bool) else f"the flag is {value}"


class Limits(Use):
    """Ask limits that many share, so that they are reached: an answer says yes or no, and how much is left."""

    def step(self, now_s: float) -> Step:
        """See Use."""
        del now_s
        asked = {"limit": LIMIT, "window": WINDOW_S, "algorithm": "gcra" if self.rng.random() < 0.5 else "fixed"}
        path = f"/api/v1/limits/load-{asked['algorithm']}-{self.rng.randrange(TENANTS)}/acquire"
        return Step(f"acquire, {asked['algorithm']}", _json("POST", path, asked))

    def fault(self, step: Step, answer: Answer) -> str:
        """See Use."""
        del step
        if found := _status(answer):
            return found
        data = msgspec.json.decode(answer.body)["data"]
        fits = 0 <= data["remaining"] < LIMIT if data["allowed"] else data["remaining"] >= 0
        return "" if fits else f"allowed {data['allowed']} with {data['remaining']} left of {LIMIT}"


class Bulk(Use):
    """Import: 500 keys a request, each with an outcome of its own."""

    def step(self, now_s: float) -> Step:
        """See Use."""
        del now_s
        first = self.rng.randrange(0, BULK_KEYS, BULK_ITEMS)
        items = [{"key": f"load/bulk/{number:06}", "value": VALUE} for number in range(first, first + BULK_ITEMS)]
        return Step("import 500", _json("POST", "/api/v1/kv/bulk", {"operations": items}))

    def fault(self, step: Step, answer: Answer) -> str:
        """See Use."""
        del step
        if found := _status(answer):
            return found
        bad = [item for item in msgspec.json.decode(answer.body)["data"] if item["status"] != "ok"]
        return f"{len(bad)} of {BULK_ITEMS} items were not put, the first: {bad[0]}" if bad else ""


class Writes(Use):
    """Changes that others watch: each is numbered, and says when it was due."""

    def __init__(self, number: int, rng: random.Random) -> None:
        super().__init__(number, rng)
        self._written = 0

    def step(self, now_s: float) -> Step:
        """See Use."""
        self._written += 1
        value = {"number": self._written, "due_s": now_s}
        return Step("write", _json("PUT", f"/api/v1/kv/{WATCHED}{self.number}", {"value": value}))

    def fault(self, step: Step, answer: Answer) -> str:
        """See Use."""
        del step
        return _status(answer)


class Watcher:
    """What one watcher has seen of the writers: every change, once, in order."""

    request: ClassVar = Request("GET", f"/api/v1/watch?prefix={WATCHED}")

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def take(self, event: str, data: bytes, now_s: float) -> tuple[float, str] | None:
        """A change's age in milliseconds since it was due, and what is wrong with it; None for what is no change of a writer.

        A first change of a key is taken as it comes: what was there when the watch began is told as state.
        """
        if event in {"goaway", "resync"}:
            return 0.0, f"the stream ended with {event} {data.decode(errors='replace')}"
        if event not in {"state", "put"}:
            return None
        said = msgspec.json.decode(data)
        key, number = said["key"], said["value"]["number"]
        before = self._seen.get(key)
        self._seen[key] = number
        if event == "state":
            return None
        in_order = before is None or number in {before + 1, 1}  # a writer that begins anew begins at 1
        return (now_s - said["value"]["due_s"]) * 1000, "" if in_order else f"{key}: {number} came after {before}"


USES: dict[Scenario, type[Use]] = {
    Scenario.SESSIONS: Sessions,
    Scenario.FLAGS: Flags,
    Scenario.LIMITS: Limits,
    Scenario.BULK: Bulk,
    Scenario.WATCH: Writes,
}


def _json(method: str, path: str, body: object) -> Request:
    return Request(method, path, msgspec.json.encode(body))


def _status(answer: Answer) -> str:
    return "" if answer.status == 200 else f"{answer.status} {answer.body[:200].decode(errors='replace')}"
