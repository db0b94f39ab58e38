"""How long the machine itself let a process wait: what an attack must not be blamed for.

A process that only sleeps and syncs a file, with the priority of the victims, notes by how much it was late. An attacked node
that wastes its own time does not delay it: that one has a single busy thread, and there are two processors or more.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_PROGRAM = """
import os, select, sys, tempfile, time
try:
    os.nice(-10)
except OSError:
    pass
worst, before = 0.0, time.monotonic()
with tempfile.TemporaryFile() as file:
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        os.pwrite(file.fileno(), b"x", 0)
        os.fdatasync(file.fileno())
        now = time.monotonic()
        worst, before = max(worst, now - before - 0.02), now
print(worst)
"""


class Canary:
    """Attributes:
    longest_wait_s: known once the canary has ended.
    """

    longest_wait_s = 0.0


@contextmanager
def canary() -> Iterator[Canary]:
    """Watch the machine meanwhile."""
    found = Canary()
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield found
        finally:
            said, _ = process.communicate("\n", timeout=60)
            found.longest_wait_s = float(said)
