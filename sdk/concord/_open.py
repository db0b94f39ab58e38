"""Opening a store in this process. Only here the server is loaded, and only when it is asked for."""

import asyncio
import os
from pathlib import Path
from typing import Literal, TypeAlias

from concord._async_embedded import AsyncEmbedded
from concord._embedded import Embedded
from concord._errors import StoreFailed
from concord._store import Store

Durability: TypeAlias = Literal["fsync", "os", "memory"]


def open(path: str | os.PathLike[str] | None = None, *, durability: Durability = "fsync") -> Embedded:  # noqa: A001 - as `gzip.open`
    """A store in this process, without a server: `with concord.open("data/") as db: …`. Needs `concord[embedded]`.

    Args:
        path: the data directory, made if it is not there. One process at a time has it open. None, with `memory`, for no directory.
        durability: what a write waits for. `fsync`: the disk. `os`: the operating system; it survives a killed process, but after a
            power cut the store may refuse to open. `memory`: nothing; at the end everything is gone.

    Raises:
        StoreFailed: another has it open, it is damaged, or the disk failed; see `.code`.
        ValueError: an argument is wrong.
    """
    return Embedded(_store(path, durability))


async def open_async(path: str | os.PathLike[str] | None = None, *, durability: Durability = "fsync") -> AsyncEmbedded:
    """The same for asyncio: `async with await concord.open_async("data/") as db: …`. See `open`."""
    return AsyncEmbedded(await asyncio.to_thread(_store, path, durability))


def _store(path: str | os.PathLike[str] | None, durability: str) -> Store:
    try:
        from concord._local import open_store  # noqa: PLC0415 - the server is loaded by whoever opens a store
    except ImportError as error:
        raise StoreFailed(
            f"a store in this process needs more than is installed ({error}): pip install 'concord[embedded]'",
            code="STORE_NOT_INSTALLED",
        ) from error
    return open_store(None if path is None else Path(path), durability)
