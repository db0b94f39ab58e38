"""What a process asks of its memory allocator."""

import ctypes
from contextlib import suppress

_M_MMAP_THRESHOLD = -3  # <malloc.h> of glibc
LARGE_BYTES = 1 << 18


def give_large_buffers_back() -> None:
    """Have every buffer of `LARGE_BYTES` or more in pages of its own, which go back to the system as soon as it is freed.

    By itself glibc raises that size with each large buffer that it sees freed, up to 32 MiB; from then on half frames of many
    peers lie in the heap among what lives longer, and their memory stays. Without effect where there is no glibc.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
