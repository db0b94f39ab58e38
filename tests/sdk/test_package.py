"""What `import concord` costs and shows."""

import subprocess
import sys
from pathlib import Path

import concord

HEAVY = {"urllib3", "aiohttp", "http.client", "asyncio", "concord._urllib3", "concord._aiohttp"}
ROOT = Path(__file__).parents[2]


def test_importing_concord_loads_no_http_library_and_no_event_loop() -> None:
    script = "import sys, concord; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'sdk')!r}); {script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not HEAVY & set(done.stdout.split())
    slow = {"hashlib", "concurrent.futures"}  # together a quarter of the time, and few need them at once
    assert not slow & set(done.stdout.split())


def test_what_is_public_is_there_and_every_exception_is() -> None:
    assert concord.__all__ == sorted(concord.__all__)
    assert all(hasattr(concord, name) for name in concord.__all__)
    errors = {kind.__name__ for kind in _all_below(concord.ConcordError) if kind.__module__ == "concord._errors"}
    assert errors <= set(concord.__all__)


def _all_below(kind: type) -> set[type]:
    return {kind}.union(*map(_all_below, kind.__subclasses__()))


def test_both_clients_have_the_same_methods_and_every_one_is_described() -> None:
    sync, asynchronous = (
        {name for name in vars(kind) if not name.startswith("_")} for kind in (concord.Concord, concord.AsyncConcord)
    )
    assert sync == asynchronous
    assert all(getattr(kind, name).__doc__ for kind in (concord.Concord, concord.AsyncConcord) for name in sync)
