"""Some file descriptors are kept from peers."""

import subprocess
import sys
from pathlib import Path

import pytest

from process.descriptors import RESERVED, connections_that_fit


@pytest.mark.parametrize(("descriptors", "fit"), [(1 << 16, 1024), (1024, 1024 - RESERVED), (300, 150), (2, 1)])
def test_the_limit_on_connections_never_comes_near_that_of_the_system(descriptors: int, fit: int) -> None:
    assert connections_that_fit(1024, descriptors) == fit


@pytest.mark.parametrize(("soft", "hard", "raised"), [(256, 2048, 2048), (2048, 2048, 2048)])
def test_a_process_takes_what_the_system_allows(soft: int, hard: int, raised: int) -> None:
    check = (
        "import resource as r; from process.descriptors import raise_limit\n"
        f"r.setrlimit(r.RLIMIT_NOFILE, ({soft}, {hard})); print(raise_limit(), *r.getrlimit(r.RLIMIT_NOFILE))"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(raised), str(raised), str(hard)]
