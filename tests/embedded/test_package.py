"""What a store in this process loads, what it shows, and whether its page is true."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import concord

ROOT = Path(__file__).parents[2]
SERVER = {"shard", "raft", "wire", "process", "gateway"}
NOT_NEEDED = {
    "pysyncobj",
    "litestar",
    "opentelemetry",
    "prometheus_client",
    "cryptography",
    "uvloop",
    "urllib3",
    "gateway",
}
PATHS = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'sdk')!r}]; "


def loaded(script: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-I", "-c", PATHS + script + "; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_the_server_is_loaded_only_when_a_store_is_opened_and_then_only_what_it_needs() -> None:
    assert not SERVER & loaded("import concord")
    opened = loaded("import concord; concord.open(durability='memory').put('a', 1)")
    assert {"shard.embedded", "raft.wal"} <= opened
    assert not NOT_NEEDED & opened


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "concord._local", None)
    with pytest.raises(concord.StoreFailed, match="its extra 'embedded'") as raised:
        concord.open(durability="memory")
    assert raised.value.code == "STORE_NOT_INSTALLED"


def test_it_has_the_methods_of_the_clients_and_says_what_they_do() -> None:
    pairs = ((concord.Embedded, concord.Concord), (concord.AsyncEmbedded, concord.AsyncConcord))
    for embedded, client in pairs:
        assert issubclass(embedded, client)
        own = {name for name in vars(embedded) if not name.startswith("_")}
        assert own <= {name for name in vars(client) if not name.startswith("_")}
        assert all(getattr(embedded, name).__doc__ for name in own)


def test_every_method_of_the_clients_works_or_is_replaced(tmp_path: Path) -> None:
    """What reaches for the network would fail on what a store does not have."""
    with concord.open(tmp_path) as db:
        assert "_driver" not in vars(db)
        sources = {
            name: value.__code__.co_names for name, value in vars(concord.Concord).items() if hasattr(value, "__code__")
        }
        on_the_network = {name for name, used in sources.items() if "_driver" in used or "_run_batches" in used}
        assert on_the_network - {"__init__", "_run_batches"} <= set(vars(concord.Embedded))


def test_the_page_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "embedded.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert len(blocks) > 3
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks:
        exec(compile(block, "docs/embedded.md", "exec"), names)  # noqa: S102 - our own page
