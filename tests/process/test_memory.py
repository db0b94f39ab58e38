"""Which memory is moved into huge pages."""

import subprocess
import sys

from process import memory

MAPS = """\
00400000-00a00000 rw-p 00000000 fe:00 1234       /usr/bin/python3
00c80000-01600000 rw-p 00000000 00:00 0          [heap]
7f0000000000-7f0000400000 rw-p 00000000 00:00 0
7f0000400000-7f0000800000 r--p 00000000 00:00 0
7f0000800000-7f0000c00000 rw-s 00000000 00:01 77 /memfd:x (deleted)
7f0000d00000-7f0000efffff rw-p 00000000 00:00 0
7ffc00000000-7ffc00400000 rw-p 00000000 00:00 0  [stack]
"""


def test_whole_huge_pages_of_the_heap_and_of_nameless_private_memory_are_moved() -> None:
    heap = [0x00E00000, 0x01000000, 0x01200000, 0x01400000]
    assert memory._huge_pages(MAPS) == [*heap, 0x7F0000000000, 0x7F0000200000]


def test_moving_changes_nothing_but_where_it_is_and_is_bounded() -> None:
    program = (
        "from process import memory\n"
        "memory.HUGE_PAGES_MAX = 2\n"
        "kept = [str(number) for number in range(300_000)]\n"  # some 20 MiB
        "assert 0 <= memory.move_into_huge_pages() <= 2\n"
        "assert kept == [str(number) for number in range(300_000)]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_system_that_cannot_is_left_as_it_is() -> None:
    program = "from process import memory\nmemory._MADV_COLLAPSE = 1 << 20\nassert memory.move_into_huge_pages() == 0\n"
    subprocess.run([sys.executable, "-c", program], check=True)
