"""SIGSTOP the node that leads a group while it is written and read: no read may return what was overwritten before it began.

`python -m tests.chaos.pause` starts a cluster of its own. In each round one writer counts a key of the group up through
the gateway; readers read it linearizably in every way that the gateway offers; and a client of the nodes' own protocol
reads from the stopped leader itself: reads that wait in its socket while it is stopped, and a stream of reads from the
moment that it goes on, over the old connection and over a new one. A read must return at least what was acknowledged,
or returned by another read, before it began. Pauses about as long as a lease or an election are the hardest:
`--pause-s 0.75`, `--pause-s 1.2`.
"""

import asyncio
import os
import signal
import sys
import time
from collections import Counter

from tests.chaos.counting import Client, Register, reading, writing
from tests.chaos.scene import JOIN_TIMEOUT_S, Caller, Outcome, Scene, parser, play, say
from tests.e2e.cluster import wait_until
from wire import RpcClient, RpcError
from wire.messages import ReadRequest, Status
from wire.methods import READ

RPC_TIMEOUT_S = 20.0
WAITING_EVERY_S = 0.1
STREAM_S = 2.0
STREAMS = 8
MORE_WRITES = 20


class Direct:
    """Reads of the counter from one node itself."""

    def __init__(self, register: Register, address: str) -> None:
        self._register = register
        self._address = address
        self._old = RpcClient(address)
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures: Counter[str] = Counter()

    async def hold(self, pid: int, pause_s: float) -> None:
        """Stop the node for a while, and read from it in the meantime and afterwards."""
        await self._read(self._old, "direct, before")
        os.kill(pid, signal.SIGSTOP)
        try:
            until = time.monotonic() + pause_s
            while (left := until - time.monotonic()) > 0:
                self._begin(self._old, "direct, waiting")
                await asyncio.sleep(min(left, WAITING_EVERY_S))
        finally:
            self._register.resumed_at = time.monotonic()
            os.kill(pid, signal.SIGCONT)
        await self._stream()
        await asyncio.gather(*self._tasks)
        await self._old.close()

    async def _stream(self) -> None:
        """Read without a pause over the old connection and over a new one."""
        new = RpcClient(self._address)
        until = time.monotonic() + STREAM_S

        async def keep_reading(channel: RpcClient, way: str) -> None:
            while time.monotonic() < until:
                await self._read(channel, way)
                await asyncio.sleep(0)

        streams = [keep_reading(self._old, "direct, old connection") for _ in range(STREAMS)]
        streams += [keep_reading(new, "direct, new connection") for _ in range(STREAMS)]
        await asyncio.gather(*streams)
        await new.close()

    def _begin(self, channel: RpcClient, way: str) -> None:
        task = asyncio.get_running_loop().create_task(self._read(channel, way))
        self._tasks.add(task)

    async def _read(self, channel: RpcClient, way: str) -> None:
        register, floor = self._register, self._register.floor
        try:
            reply = await channel.call(READ, ReadRequest(register.group, [register.key]), RPC_TIMEOUT_S)
        except RpcError as error:
            self.failures[error.failure.code.value] += 1
            return
        (result,) = reply.results
        register.check(way, floor, int(result.value) if result.status is Status.OK else -1)


class Pauses:
    """The rounds."""

    def __init__(self, scene: Scene, groups: int, pause_s: float) -> None:
        scene.cluster.start()
        self._scene = scene
        self._pause_s = pause_s
        self._caller = Caller(scene)
        self._keys = self._caller.keys_by_group("pause", groups)
        self._order = scene.rng.sample(sorted(self._keys), groups)
        self.staleness_max = 0
        self.reads: Counter[str] = Counter()
        self.write_gaps: list[float] = []
        self.read_gaps: dict[str, float] = {}

    def round(self, number: int) -> None:
        """Stop the leader of one group for a while."""
        self._caller.wait_until_whole()
        group = self._order[number % len(self._order)]
        assert self._caller.put(self._keys[group], 0) is Outcome.DONE, "a whole cluster took no write"
        register = Register(self._scene, group, self._keys[group])
        writer = Client("writer", writing(self._scene, register))
        readers = [Client(way, reading(self._scene, register, way)) for way in ("get", "get", "bulk get", "list")]
        clients = [writer, *readers]
        for client in clients:
            client.start()
        self._hold_leader(number, register, writer)
        wait_until(self._caller.is_whole, "the cluster is whole again", JOIN_TIMEOUT_S)
        self._wait_for_writes(register)
        for client in clients:
            client.stop()
        self._account(register, writer, readers)

    def _hold_leader(self, number: int, register: Register, writer: Client) -> None:
        self._wait_for_writes(register)
        leader = self._caller.leader(register.group)
        assert leader, f"group {register.group} has no leader"
        (process,) = [process for process in self._scene.cluster.processes() if process.name == leader]
        direct = Direct(register, process.address)
        assert process.pid, f"{leader} is down"
        before = register.acknowledged
        asyncio.run(direct.hold(process.pid, self._pause_s))
        failures = ", ".join(f"{n} {code}" for code, n in direct.failures.items())
        say(
            f"round {number}: group {register.group}, {leader} stopped for {self._pause_s} s; "
            f"{register.acknowledged - before} writes; longest gap {writer.longest_gap_s():.2f} s; "
            f"direct reads that failed: {failures or 'none'}"
        )

    def _wait_for_writes(self, register: Register) -> None:
        wanted = register.acknowledged + MORE_WRITES
        wait_until(lambda: register.acknowledged >= wanted, f"{MORE_WRITES} more writes", JOIN_TIMEOUT_S)

    def _account(self, register: Register, writer: Client, readers: list[Client]) -> None:
        self.staleness_max = max(self.staleness_max, register.staleness_max)
        self.reads += register.reads
        self.write_gaps.append(writer.longest_gap_s())
        for reader in readers:
            self.read_gaps[reader.name] = max(self.read_gaps.get(reader.name, 0.0), reader.longest_gap_s())

    def close(self) -> None:
        """Say what was measured."""
        self._caller.close()
        say("reads answered: " + ", ".join(f"{n} {way}" for way, n in sorted(self.reads.items())))
        say(f"staleness: {self.staleness_max} at most")
        self._scene.figures.update(
            self.reads, staleness=self.staleness_max, longest_without_write_s=max(self.write_gaps)
        )
        gaps = {"write": max(self.write_gaps), **self.read_gaps}
        say("longest time without a " + ", ".join(f"{way} {gap:.2f} s" for way, gap in gaps.items()))


def main() -> int:
    """Run the program."""
    flags = parser(__doc__, rounds=5)
    flags.add_argument("--pause-s", type=float, default=5.0, help="how long a leader is stopped")
    arguments = flags.parse_args()

    def scenario(scene: Scene) -> None:
        pauses = Pauses(scene, arguments.groups, arguments.pause_s)
        for number in range(arguments.rounds):
            pauses.round(number)
        pauses.close()

    return play(arguments, scenario)


if __name__ == "__main__":
    sys.exit(main())
