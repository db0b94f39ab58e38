"""Under which name a key is kept: clients' keys as they are, a group's own ones apart. Pure.

A name that begins with NUL is either a client's key that begins so, with one NUL more, or a record that the group keeps
for itself: a letter for its kind, its slot in four hexadecimal digits, and a name. So every name tells its slot, a group's own
records expire, are in snapshots and hashes and move as keys are, and no client can reach them.
"""

from wire.slots import slot_of

NUL = "\0"
FIRST_PLAIN = "\1"  # no client's key sorts before it but those with NUL
_KEPT_AT = 6


def name_of(key: str) -> str:
    """Under which name a client's key is kept."""
    return NUL + key if key[:1] == NUL else key


def key_of(name: str) -> str | None:
    """The client's key that is kept under a name; None when it is a record of the group's own."""
    if name[:1] != NUL:
        return name
    return name[1:] if name[1:2] == NUL else None


def kept_name(kind: str, slot: int, name: str) -> str:
    """The name of a record of the group's own; `kind` is one letter."""
    return f"{NUL}{kind}{slot:04x}{name}"


def kind_of(name: str) -> str:
    """The letter of a record of the group's own; "" for a client's key."""
    return name[1:2].strip(NUL) if name[:1] == NUL else ""


def is_kept(kind: str, name: str) -> bool:
    """Whether a name is one of the group's own of this kind."""
    return name.startswith(NUL + kind)


def kept_as(name: str) -> str:
    """What was given to `kept_name`."""
    return name[_KEPT_AT:]


def slot_of_name(name: str) -> int:
    """The slot of whatever is kept under a name."""
    key = key_of(name)
    return slot_of(key) if key is not None else int(name[2:_KEPT_AT], 16)
