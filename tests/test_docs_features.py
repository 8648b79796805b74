"""The pages about features: their code runs, and their examples say what is so."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from feature_repo.examples import check, within

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = sorted((DOCS / "features").glob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PICTURE = re.compile(r"!\[[^\]]+\]\(([^)]+)\)")

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def run(page: Path) -> ModuleType:
    """The page's code as one module, each line at its number in the page, so that an error names it."""
    module, text = ModuleType(page.stem.replace("-", "_")), page.read_text()
    for block in BLOCK.finditer(text):
        above = "\n" * text.count("\n", 0, block.start(1))
        exec(compile(above + block[1], str(page), "exec"), vars(module))
    return module


@by_page
def test_the_examples_of_a_page_hold(page: Path) -> None:
    outcomes = [check(example) for example in within(run(page))]
    assert outcomes, "a page without an example"
    assert {outcome.example.where: outcome.problem for outcome in outcomes if outcome.problem} == {}


@by_page
def test_a_page_has_its_picture(page: Path) -> None:
    assert PICTURE.findall(page.read_text()) == [f"pictures/{page.stem}.svg"]
    assert (page.parent / "pictures" / f"{page.stem}.svg").stat().st_size < 100_000


def test_each_page_is_linked_and_each_link_is_a_page() -> None:
    linked = set(re.findall(r"\(features/([\w-]+)\.md\)", (DOCS / "features.md").read_text()))
    assert linked == {page.stem for page in PAGES}
