"""Telling callgrind, from inside the program that it runs, when to count; and reading what it counted.

A client request is a sequence of machine instructions that does nothing on a processor and speaks to valgrind under it (valgrind's
manual, "The Client Request mechanism"). It is built here as it is on x86-64, which spares a compiler. Counts are of instructions as
they retire, system calls not included: how fast the machine is and what else it does leaves no trace in them.
"""

import ctypes
import mmap
import platform
import re
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path

MACHINE = "x86_64"
TOOL = (ord("C") << 24) | (ord("T") << 16)  # requests to callgrind, in the order of its callgrind.h
ZERO_STATS = TOOL + 1
DUMP_STATS_AT = TOOL + 3
START_INSTRUMENTATION = TOOL + 4
STOP_INSTRUMENTATION = TOOL + 5
ARGUMENTS = struct.Struct("=6Q")  # the request and five arguments
CODE = bytes.fromhex(
    "4889f8"  # mov rax, rdi: where the arguments are
    "31d2"  # xor edx, edx: the answer without valgrind
    "48c1c703 48c1c70d 48c1c73d 48c1c733"  # rol rdi by 3, 13, 61, 51: as it was
    "4887db"  # xchg rbx, rbx: the request
    "4889d0"  # mov rax, rdx
    "c3"  # ret
)
_DESCRIPTION = re.compile(r"^desc: Trigger: Client Request: (\S+)$", re.MULTILINE)
_TOTALS = re.compile(r"^totals: (\d+)$", re.MULTILINE)


class Counter:
    """Callgrind's counter of this process. Without valgrind its methods do nothing."""

    def __init__(self) -> None:
        self._code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._code.write(CODE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._code))
        self._call = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)

    def start(self) -> None:
        """Count from now on; everything takes fifty times as long."""
        self._request(START_INSTRUMENTATION)

    def stop(self) -> None:
        """Count no more."""
        self._request(STOP_INSTRUMENTATION)

    def zero(self) -> None:
        """Forget what was counted."""
        self._request(ZERO_STATS)

    def dump(self, name: str) -> None:
        """Write what was counted since `zero` under a name, and forget it."""
        text = ctypes.create_string_buffer(name.encode())
        self._request(DUMP_STATS_AT, ctypes.addressof(text))

    def _request(self, number: int, argument: int = 0) -> None:
        arguments = ctypes.create_string_buffer(ARGUMENTS.pack(number, argument, 0, 0, 0, 0))
        self._call(ctypes.addressof(arguments))


def missing() -> str:
    """Why nothing can be counted here, "" when it can."""
    if platform.machine() != MACHINE:
        return f"instructions are counted on {MACHINE} only, this is {platform.machine()}"
    return "" if shutil.which("valgrind") else "valgrind not found (Debian: valgrind)"


def command(output: Path) -> list[str]:
    """What a program is run by so that it can count; what it dumps goes to files that begin with `output`."""
    return ["valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={output}"]


def counted(output: Path) -> Mapping[str, int]:
    """Instructions by the names under which they were dumped."""
    found = {}
    for path in output.parent.glob(f"{output.name}.*"):
        text = path.read_text()
        if (name := _DESCRIPTION.search(text)) and (total := _TOTALS.search(text)):
            found[name[1]] = int(total[1])
    return found
