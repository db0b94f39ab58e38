"""Links between the pages lead somewhere: the file is there, and the heading in it."""

import re

import pytest

from tests.test_house import ROOT, tracked

LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
PAGES = [path for path in tracked("*.md") if path.suffix == ".md"]


def anchors(text: str) -> set[str]:
    """The names that headings are linked by: lower case, without punctuation, with hyphens for blanks."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_headings_become_anchors() -> None:
    assert anchors("# What's new?\n```sh\n# no\n```\n## Reads: stale, or not\n") == {"whats-new", "reads-stale-or-not"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: object) -> None:
    broken = []
    assert isinstance(page, type(ROOT))
    for name, anchor in LINK.findall(page.read_text()):
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target.read_text())):
            broken.append(f"{name}#{anchor}" if anchor else name)
    assert not broken
