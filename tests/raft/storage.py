"""What the tests of raft's storage share: a loop in miniature and a log opened over it."""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from raft.disk import Disk
from raft.wal import Durability, Wal
from raft.wal_space import Limits

T = TypeVar("T")

SMALL = Limits(segment_bytes=8192, max_bytes=1 << 30, max_segments=1000)


class Steps:
    """An `Offload` and a `schedule` that run only when told to: the work first, its answer as a step of its own."""

    def __init__(self) -> None:
        self._work: deque[Callable[[], None]] = deque()
        self._turns: deque[Callable[[], None]] = deque()
        self.delays_s: list[float] = []

    def __call__(
        self,
        work: Callable[[], T],
        done: Callable[[T | BaseException], None],
        *,
        brief: bool = False,  # noqa: ARG002 - all of it waits
    ) -> None:
        def run() -> None:
            result: T | BaseException
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - handed to the caller, as the contract of Offload says
                result = error
            self._turns.append(lambda: done(result))

        self._work.append(run)

    def schedule(self, turn: Callable[[], None], delay_s: float = 0.0) -> None:
        self.delays_s.append(delay_s)
        self._turns.append(turn)

    def work(self) -> bool:
        """Do one piece of blocking work. Its answer waits."""
        if not self._work:
            return False
        self._work.popleft()()
        return True

    def turn(self) -> bool:
        """Run one callback on the loop."""
        if not self._turns:
            return False
        self._turns.popleft()()
        return True

    def settle(self) -> None:
        """Run until nothing is left."""
        while self.turn() or self.work():
            pass


class Log:
    """A Wal, its steps and what it reported."""

    def __init__(self, disk: Disk, limits: Limits = SMALL, durability: Durability = Durability.FSYNC) -> None:
        self.steps = Steps()
        self.fatal: list[str] = []
        self.durable: list[int] = []
        self.pinned: list[int] = []
        self.wal = Wal.open(
            disk,
            self.steps,
            identity=b"cluster/node-1",
            durability=durability,
            fatal=self.fatal.append,
            on_durable=self.durable.append,
            on_pinned=self.pinned.append,
            limits=limits,
        )

    def sync(self) -> None:
        """Make all that gathered durable."""
        self.wal.flush()
        self.steps.settle()

    def append(self, group: int, first: int, last: int, term: int = 1, size: int = 20) -> None:
        """Append entries with commands that can be told apart, one batch each."""
        for index in range(first, last + 1):
            self.wal.append(group, index, term, command(group, index, term, size))
            self.sync()


def command(group: int, index: int, term: int = 1, size: int = 20) -> bytes:
    return f"{group}/{index}/{term}/".encode().ljust(size, b".")
