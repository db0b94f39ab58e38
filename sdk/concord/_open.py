"""Opening a store in this process. Only here the server is loaded, and only when it is asked for."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

from concord._async_embedded import AsyncEmbedded
from concord._calls import Consistency
from concord._embedded import Embedded
from concord._errors import StoreFailed
from concord._member import AsyncMember, Durability, Member, open_async_member, open_member
from concord._retry import Retry
from concord._store import Store


class MemberOptions(TypedDict, total=False):
    """What `open_member` takes besides path, `listen` and `durability`."""

    join: Sequence[str]
    node_id: str
    advertise: str
    zone: str
    cluster: str
    groups: int
    tls_cert: str
    tls_key: str
    tls_ca: str
    insecure: bool
    timeout: float
    consistency: Consistency
    retry: Retry | None


@overload
def open(  # noqa: A001 - as `gzip.open`
    path: str | os.PathLike[str] | None = ..., *, durability: Durability = ...
) -> Embedded: ...
@overload
def open(  # noqa: A001 - likewise
    path: str | os.PathLike[str], *, listen: str, durability: Durability = ..., **member: Unpack[MemberOptions]
) -> Member: ...
def open(  # noqa: A001 - likewise
    path: str | os.PathLike[str] | None = None,
    *,
    durability: Durability = "fsync",
    listen: str | None = None,
    **member: Any,
) -> Embedded | Member:
    """A store in this process, without a server: `with concord.open("data/") as db: …`. Needs `concord[embedded]`.

    With `listen`, and `join`, this process is a node of a cluster instead: see `open_member`, which takes the same arguments.

    Args:
        path: the data directory, made if it is not there. One process at a time has it open. None, with `memory`, for no directory.
        durability: what a write waits for. `fsync`: the disk. `os`: the operating system; it survives a killed process, but after a
            power cut the store may refuse to open. `memory`: nothing; at the end everything is gone.
        listen: `host:port` for other members.
        member: see `open_member`.

    Raises:
        StoreFailed: another has it open, it is damaged, or the disk failed; see `.code`.
        ValueError: an argument is wrong.
    """
    if listen is None:
        _refuse(member)
        return Embedded(_store(path, durability))
    return open_member(_needed(path), listen=listen, durability=durability, **member)


@overload
async def open_async(path: str | os.PathLike[str] | None = ..., *, durability: Durability = ...) -> AsyncEmbedded: ...
@overload
async def open_async(
    path: str | os.PathLike[str], *, listen: str, durability: Durability = ..., **member: Unpack[MemberOptions]
) -> AsyncMember: ...
async def open_async(
    path: str | os.PathLike[str] | None = None,
    *,
    durability: Durability = "fsync",
    listen: str | None = None,
    **member: Any,
) -> AsyncEmbedded | AsyncMember:
    """The same for asyncio: `async with await concord.open_async("data/") as db: …`. See `open`."""
    if listen is None:
        _refuse(member)
        return AsyncEmbedded(await asyncio.to_thread(_store, path, durability))
    return await open_async_member(_needed(path), listen=listen, durability=durability, **member)


def _refuse(member: dict[str, Any]) -> None:
    if member:
        raise ValueError(f"{', '.join(sorted(member))}: only with listen=, for a node of a cluster")


def _needed(path: str | os.PathLike[str] | None) -> str | os.PathLike[str]:
    if path is None:
        raise ValueError("path: a node of a cluster needs a data directory")
    return path


def _store(path: str | os.PathLike[str] | None, durability: str) -> Store:
    try:
        from concord._local import open_store  # noqa: PLC0415 - the server is loaded by whoever opens a store
    except ImportError as error:
        raise StoreFailed(
            f"a store in this process needs more than is installed ({error}): install Concord with its extra 'embedded'",
            code="STORE_NOT_INSTALLED",
        ) from error
    return open_store(None if path is None else Path(path), durability)
