"""Feature flags: every process keeps a copy that one watch holds up to date, so that asking for a flag costs no request.

When the connection is lost the watch goes on behind the last event that it has seen: no change is missed, none comes twice.

    python examples/feature_flags.py
"""

import http.client
import itertools
import time
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from typing import Any

from concord_http import call, events

PREFIX = "flags/"


class Flags:
    """The flags as this process knows them."""

    def __init__(self) -> None:
        self._flags: dict[str, Any] = {}
        self._last_id = ""

    def is_on(self, name: str, user: str) -> bool:
        """Whether a user has a flag; the same user gets the same answer everywhere, and keeps it when the share grows."""
        flag = self._flags.get(PREFIX + name)
        return flag is not None and zlib.crc32(f"{name}/{user}".encode()) % 100 < flag["percent"]

    def follow(self) -> Generator[str, None, None]:
        """Keep the flags up to date and tell each event's name; a process does this in a thread, for ever."""
        while True:
            with suppress(OSError, http.client.HTTPException):  # a lost connection: go on where it was
                yield from self._follow_once()
            time.sleep(1)

    def _follow_once(self) -> Iterator[str]:
        present: dict[str, Any] = {}
        with closing(events(f"/watch?prefix={PREFIX}", self._last_id)) as stream:
            for event in stream:
                match event.name:
                    case "state":
                        present[event.data["key"]] = event.data["value"]
                    case "synced" if not self._last_id:
                        self._flags = present
                    case "put":
                        self._flags[event.data["key"]] = event.data["value"]
                    case "delete" | "expired":
                        self._flags.pop(event.data["key"], None)
                if event.id is not None:
                    self._last_id = event.id  # "" after `resync`: begin again with the present state
                if event.name:  # a heartbeat has none
                    yield event.name


def change(percent: int) -> None:
    """Let so many users in a hundred have the new checkout."""
    call("PUT", "/kv/flags/checkout", {"value": {"percent": percent}}).check()


def until(wanted: str, told: Iterator[str]) -> None:
    """Follow up to an event."""
    next(name for name in told if name == wanted)


def main() -> None:
    """Turn a flag on for everybody, step by step, and see what a process knows of it."""
    change(0)
    flags = Flags()
    following = flags.follow()
    until("synced", following)
    print("0 %: ada has the new checkout:", flags.is_on("checkout", "ada"))

    change(100)
    until("put", following)
    print("100 %: ada has the new checkout:", flags.is_on("checkout", "ada"))

    following.close()  # the connection is lost, and meanwhile there are changes
    change(50)
    call("DELETE", "/kv/flags/checkout").check()
    missed = list(itertools.islice(flags.follow(), 3))
    print("after the connection was lost:", " ".join(missed))
    print("deleted: ada has the new checkout:", flags.is_on("checkout", "ada"))


if __name__ == "__main__":
    main()
