"""The texts of reasons in every language."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import pytest

from recommend import wording
from recommend.stage import Reason
from tests.serving.made import NOW, TASTE, catalogue, pipeline

SOURCES = Path(__file__).parents[2]


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


@pytest.mark.parametrize("language", wording.TEXTS)
def test_every_language_has_the_same_texts_with_the_same_values(language: str) -> None:
    own, english = wording.TEXTS[language], wording.TEXTS["en"]
    assert list(own) == list(english) == sorted(own)
    assert {code: placeholders(text) for code, text in own.items()} == {
        code: placeholders(text) for code, text in english.items()
    }


def test_every_code_of_the_source_has_a_text_and_no_other() -> None:
    found: set[str] = set()
    for room in ("recommend", "serving"):
        for path in (SOURCES / room).rglob("*.py"):
            source = path.read_text("utf-8")
            if "from recommend.wording import" in source:
                found |= codes(ast.parse(source), path.name)
    assert found == {key.partition(".")[0] for key in wording.TEXTS["en"]}


def codes(tree: ast.Module, name: str) -> set[str]:
    """The codes in the calls of `reason`; each must be written there as a text, or it would not be found."""
    calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call) and ast.unparse(each.func) == "reason"]
    found = [call.args[1] if len(call.args) > 1 else None for call in calls]
    texts = [code.value for code in found if isinstance(code, ast.Constant) and isinstance(code.value, str)]
    assert len(texts) == len(calls), f"{name}: write the code as a text in each call of reason"
    return set(texts)


def test_what_a_positive_event_is_called() -> None:
    kinds = {kind for kind, taste in TASTE.items() if taste > 0}
    assert {key.partition(".")[2] for key in wording.TEXTS["en"] if key.startswith("because_item.")} == kinds


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("de-AT", "Oft zusammen mit Brot {gekauft} gekauft"), ("zh_Hans_CN", "常与《Brot {gekauft}》一起购买"),
        ("EN", "Often bought with Brot {gekauft}"), ("fr", "Often bought with Brot {gekauft}"),
    ],
)  # fmt: skip
def test_a_title_is_put_in_as_it_is(locale: str, text: str) -> None:
    query = pipeline(catalogue([])).query(at=NOW, language=wording.language_of(locale))
    assert wording.reason(query, "bought_with", "i1", title="Brot {gekauft}") == Reason("bought_with", text, "i1")
