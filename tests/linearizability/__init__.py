"""Whether what clients saw is what a single register per key could have shown them, one operation after the other.

`check(operations) -> Verdict` looks for an order; `draw(violation, path)` draws what has none as an HTML timeline. Beside
it stand checks of single promises that need no search: `expired_early`, `lost`, and `each_item` for bulk requests.
The README.md of this folder has the theory.
"""

from tests.linearizability.bulk import each_item
from tests.linearizability.check import check
from tests.linearizability.drawing import draw
from tests.linearizability.operation import Kind, Operation, Scalar, load, save
from tests.linearizability.promises import expired_early, lost
from tests.linearizability.verdict import Verdict, Violation

__all__ = [
    "Kind",
    "Operation",
    "Scalar",
    "Verdict",
    "Violation",
    "check",
    "draw",
    "each_item",
    "expired_early",
    "load",
    "lost",
    "save",
]
