"""Wrong use of the clients is refused by mypy; right use is in typing_good.py, which `make lint` checks with all else."""

import re
from pathlib import Path

from mypy import api

ROOT = Path(__file__).parents[2]
WRONG = """\
from concord import AsyncConcord, Concord
def wrong(client: Concord, other: AsyncConcord) -> None:
    client.get(1)
    client.get("k", consistency="eventual")
    number: int = client.get("k", type=int)
    client.put("k", 1, ttl="3")
    client.touch("k")
    text: str = client.get_many(["k"], type=int).values["k"]
    with other.lock("k"): pass
    text = other.get("k", type=str, default="")
    client.limiter("k", 1, 1, algorithm="leaky")
"""
GOOD = (Path(__file__).parent / "typing_good.py").read_text()


def test_right_use_is_accepted_and_each_wrong_use_is_refused(tmp_path: Path) -> None:
    for name, text in (("wrong.py", WRONG), ("good.py", GOOD)):
        (tmp_path / name).write_text(text)
    options = ["--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}", "--follow-imports=silent"]
    out, err, _ = api.run([*options, str(tmp_path / "wrong.py"), str(tmp_path / "good.py")])
    assert not err
    assert "good.py" not in out
    refused = {int(number) for number in re.findall(r"wrong\.py:(\d+): error", out)}
    assert refused == set(range(3, len(WRONG.splitlines()) + 1)), out


def test_the_clients_bring_their_types() -> None:
    assert (ROOT / "sdk" / "concord" / "py.typed").is_file()
