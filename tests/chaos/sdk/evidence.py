"""What clients saw of services, flags and limiters: what the `judge_*.py` look at. Instants are of the history's clock, in ns."""

from typing import Literal

import msgspec


class Stay(msgspec.Struct, frozen=True):
    """One `register` of an instance, from its beginning to its end.

    Attributes:
        number: unique among all stays; it is in the metadata.
        instance: its name, which no other client uses; the same one registers it again only after `left_ns` was told.
        ttl_s: of the registration.
        called_ns: before it was called.
        entered_ns: when it was acknowledged, None: never.
        leaving_ns: before its end was begun, None: it was not acknowledged, so it has none.
        left_ns: when the end was acknowledged, None: never.
        is_refused: whether it was told that nothing was registered.
    """

    number: int
    instance: str
    ttl_s: int
    called_ns: int
    entered_ns: int | None = None
    leaving_ns: int | None = None
    left_ns: int | None = None
    is_refused: bool = False


class Listing(msgspec.Struct, frozen=True):
    """The instances of the service: names with the number of the stay, and with the seconds left, rounded up."""

    called_ns: int
    returned_ns: int
    numbers: dict[str, int] = {}
    left_s: dict[str, int] = {}


class Take(msgspec.Struct, frozen=True):
    """An `acquire` or a `wait` of a limiter that took effect or may have; one that was refused by an exception is left out.

    Attributes:
        name: of the limit; it is used with one algorithm, limit and window only.
        called_ns: before it was called.
        returned_ns: when it was answered, or its outcome was given up.
        is_allowed: what was answered, None: nobody knows.
        reset_ms: what was answered, None: nobody knows.
    """

    name: str
    algorithm: Literal["fixed", "gcra"]
    limit: int
    window_s: int
    cost: int
    called_ns: int
    returned_ns: int
    is_allowed: bool | None = None
    reset_ms: int | None = None


class Glance(msgspec.Struct, frozen=True):
    """A flag that was read from a copy in memory: whose copy, the key, its value (None: absent), and the copy's `age_s` before."""

    copy: int
    key: str
    value: str | None
    called_ns: int
    returned_ns: int
    age_s: float


class Evidence(msgspec.Struct):
    """All that a client, a process or all of them saw."""

    stays: list[Stay] = []
    listings: list[Listing] = []
    takes: list[Take] = []
    glances: list[Glance] = []

    def add(self, other: "Evidence") -> None:
        """What another saw, too."""
        self.stays += other.stays
        self.listings += other.listings
        self.takes += other.takes
        self.glances += other.glances
