"""What is asked of every system: the same keys, values and operations. Pure, given a source of randomness."""

import enum
import random
import string
from collections.abc import Sequence
from itertools import accumulate

import msgspec

from loadtest.dialects import Dialect, Item, Operation, Request

KEYS = 10_000
VALUE_BYTES = 100
LARGE_VALUE_BYTES = (1_000, 10_000)
KEY_BYTES_TOTAL = 10_000_000
"""Of large values there are so few keys that all together have about as many bytes, which the load generator keeps in memory."""
BULK_ITEMS = 100
BULKS = (BULK_ITEMS, 500)
BULK_BODIES = 300
DRAWS = 20_000
ZIPFIAN_EXPONENT = 0.99  # of the Yahoo! Cloud Serving Benchmark (Cooper et al., SoCC 2010)
MIXES = {"A": 0.5, "B": 0.95, "C": 1.0}
"""Its mixes, by the share of reads; the others are puts of whole values."""
CONNECTIONS = (1, 8, 64)
LETTERS = string.ascii_letters + string.digits


class Keys(enum.Enum):
    """Which keys are asked for."""

    UNIFORM = "uniform"
    ZIPFIAN = "zipfian"


class Workload(msgspec.Struct, frozen=True):
    """One kind of load.

    Attributes:
        operation: what is asked for.
        connections: how many ask at once.
        items: keys in a request.
        value_bytes: of each value.
        keys: which.
        mix: letter of the mix, where that is the operation.
    """

    operation: Operation
    connections: int
    items: int = 1
    value_bytes: int = VALUE_BYTES
    keys: Keys = Keys.UNIFORM
    mix: str = ""

    @property
    def name(self) -> str:
        """For a table."""
        if self.operation is Operation.MIX:
            return f"YCSB {self.mix}"
        return f"bulk of {self.items} puts" if self.operation is Operation.BULK else self.operation.value


_SINGLE = (Operation.PUT, Operation.GET)
WORKLOADS = (
    *(Workload(operation, connections) for operation in _SINGLE for connections in CONNECTIONS),
    *(Workload(operation, 64, keys=Keys.ZIPFIAN) for operation in _SINGLE),
    *(Workload(Operation.MIX, connections, keys=Keys.ZIPFIAN, mix=mix) for mix in MIXES for connections in (8, 64)),
    *(Workload(Operation.BULK, 8, count) for count in BULKS),
    *(
        Workload(operation, connections, value_bytes=size)
        for size in LARGE_VALUE_BYTES
        for operation in _SINGLE
        for connections in (8, 64)
    ),
)


def key_count(value_bytes: int) -> int:
    """How many keys have values of a size."""
    return min(KEYS, KEY_BYTES_TOTAL // value_bytes)


def value(rng: random.Random, size: int = VALUE_BYTES) -> str:
    """A value of letters and digits."""
    return "".join(rng.choices(LETTERS, k=size))


def items(count: int, rng: random.Random, first: int = 0, size: int = VALUE_BYTES) -> list[Item]:
    """`count` keys with a value of `size` bytes each; keys are alike for every system."""
    return [(f"bench/{number:08}", value(rng, size)) for number in range(first, first + count)]


def in_batches(of: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Parts of at most `size`, in order."""
    return [of[at : at + size] for at in range(0, len(of), size)]


def zipfian(of: Sequence[Item], draws: int, rng: random.Random) -> list[Item]:
    """So many items, the one of rank r drawn in proportion to r ** -0.99; which item has which rank is random."""
    ranked = rng.sample(of, len(of))
    weights = list(accumulate((rank + 1) ** -ZIPFIAN_EXPONENT for rank in range(len(of))))
    return rng.choices(ranked, cum_weights=weights, k=draws)


def encoded_requests(
    workload: Workload, dialect: Dialect, host: str, of: Sequence[Item], rng: random.Random
) -> list[bytes]:
    """The requests that the load generator draws from uniformly: one for each key, DRAWS of them, or bulks of distinct keys."""
    if workload.operation is Operation.BULK:
        requests = [dialect.bulk(rng.sample(of, workload.items)) for _ in range(BULK_BODIES)]
    else:
        drawn = zipfian(of, DRAWS, rng) if workload.keys is Keys.ZIPFIAN else of
        requests = [_single(workload, dialect, item, rng) for item in drawn]
    return [request.encoded(host) for request in requests]


def _single(workload: Workload, dialect: Dialect, item: Item, rng: random.Random) -> Request:
    reads = MIXES[workload.mix] if workload.operation is Operation.MIX else float(workload.operation is Operation.GET)
    return dialect.get(item[0]) if rng.random() < reads else dialect.put(*item)
