"""Who the members are, as the first start decided: kept in the data directory, and never another.

The members of a Raft group cannot be changed by starting it with others: a majority of the new ones may know nothing of what the
old ones promised. Addresses may change, names and numbers may not.
"""

from collections.abc import Iterable

import msgspec

from member.settings import MemberSettings
from raft.disk import Disk
from raft.sealed import read_sealed, replace_sealed

FORMAT = 1
FILE = "members.json"


class Roll(msgspec.Struct, frozen=True):
    """The ids of all members, the number of groups, and the version of this file."""

    format: int
    members: list[str]
    groups: int


class MembersChangedError(Exception):
    """The data belongs to a cluster of other members. Says which."""


def check(disk: Disk, settings: MemberSettings) -> None:
    """See that the members are those of the first start, if there was one.

    Raises:
        MembersChangedError: they are not, or the file is of another version.
        StorageError: the file is damaged.
        OSError: the disk failed.
    """
    if not is_settled(disk):
        return
    roll = _roll(settings)
    known = _decoded(read_sealed(disk, FILE))
    if known.format != FORMAT:
        raise MembersChangedError(f"{FILE} has format {known.format}, this release knows {FORMAT}")
    if known.members != roll.members:
        raise MembersChangedError(
            f"this directory belongs to a cluster of {_listed(known.members)}, and listen= and join= name "
            f"{_listed(roll.members)}: members are decided at the first start. Name the same, or use another directory"
        )
    if known.groups != roll.groups:
        raise MembersChangedError(f"this cluster has {known.groups} groups, not {roll.groups}: leave groups= as it was")


def is_settled(disk: Disk) -> bool:
    """Whether the members are decided."""
    return disk.exists(FILE)


def settle(disk: Disk, settings: MemberSettings) -> None:
    """Take the members for good.

    Raises:
        OSError: the disk failed.
    """
    replace_sealed(disk, FILE, msgspec.json.encode(_roll(settings)))


def _roll(settings: MemberSettings) -> Roll:
    return Roll(FORMAT, list(settings.members), settings.groups)


def _decoded(content: bytes) -> Roll:
    try:
        return msgspec.json.decode(content, type=Roll)
    except msgspec.DecodeError as error:
        raise MembersChangedError(f"{FILE} cannot be read ({error}): it is of another release") from error


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
