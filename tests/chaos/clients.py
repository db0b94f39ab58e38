"""Clients that write down what they did and what they were told, for the checker of `tests/linearizability`.

Each goes on with the other gateway when the one it spoke to refuses the connection or breaks it. Values are unique and of
many lengths, so that a part of one or a mixture of two would show; counters hold numbers and are only ever counted.
"""

import random
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tests.chaos.fleet import GATEWAY_PORT
from tests.chaos.scene import Outcome, name_keys, outcome_of
from tests.e2e.cluster import Client, Reply
from tests.linearizability import Kind, Operation, Scalar

TIMEOUT_S = 15.0  # over every deadline that is asked for: a gateway that is up answers before
DEADLINES_MS = (400, 1500, 4000)
REFUSED_PAUSE_S = 0.05
PLAIN_KEYS, HOT_KEYS, MORTAL_KEYS, COUNTERS = 260, 6, 40, 6
HOT_CHANCE = 0.25
CAS_HOT_CHANCE = 0.7  # where others are likely to come between
BY_MAX = 3
BULK_MAX = 30
TTL_S_MAX = 8
PADDING_MAX = 1000
PADDING = "~"
NO_HEADERS: Mapping[str, str] = {}
EXPECTED = frozenset({200, 404, 429, 503, 504})
REFUSED_CONDITION = 412
COUNTER = "n"


class Keys(msgspec.Struct, frozen=True):
    """The keys of one round; only `mortal` ones are ever given a time to live, and only `counters` hold numbers."""

    plain: list[str]
    hot: list[str]
    mortal: list[str]
    counters: list[str]

    @classmethod
    def of(cls, prefix: str) -> "Keys":
        """New ones."""
        return cls(
            [f"{prefix}/k{number}" for number in range(PLAIN_KEYS)],
            [f"{prefix}/h{number}" for number in range(HOT_KEYS)],
            [f"{prefix}/t{number}" for number in range(MORTAL_KEYS)],
            [f"{prefix}/{COUNTER}{number}" for number in range(COUNTERS)],
        )

    @property
    def lasting(self) -> list[str]:
        """Those with values that never expire."""
        return [*self.plain, *self.hot]

    @property
    def every(self) -> list[str]:
        """All of them."""
        return [*self.lasting, *self.mortal, *self.counters]


def value_of(name: str) -> str:
    """The value that a name stands for."""
    return name + PADDING * (zlib.crc32(name.encode()) % PADDING_MAX)


def name_of(value: Any) -> str:
    """The name that a value stands for, "" when it is nobody's."""
    name = value.rstrip(PADDING) if isinstance(value, str) else ""
    return name if name and value_of(name) == value else ""


def is_counter(key: str) -> bool:
    """Whether a key is one of `Keys.counters`."""
    return key.rpartition("/")[2].startswith(COUNTER)


class Found(msgspec.Struct, frozen=True):
    """What a get found: the name of the value, None when there was none, and its revision, then 0."""

    value: str | None
    revision: int


class Door:
    """HTTP to one gateway after another; times every request. It never raises: no answer is None."""

    def __init__(self, hosts: Sequence[str], deadline_ms: int | None, complain: Callable[[str], None]) -> None:
        self._clients = [Client(GATEWAY_PORT, TIMEOUT_S, host) for host in hosts]
        self._headers = {"X-Concord-Timeout-Ms": str(deadline_ms)} if deadline_ms else {}
        self._complain = complain
        self.refused = False
        self.called_ns = 0
        self.returned_ns = 0

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] = NO_HEADERS,
        *,
        conditional: bool = False,
    ) -> Reply | None:
        """One request under /api/v1; only a `conditional` one may be answered that its condition does not hold."""
        self.refused = False
        self.called_ns = time.monotonic_ns()
        try:
            reply = self._clients[0].send(method, path, body, {**self._headers, **headers})
        except ConnectionError as error:
            self.refused = isinstance(error.__cause__, ConnectionRefusedError)
            if isinstance(error.__cause__, TimeoutError):
                self._complain(f"{method} {path}: no answer within {TIMEOUT_S} s")
            self.turn()
            return None
        finally:
            self.returned_ns = time.monotonic_ns()
        if reply.status not in EXPECTED and not (conditional and reply.status == REFUSED_CONDITION):
            self._complain(f"{method} {path}: {reply.status} {reply.body[:300]!r}")
        return reply

    def turn(self) -> None:
        """Go to the next gateway."""
        self._clients.append(self._clients.pop(0))

    def outcome(self, reply: Reply | None) -> Outcome:
        """What the answer to the last request, a write, says."""
        return outcome_of(reply, refused=self.refused)

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()


class Recorder:
    """One client and its history.

    Args:
        number: of the client.
        door: its way to the cluster; nobody else uses it.
        complain: told of answers that no order of operations can excuse.
    """

    def __init__(self, number: int, door: Door, complain: Callable[[str], None]) -> None:
        self.history: list[Operation] = []
        self.outcomes: Counter[str] = Counter()
        self._number = number
        self._door = door
        self._complain = complain
        self._written = 0

    @property
    def was_refused(self) -> bool:
        """Whether the last request did not even reach a gateway."""
        return self._door.refused

    def turn(self) -> None:
        """Go to the next gateway."""
        self._door.turn()

    def put(self, key: str, ttl_s: int | None = None) -> bool:
        """PUT a new value; whether it was acknowledged."""
        name = self._name(key)
        body = {"value": value_of(name)} | ({"ttl": ttl_s} if ttl_s else {})
        reply = self._door.send("PUT", f"/kv/{key}", body)
        outcome = self._door.outcome(reply)
        revision = reply.data["revision"] if reply is not None and outcome is Outcome.DONE else None
        self._write(Kind.PUT, key, outcome, argument=name, ttl_s=ttl_s, revision=revision)
        return outcome is Outcome.DONE

    def put_if_unchanged(self, key: str, *, by_value: bool) -> None:
        """GET it, and PUT a new value on condition that what was found is still there, told by its value or its revision."""
        found = self.get(key)
        if found is None:
            return
        body, headers = _condition(found, by_value=by_value)
        name = self._name(key)
        reply = self._door.send("PUT", f"/kv/{key}", {"value": value_of(name), **body}, headers, conditional=True)
        argument = (found.value, name)
        if reply is not None and reply.status == REFUSED_CONDITION:
            self.outcomes["cas that did not match"] += 1
            self._write(Kind.CAS, key, Outcome.DONE, argument=argument, result=False)
            return
        outcome = self._door.outcome(reply)
        revision = reply.data["revision"] if reply is not None and outcome is Outcome.DONE else None
        self._write(Kind.CAS, key, outcome, argument=argument, result=True if revision else None, revision=revision)

    def increment(self, key: str, by: int) -> None:
        """Add to a counter."""
        reply = self._door.send("POST", f"/kv/{key}/increment", {"by": by})
        outcome = self._door.outcome(reply)
        told = reply.data if reply is not None and outcome is Outcome.DONE else {}
        self._write(Kind.INCREMENT, key, outcome, argument=by, result=told.get("value"), revision=told.get("revision"))

    def get(self, key: str, *, with_ttl: bool = False) -> Found | None:
        """GET it, with its time to live or without; None when nobody could say, and for a counter."""
        reply = self._door.send("GET", f"/kv/{key}{'?with_ttl=true' if with_ttl else ''}")
        if reply is None or reply.status != 200:
            return self._read_nothing(key, reply)
        if with_ttl:
            self._look_at_ttl(key, reply.data["ttl"])
        value, revision = self._known(key, reply.data["value"]), int(reply.headers["etag"].strip('"'))
        self._read(key, value, revision)
        return Found(value, revision) if isinstance(value, str) else None

    def ttl(self, key: str) -> None:
        """GET its time to live; only that it is not there says something about its history."""
        reply = self._door.send("GET", f"/kv/{key}/ttl")
        if reply is not None and reply.status == 200:
            self._look_at_ttl(key, reply.data["ttl"])
            self.outcomes["ttl told"] += 1
        else:
            self._read_nothing(key, reply)

    def delete(self, key: str) -> None:
        """DELETE it."""
        reply = self._door.send("DELETE", f"/kv/{key}")
        outcome = self._door.outcome(reply)
        told = reply.data if reply is not None and outcome is Outcome.DONE else {}
        self._write(Kind.DELETE, key, outcome, result=told.get("deleted"), revision=told.get("revision"))

    def touch(self, key: str, ttl_s: int) -> None:
        """Touch it."""
        reply = self._door.send("POST", f"/kv/{key}/touch", {"ttl": ttl_s})
        if reply is not None and reply.status == 404:
            self._write(Kind.TOUCH, key, Outcome.DONE, ttl_s=ttl_s, result=False)
            return
        outcome = self._door.outcome(reply)
        done = outcome is Outcome.DONE
        self._write(Kind.TOUCH, key, outcome, ttl_s=ttl_s, result=True if done else None)

    def bulk_put(self, keys: Sequence[str], ttl_s: int | None = None) -> None:
        """Put many."""
        names = [self._name(key) for key in keys]
        ttl = {"ttl": ttl_s} if ttl_s else {}
        operations = [{"key": key, "value": value_of(name), **ttl} for key, name in zip(keys, names, strict=True)]
        reply = self._door.send("POST", "/kv/bulk", {"operations": operations})
        for key, name, outcome in zip(keys, names, self._items(reply, keys), strict=True):
            self._write(Kind.PUT, key, outcome, argument=name, ttl_s=ttl_s)

    def bulk_delete(self, keys: Sequence[str]) -> None:
        """Delete many."""
        reply = self._door.send("POST", "/kv/bulk/delete", {"keys": keys})
        for key, outcome in zip(keys, self._items(reply, keys), strict=True):
            self._write(Kind.DELETE, key, outcome)

    def bulk_get(self, keys: Sequence[str]) -> dict[str, Scalar]:
        """Get many; those that were answered."""
        reply = self._door.send("POST", "/kv/bulk/get", {"keys": keys})
        found: dict[str, Scalar] = {}
        if reply is None or reply.status != 200:
            self.outcomes["get failed"] += len(keys)
            return found
        if reply.data.keys() != set(keys):
            self._complain(f"a bulk get answers for other keys than were asked for: {reply.body[:300]!r}")
            return found
        for key, item in reply.data.items():
            if item["status"] == "ok":
                found[key] = self._known(key, item["value"])
            elif item["error"] == "not_found":
                found[key] = None
            else:
                self.outcomes["get failed"] += 1
        for key, value in found.items():
            self._read(key, value)
        return found

    def close(self) -> None:
        """Close the connections."""
        self._door.close()

    def _name(self, key: str) -> str:
        self._written += 1
        return f"{key}={self._number}.{self._written}"

    def _items(self, reply: Reply | None, keys: Sequence[str]) -> list[Outcome]:
        """What a bulk write says of each of its items."""
        whole = self._door.outcome(reply)
        if reply is None or whole is not Outcome.DONE:
            return [whole] * len(keys)
        if not name_keys(reply.data, keys):
            self._complain(f"a bulk answer does not name the keys that were sent: {reply.body[:300]!r}")
            return [Outcome.UNKNOWN] * len(keys)
        return [_outcome_of_item(item) for item in reply.data]

    def _write(self, kind: Kind, key: str, outcome: Outcome, **rest: Any) -> None:
        self.outcomes[f"{kind.value} {outcome.name.lower().replace('_', ' ')}"] += 1
        if outcome is not Outcome.NOT_DONE:
            returned_ns = self._door.returned_ns if outcome is Outcome.DONE else None
            self.history.append(Operation(self._number, key, kind, self._door.called_ns, returned_ns, **rest))

    def _read(self, key: str, value: Scalar, revision: int | None = None) -> None:
        self.outcomes["get done"] += 1
        door = self._door
        self.history.append(
            Operation(self._number, key, Kind.GET, door.called_ns, door.returned_ns, result=value, revision=revision)
        )

    def _read_nothing(self, key: str, reply: Reply | None) -> Found | None:
        if reply is not None and reply.status == 404:
            self._read(key, None)
            return Found(None, 0)
        self.outcomes["get failed"] += 1
        return None

    def _known(self, key: str, value: Any) -> str | int:
        if is_counter(key) and type(value) is int:
            return value
        name = name_of(value)
        if not name.startswith(f"{key}="):
            self._complain(f"{key} holds what nobody wrote: {value!r}")
        return name

    def _look_at_ttl(self, key: str, ttl_s: Any) -> None:
        if ttl_s is not None and not 1 <= ttl_s <= TTL_S_MAX:
            self._complain(f"{key} has a time to live of {ttl_s} s, which nobody gave it")


def _condition(found: Found, *, by_value: bool) -> tuple[dict[str, str], dict[str, str]]:
    """What the body and the headers of a PUT say that may only replace what was found."""
    if found.value is None:
        return {}, {"If-None-Match": "*"}
    return ({"if_value": value_of(found.value)}, {}) if by_value else ({}, {"If-Match": f'"{found.revision}"'})


def _outcome_of_item(item: Any) -> Outcome:
    if item["status"] == "ok":
        return Outcome.DONE
    return Outcome.NOT_DONE if item["error"] == "CLUSTER_UNAVAILABLE" else Outcome.UNKNOWN


class Habits:
    """What a client does next, by chance."""

    def __init__(self, rng: random.Random, recorder: Recorder, keys: Keys, others: Sequence[str]) -> None:
        self._rng = rng
        self._recorder = recorder
        self._keys = keys
        self._readable = [*keys.mortal, *others]
        self._steps: Sequence[tuple[Callable[[], object], int]] = (
            (lambda: recorder.put(self._lasting()), 24),
            (lambda: recorder.get(self._lasting()), 26),
            (lambda: recorder.delete(self._lasting()), 5),
            (lambda: recorder.put_if_unchanged(self._contended(), by_value=rng.random() < 0.5), 10),
            (lambda: recorder.increment(rng.choice(keys.counters), rng.randint(1, BY_MAX)), 8),
            (lambda: recorder.get(rng.choice(keys.counters)), 2),
            (lambda: recorder.put(self._mortal(), self._ttl_s()), 8),
            (lambda: recorder.get(rng.choice(self._readable), with_ttl=rng.random() < 0.5), 8),
            (lambda: recorder.touch(self._mortal(), rng.randint(1, TTL_S_MAX)), 4),
            (lambda: recorder.ttl(self._mortal()), 3),
            (lambda: recorder.delete(self._mortal()), 1),
            (lambda: recorder.bulk_put(self._some(keys.lasting)), 5),
            (lambda: recorder.bulk_put(self._some(keys.mortal), self._ttl_s()), 1),
            (lambda: recorder.bulk_get(self._some(keys.every)), 7),
            (lambda: recorder.bulk_delete(self._some(keys.plain)), 1),
        )

    def step(self) -> None:
        """One request."""
        steps, weights = zip(*self._steps, strict=True)
        self._rng.choices(steps, weights)[0]()

    def _lasting(self) -> str:
        return self._rng.choice(self._keys.hot if self._rng.random() < HOT_CHANCE else self._keys.plain)

    def _contended(self) -> str:
        return self._rng.choice(self._keys.hot if self._rng.random() < CAS_HOT_CHANCE else self._keys.plain)

    def _mortal(self) -> str:
        return self._rng.choice(self._keys.mortal)

    def _ttl_s(self) -> int | None:
        return self._rng.randint(1, TTL_S_MAX) if self._rng.random() < 0.7 else None

    def _some(self, keys: Sequence[str]) -> list[str]:
        return self._rng.sample(keys, self._rng.randint(2, BULK_MAX))
