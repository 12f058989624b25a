"""The pages of the documentation: their links lead somewhere, and every page is reached.

The scripts in them are run by `tests/spec`, their commands by `test_guide.py`.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "grammar" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))
]  # fmt: skip

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.*?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def linked(page: Path) -> set[Path]:
    """Return the pages that a page links to."""
    targets = _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8")))
    return {(page.parent / target.partition("#")[0]).resolve() for target in targets} & set(PAGES)


def test_the_readme_leads_to_every_page() -> None:
    reached, new = set(), {ROOT / "README.md"}
    while new:
        reached |= new
        new = {target for page in new for target in linked(page)} - reached
    # The index is where the built pages begin; on a code host the readme is.
    assert set(PAGES) - reached <= {ROOT / "docs" / "index.md"}


def test_the_list_of_decisions_is_whole() -> None:
    listing = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    pages = {page.name for page in (ROOT / "docs" / "decisions").glob("*.md")} - {"README.md"}
    assert set(_LINK.findall(listing)) & pages == pages
