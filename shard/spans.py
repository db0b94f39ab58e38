"""What is recorded of traced writes on their way through the log. Nothing is made while no write is traced."""

from collections.abc import Iterable, Sequence

from raft.interface import Committed, Outcome, Refused
from shard.write_queue import WriteCall
from wire.tracing import Attributes, now_ns

REPLICATE, APPLY = "raft replicate", "apply"


def proposed(writes: Sequence[WriteCall]) -> int:
    """An entry with these writes is being proposed; returns when, for `landed`, or 0 when nobody wants to know."""
    traced = [call.span for call in writes if call.span is not None]
    for span in traced:
        span.event("proposed", {"concord.entry.operations": len(writes)})
    return now_ns() if traced else 0


def landed(began_ns: int, writes: Iterable[WriteCall | None], outcome: Outcome) -> None:
    """The entry's outcome is known: it was replicated from `began_ns` on, then applied."""
    ended_ns = now_ns()
    if isinstance(outcome, Committed):
        committed_ns = ended_ns - int(outcome.apply_s * 1e9)
        said: Attributes = {
            "concord.entry.index": outcome.index,
            "concord.term": outcome.term,
            "concord.outcome": "committed",
        }
    else:
        committed_ns = ended_ns
        said = {"concord.outcome": "refused" if isinstance(outcome, Refused) else "unknown"}
    for call in writes:
        if call is None or call.span is None:
            continue
        call.span.child(REPLICATE, began_ns, committed_ns, said)
        if isinstance(outcome, Committed):
            call.span.child(APPLY, committed_ns, ended_ns, said)
