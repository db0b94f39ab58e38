"""Whether what clients saw is what a single register per key could have shown them, one operation after the other.

`check(operations) -> Verdict` looks for an order; `draw(violation, path)` draws what has none as an HTML timeline. Beside
it stands the check of a single promise that needs no search: `expired_early`.
The README.md of this folder has the theory.
"""

from tests.linearizability.check import check
from tests.linearizability.drawing import draw
from tests.linearizability.operation import Kind, Operation, Scalar, load, save
from tests.linearizability.promises import expired_early
from tests.linearizability.verdict import Verdict, Violation

__all__ = [
    "Kind",
    "Operation",
    "Scalar",
    "Verdict",
    "Violation",
    "check",
    "draw",
    "expired_early",
    "load",
    "save",
]
