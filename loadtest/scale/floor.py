"""An event loop with nothing to do: the floor under what a node can cost. `python -m loadtest.scale.floor` runs until its input ends.

It wakes as often as a node looks at its timers (`RaftConfig.scan_s`), and that is all.
"""

import asyncio
import sys

import uvloop

from raft import RaftConfig


async def tick() -> None:
    """Wake and do nothing, until standard input ends."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)

    def wake() -> None:
        loop.call_later(RaftConfig().scan_s, wake)

    wake()
    await ended.wait()


if __name__ == "__main__":
    uvloop.run(tick())
