"""What is asked of every system: the same keys, values and operations. Pure, given a source of randomness."""

import random
import string
from collections.abc import Sequence

import msgspec

from loadtest.dialects import Dialect, Item, Operation

KEYS = 10_000
VALUE_BYTES = 100
BULK_ITEMS = 100
BULK_BODIES = 300
LETTERS = string.ascii_letters + string.digits


class Workload(msgspec.Struct, frozen=True):
    """An operation and how many connections ask for it; `items` is the number of keys in a request."""

    operation: Operation
    connections: int
    items: int = 1

    @property
    def name(self) -> str:
        """For a table."""
        return f"bulk of {self.items} puts" if self.operation is Operation.BULK else self.operation.value


WORKLOADS = (
    *(Workload(operation, connections) for operation in (Operation.PUT, Operation.GET) for connections in (1, 8, 64)),
    Workload(Operation.BULK, 8, BULK_ITEMS),
)


def value(rng: random.Random) -> str:
    """A value of VALUE_BYTES letters and digits."""
    return "".join(rng.choices(LETTERS, k=VALUE_BYTES))


def items(count: int, rng: random.Random, first: int = 0) -> list[Item]:
    """`count` keys with a value each; keys are alike for every system."""
    return [(f"bench/{number:08}", value(rng)) for number in range(first, first + count)]


def in_batches(of: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Parts of at most `size`, in order."""
    return [of[at : at + size] for at in range(0, len(of), size)]


def encoded_requests(
    workload: Workload, dialect: Dialect, host: str, of: Sequence[Item], rng: random.Random
) -> list[bytes]:
    """The requests to draw from: one for each key, or bulk requests of distinct keys that are drawn uniformly."""
    if workload.operation is Operation.PUT:
        requests = [dialect.put(key, text) for key, text in of]
    elif workload.operation is Operation.GET:
        requests = [dialect.get(key) for key, _ in of]
    else:
        requests = [dialect.bulk(rng.sample(of, workload.items)) for _ in range(BULK_BODIES)]
    return [request.encoded(host) for request in requests]
