"""What a process asks of its memory: of its allocator, and of the system."""

import ctypes
from contextlib import suppress
from pathlib import Path

_M_MMAP_THRESHOLD = -3  # <malloc.h> of glibc
LARGE_BYTES = 1 << 18

_MADV_COLLAPSE = 25  # <linux/mman.h>, since Linux 6.1
HUGE_PAGE_BYTES = 2 << 20
HUGE_PAGES_MAX = 32
"""Moving what is in a huge page takes some tenths of a millisecond, in which nothing else is done."""


def give_large_buffers_back() -> None:
    """Have every buffer of `LARGE_BYTES` or more in pages of its own, which go back to the system as soon as it is freed.

    By itself glibc raises that size with each large buffer that it sees freed, up to 32 MiB; from then on half frames of many
    peers lie in the heap among what lives longer, and their memory stays. Without effect where there is no glibc.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


def move_into_huge_pages() -> int:
    """Move what the process has by now, its code objects above all, into pages of 2 MiB; returns how many there are now.

    Small pages have more addresses than the processor remembers, and each process that takes its turn on it makes it forget
    those of the others. Only what is there is moved, once: nothing that is asked for later waits for a huge page, as it would
    with the system's own setting. Without effect where the system does not know how.
    """
    moved = 0
    with suppress(OSError, AttributeError):
        advise = ctypes.CDLL(None).madvise
        advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for page in _huge_pages(Path("/proc/self/maps").read_text()):
            if moved == HUGE_PAGES_MAX:
                break
            moved += advise(page, HUGE_PAGE_BYTES, _MADV_COLLAPSE) == 0
    return moved


def _huge_pages(maps: str) -> list[int]:
    """Addresses of all huge pages that would hold nothing but writable memory of the process's own, by `/proc/PID/maps`. Pure."""
    found: list[int] = []
    for line in maps.splitlines():
        span, rights, _, _, inode, *name = line.split(maxsplit=5)
        if rights == "rw-p" and inode == "0" and (not name or name == ["[heap]"]):
            start, end = (int(address, 16) for address in span.split("-"))
            found += range(-(-start // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES, end - HUGE_PAGE_BYTES + 1, HUGE_PAGE_BYTES)
    return found
