"""What runs under valgrind: `python -m tests.cost.counted NAME…` takes every path named and has its instructions counted."""

import asyncio
import gc
import sys
from collections.abc import Sequence

from tests.cost.paths import WAYS, Way
from tests.cost.valgrind import Counter

WARM_UP_PART = 3


async def count(name: str, way: Way, counter: Counter) -> None:
    """Take a path so often that its code is specialized and its caches are filled, then count."""
    async with way.open() as turn:
        for _ in range(max(2, way.turns // WARM_UP_PART)):
            await turn()
        gc.collect()
        gc.freeze()  # what was made so far belongs to no operation
        counter.zero()
        for _ in range(way.turns):
            await turn()
        counter.dump(name)
    gc.unfreeze()


def main(names: Sequence[str]) -> None:
    """All of them, each on a loop of its own."""
    counter = Counter()
    counter.start()
    for name in names:
        asyncio.run(count(name, WAYS[name], counter))
    counter.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
