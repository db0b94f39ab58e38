"""docs/errors.md is what the table of codes says."""

from pathlib import Path

from gateway.catalogue import page
from gateway.errors import MEANINGS, ApiCode

ROOT = Path(__file__).parents[2]


def test_the_page_of_errors_is_that_of_the_table() -> None:
    assert (ROOT / "docs" / "errors.md").read_text() == page(), "python -m gateway.catalogue > docs/errors.md"


def test_every_code_has_a_meaning_and_says_what_to_do() -> None:
    assert list(MEANINGS) == list(ApiCode)
    assert all(meaning.text.endswith(".") and meaning.advice.endswith(".") for meaning in MEANINGS.values())
