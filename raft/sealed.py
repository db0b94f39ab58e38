"""Small files that are replaced as a whole: content, then a line with its checksum, so that no damage passes for content."""

import zlib

from raft.disk import Disk
from raft.storage_errors import REBUILD, DataDirectoryError

_MAX_BYTES = 16 << 20


def seal(content: bytes) -> bytes:
    """The content and its checksum, as a line of JSON: `jq` reads a sealed JSON file."""
    return b'%b\n"crc32 %08x"\n' % (content, zlib.crc32(content))


def unseal(sealed: bytes) -> bytes | None:
    """The content, None when it is not exactly what `seal` made."""
    content = sealed[: -len(seal(b""))]
    return content if seal(content) == sealed else None


def read_sealed(disk: Disk, path: str) -> bytes:
    """The content of a sealed file.

    Raises:
        DataDirectoryError: it is damaged.
        OSError: it is not there, or the disk failed.
    """
    file = disk.open(path)
    try:
        content = unseal(file.read(0, _MAX_BYTES))
    finally:
        file.close()
    if content is None:
        raise DataDirectoryError(f"{path} is damaged: it does not match its checksum. {REBUILD}")
    return content


def replace_sealed(disk: Disk, path: str, content: bytes) -> None:
    """Seal content and `replace_file` with it."""
    replace_file(disk, path, seal(content))


def replace_file(disk: Disk, path: str, content: bytes) -> None:
    """Give a file of the data directory new content, durably: after a crash it is the old or the new one."""
    temporary = path + ".tmp"
    if disk.exists(temporary):
        disk.unlink(temporary)
    file = disk.create(temporary)
    try:
        file.pwrite(0, [content])
        file.sync()
    finally:
        file.close()
    disk.rename(temporary, path)
    disk.sync_dir("")
