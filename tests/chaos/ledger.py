"""What a writer knows about its keys: what must be there, and what may be."""

from dataclasses import dataclass, field
from typing import Any

from tests.chaos.scene import Outcome

ABSENT = 0


@dataclass(frozen=True)
class Values:
    """The values that stand for numbers: different in size each time, so that parts of two values would show."""

    pad_bytes_max: int

    def of(self, number: int) -> Any:
        """The value of a number."""
        return {"n": number, "pad": chr(97 + number % 26) * (number * 7919 % self.pad_bytes_max)}

    def number(self, value: Any) -> int:
        """The number that a value stands for, -1 when it is no value of ours."""
        number = value.get("n") if isinstance(value, dict) else None
        return number if isinstance(number, int) and value == self.of(number) else -1


@dataclass
class Entry:
    """One key with one writer. A state is a number, or ABSENT.

    After an acknowledged write the key is in its state or in that of a later attempt whose outcome is unknown. An attempt
    that failed for certain must never show. What a read finds when all who could still write are dead is settled.
    """

    settled: int = ABSENT
    pending: list[int] = field(default_factory=list)

    def attempt(self, state: int) -> None:
        """A write is about to be sent."""
        self.pending.append(state)

    def conclude(self, outcome: Outcome) -> None:
        """The last attempt has an outcome."""
        match outcome:
            case Outcome.DONE:
                self.settled = self.pending[-1]
                self.pending.clear()
            case Outcome.NOT_DONE:
                self.pending.pop()
            case Outcome.UNKNOWN:
                pass

    def observe(self, state: int) -> str:
        """Take what was read; says what is wrong with it, or ""."""
        allowed = [self.settled, *self.pending]
        if state not in allowed:
            return f"is {state or 'absent'}, may be {allowed} (0: absent)"
        self.settled = state
        self.pending.clear()
        return ""
