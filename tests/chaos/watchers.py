"""Watchers over real sockets: one that is cut off again and again, and a great many at once: `python -m tests.chaos.watchers`.

- *cut*: a watcher of two gateways is cut off 200 times, at random bytes of its stream, while 100,000 changes are made, and goes on
  each time with `Last-Event-ID`. Afterwards it has seen each change exactly once, and those of each key in order.
- *crowd*: 2,000 watchers on one gateway, and a writer. Each watcher has to be told each change exactly once, in order. How much the
  gateway's memory grew for each of them is measured.
"""

import asyncio
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from concord.cli.console import table
from loadtest.proc import memory_bytes
from tests.chaos.scene import Scene, parser, play, say
from tests.e2e.cluster import Client, wait_until
from tests.e2e.watching import Watcher
from tests.linearizability.watching import PUT, Told

KEYS = 500
EVENT_BYTES = 70  # of the stream, at least
TIMEOUT_S = 120.0
CONNECTING = 64  # at once
LIMIT_LINE_BYTES = 1 << 20
FILES_SPARE = 200

Figures = dict[str, float | str]


def faults(told: Iterable[Told], changes: int, keys: int) -> list[str]:
    """What is wrong when a watcher should have been told that change n put str(n) to key n % `keys`."""
    seen: defaultdict[int, list[int]] = defaultdict(list)
    for event in told:
        seen[int(event.key.rpartition("/")[2])].append(int(event.value) if event.kind == PUT else -1)
    return [
        f"key {key}: told {seen[key][:20]}…, put was {list(wanted)[:20]}…"
        for key in range(min(keys, changes))
        if seen[key] != list(wanted := range(key, changes, keys))
    ]


# --- cut off


def cut_off(ports: Sequence[int], prefix: str, changes: int, cuts: int, seed: int) -> tuple[Figures, list[str]]:
    """Let a watcher be cut off while there are changes; what was measured, and what was wrong."""
    watcher = Watcher(ports, prefix, seed, (1, 2 + 2 * changes * EVENT_BYTES // cuts))
    watcher.start()
    wait_until(lambda: bool(watcher.connections), "the watcher is connected", TIMEOUT_S)
    began = time.monotonic()
    client = Client(ports[0], TIMEOUT_S)
    for first in range(0, changes, KEYS):
        numbers = range(first, min(first + KEYS, changes))
        operations = [{"key": f"{prefix}{number % KEYS}", "value": str(number)} for number in numbers]
        done = client.send("POST", "/kv/bulk", {"operations": operations}).data
        assert all(item["status"] == "ok" for item in done), done
    client.close()
    wrote_s = time.monotonic() - began
    wait_until(lambda: len(watcher.told) >= changes, "the watcher has seen all", TIMEOUT_S)
    watcher.stop()
    wrong = faults(watcher.told, changes, KEYS)
    was_cut = watcher.connections - 1
    if was_cut < cuts:
        wrong.append(f"it was cut off {was_cut} times only")
    if watcher.begun > 1 or any("resync" in end for end in watcher.ends):
        wrong.append(f"it had to begin anew: {watcher.begun} times, {watcher.ends}")
    return {"changes": changes, "cuts": was_cut, "events told": len(watcher.told), "writing_s": wrote_s}, wrong


# --- a crowd


class Stream:
    """One of many watchers; it is not cut off."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.synced = asyncio.Event()

    async def follow(self, port: int, prefix: str, connecting: asyncio.Semaphore, until: int) -> None:
        """Read until so many changes were told."""
        async with connecting:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LIMIT_LINE_BYTES)
            # HTTP/1.0, so that the answer is not in chunks
            writer.write(f"GET /api/v1/watch?prefix={prefix} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            name = await self._next_event(reader)
            while name != "synced":
                name = await self._next_event(reader)
            self.synced.set()
        while len(self.told) < until:
            await self._next_event(reader)
        writer.close()

    async def _next_event(self, reader: asyncio.StreamReader) -> str:
        block = (await reader.readuntil(b"\n\n")).decode()
        fields = {name: value.strip() for name, _, value in (line.partition(":") for line in block.split("\n"))}
        if "key" in (data := msgspec.json.decode(fields.get("data", "{}"))):
            self.told.append(Told(data["key"], fields["event"], data["revision"], str(data.get("value", ""))))
        return fields.get("event", "")


async def crowd(port: int, pid: int, prefix: str, watchers: int, changes: int) -> tuple[Figures, list[str]]:
    """Let many watch at once; what was measured, and what was wrong. `pid` is the gateway's."""
    _allow_files(watchers)
    streams = [Stream() for _ in range(watchers)]
    connecting = asyncio.Semaphore(CONNECTING)
    before, began = memory_bytes(pid)[0], time.monotonic()
    async with asyncio.timeout(TIMEOUT_S + changes), asyncio.TaskGroup() as group:
        for stream in streams:
            group.create_task(stream.follow(port, prefix, connecting, changes))
        for stream in streams:
            await stream.synced.wait()
        joined_s, joined = time.monotonic() - began, memory_bytes(pid)[0]
        began = time.monotonic()
        await asyncio.to_thread(_put_all, port, prefix, changes)
        wrote_s = time.monotonic() - began
    told_s, told = time.monotonic() - began, memory_bytes(pid)[0]
    wrong = [
        f"watcher {number}: {fault}"
        for number, stream in enumerate(streams)
        for fault in faults(stream.told, changes, KEYS)
    ]
    figures: Figures = {
        "watchers": watchers,
        "changes told to each": changes,
        "events told": sum(len(stream.told) for stream in streams),
        "joining_s": joined_s,
        "writing_s": wrote_s,
        "until_all_were_told_s": told_s,
        "memory before, KiB": before // 1024,
        "memory with all watchers, KiB": joined // 1024,
        "memory after all changes, KiB": told // 1024,
        "KiB for each watcher": round((joined - before) / watchers / 1024, 1),
    }
    return figures, wrong


def _put_all(port: int, prefix: str, changes: int) -> None:
    client = Client(port, TIMEOUT_S)
    for number in range(changes):
        done = client.put(f"{prefix}{number % KEYS}", str(number))
        assert done.status == 200, done
    client.close()


def _allow_files(sockets: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < sockets + FILES_SPARE:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, sockets + FILES_SPARE), hard))


# --- the program


def _show(scene: Scene, what: str, figures: Mapping[str, float | str], wrong: Sequence[str]) -> None:
    for fault in wrong:
        scene.violate(f"{what}: {fault}")
    rows = [[name, f"{value:.2f}" if isinstance(value, float) else f"{value:,}"] for name, value in figures.items()]
    say(table([what.upper(), ""], rows, sys.stdout))
    scene.figures |= {f"{what}: {name}": value for name, value in figures.items()}


def main() -> int:
    """Run the program."""
    flags = parser(__doc__, rounds=1)
    flags.add_argument("--changes", type=int, default=100_000, help="while the watcher is cut off (%(default)s)")
    flags.add_argument("--cuts", type=int, default=200, help="of the watcher, at least (%(default)s)")
    flags.add_argument("--watchers", type=int, default=2000, help="in the crowd (%(default)s)")
    flags.add_argument("--crowd-changes", type=int, default=200, help="that each of them is told (%(default)s)")
    arguments = flags.parse_args()
    _allow_files(arguments.watchers)  # the gateway inherits it

    def scenario(scene: Scene) -> None:
        scene.cluster.start()
        ports = [process.ports[0] for process in scene.cluster.processes() if process.role == "gateway"]
        pid = scene.cluster.pid("gateway1")
        found = asyncio.run(crowd(ports[0], pid, "crowd/", arguments.watchers, arguments.crowd_changes))
        _show(scene, "crowd", *found)
        _show(scene, "cut", *cut_off(ports, "cut/", arguments.changes, arguments.cuts, arguments.seed))

    return play(arguments, scenario, more_flags=("--gateways", "2"))


if __name__ == "__main__":
    sys.exit(main())
