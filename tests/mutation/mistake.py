"""What a planted mistake is."""

import msgspec


class Mistake(msgspec.Struct, frozen=True):
    """One wrong line.

    Attributes:
        name: as given to `--only` and to the simulation's `--mutant`.
        module: where, as imported.
        right: a piece of its source that occurs exactly once.
        wrong: what takes its place.
        breaks: the rule that no longer holds.
    """

    name: str
    module: str
    right: str
    wrong: str
    breaks: str
