"""A killed process loses nothing that it was told is kept: the short form of `python -m tests.chaos.embedded`."""

from pathlib import Path

import msgspec
import pytest

from tests.chaos import embedded


def test_what_was_acknowledged_outlives_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(embedded, "LIFE_S_MAX", 0.1)
    written = tmp_path / "figures.json"
    assert embedded.main(["--kills", "4", "--json", str(written)]) == 0
    figures = msgspec.json.decode(written.read_bytes(), type=embedded.Figures)
    assert figures.kills == 4
    assert figures.acknowledged > 0


def test_a_lost_write_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    killing = embedded.Killing(tmp_path / "data", 1)
    with embedded.opened(tmp_path / "data") as db:
        for number in (1, 2):
            for thread, kind in enumerate(embedded.KINDS):
                kind(db, thread, number)
        killing._acknowledged = [3, 3, 3, 3]
        db.put("many/1/0", 3)
        db.increment("{n}all")
        killing._compare(db)
    assert len(killing.figures.violations) == 6
    assert "half" in capsys.readouterr().out
