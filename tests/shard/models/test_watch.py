"""What watchers are told against the state after each entry: a state and the changes after it make every later state."""

from collections.abc import Callable, Sequence

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from shard.history import History
from shard.machine import Change, Machine, machine
from tests.shard.models.replicas import IN_THE_SUITE, STEPS_MS, TTLS_MS, TTLS_MS_OR_NEVER, Replicas
from wire.messages import (
    ChangeKind,
    Delete,
    Fetch,
    Increment,
    IncrementItem,
    Operation,
    OperationId,
    Put,
    PutItem,
    Touch,
    TouchItem,
    Transaction,
    WatchEvent,
    WriteReply,
)

NAMES = ["{t}a", "{t}b", "{t}c", "\0{t}"]
KEYS = st.sampled_from(NAMES)
VALUES = st.sampled_from([b"1", b"22", b'"x"'])
WRITES: st.SearchStrategy[Put | Delete | Touch | Increment] = st.one_of(
    st.lists(st.builds(PutItem, KEYS, VALUES, st.just(""), TTLS_MS_OR_NEVER), min_size=1, max_size=3).map(Put),
    st.lists(KEYS, min_size=1, max_size=3).map(Delete),
    st.lists(st.builds(TouchItem, KEYS, TTLS_MS), min_size=1, max_size=2).map(Touch),
    st.lists(st.builds(IncrementItem, KEYS), min_size=1, max_size=2).map(Increment),
)
TRANSACTIONS = st.lists(WRITES, min_size=1, max_size=3).map(lambda steps: Transaction([], [*steps, Fetch(["{t}a"])]))
OPERATIONS: st.SearchStrategy[Operation] = WRITES | TRANSACTIONS
EVENTS_MAX = 12
State = dict[str, tuple[bytes, int]]  # value and revision of each key


def state_of(replica: Machine) -> State:
    page = replica.page("", "", 1_000, replica.now_ms, with_values=True)
    return {entry.key: (entry.value, entry.revision) for entry in page.entries}


def changed(state: State, events: list[WatchEvent]) -> State:
    """The state that a watcher has who knew this one and was told of these events."""
    state = dict(state)
    for event in events:
        if event.kind is ChangeKind.PUT:
            state[event.key] = event.value, event.revision
        elif event.kind is ChangeKind.DELETE:
            del state[event.key]
        else:
            state.pop(event.key, None)  # a key that was due was not shown any more
    return state


class Audience:
    """Keeps the newest changes of a replica, as a node does, and counts those of each entry."""

    def __init__(self, index: Callable[[], int]) -> None:
        self.index = index
        self.history = History(0, EVENTS_MAX, 1 << 30)
        self.counts: dict[int, int] = {}
        self.begin = 0

    def changed(self, index: int, changes: list[Change]) -> None:
        self.history.add(index, changes)
        self.counts[index] = len(changes)

    def restored(self) -> None:
        self.begin = self.index()
        self.history.restart(self.begin)

    def knows(self, index: int) -> bool:
        """Whether every change after an entry is to be had: there are few, or they are those of one entry."""
        later = [count for at, count in self.counts.items() if at > index]
        return index >= self.begin and (sum(later) <= EVENTS_MAX or len(later) == 1)

    def read(self, index: int, bytes_max: int) -> list[WatchEvent] | None:
        """Every change after an entry, stretch by stretch; None when some are not known any more."""
        events: list[WatchEvent] = []
        position = index, 0
        while position != (self.index(), 0):
            stretch = self.history.after(*position, self.index(), bytes_max)
            if stretch is None:
                return None
            assert (stretch.index, stretch.taken) > position
            events += stretch.events
            position = stretch.index, stretch.taken
        return events


class Watching(Replicas):
    """Who watches goes from the state after any entry to the present one, at whichever replica."""

    def __init__(self) -> None:
        self.audiences: list[Audience] = []
        super().__init__()
        self.states: list[State] = [{}, {}]  # after each entry, by its index

    def prepared(self, replica: Machine) -> Machine:
        self.audiences.append(Audience(lambda: self.log.index))
        replica.tell(self.audiences[-1])
        return replica

    def append(self, operations: Sequence[tuple[OperationId, Operation]]) -> list[WriteReply]:
        replies = super().append(operations)
        self.states.append(state_of(self.log.machine))
        return replies

    @rule(
        step_ms=STEPS_MS,
        operations=st.lists(OPERATIONS, min_size=1, max_size=3),
        bytes_max=st.sampled_from([1, 300, 1 << 20]),
    )
    def change_and_follow(self, step_ms: int, operations: list[Operation], bytes_max: int) -> None:
        self.now_ms += step_ms
        self.write(operations)
        for audience in self.audiences:
            for index in range(self.log.index + 1):
                events = audience.read(index, bytes_max)
                assert (events is not None) == audience.knows(index)
                if events is not None:
                    self.check(index, events)

    def check(self, index: int, events: list[WatchEvent]) -> None:
        revisions = [event.revision for event in events]
        assert revisions == sorted(revisions)
        assert all(index < revision <= self.log.index for revision in revisions)
        found, shown = changed(self.states[index], events), self.states[-1]
        assert shown.items() <= found.items()
        if len(NAMES) <= machine.EXPIRE_PER_ENTRY:
            assert found == shown, "what is due is told in time"

    @invariant()
    def every_change_has_a_greater_revision(self) -> None:
        before, after = self.states[-2:]
        assert all(state == before.get(key) or state[1] == self.log.index for key, state in after.items())


TestWatching = Watching.TestCase
TestWatching.settings = IN_THE_SUITE
