"""The examples and limits in docs/filters.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from feature_repo.attribute_columns import MOST_COLUMNS
from feature_repo.columns import ItemColumns
from recommend.filtering import FilterError, ItemFilters, RequestValues
from recommend.filtering.check import FUNCTIONS, METHODS
from recommend.filtering.cost import MOST_COST
from recommend.filtering.fields import ITEM, REQUEST_FIELDS, USER
from recommend.filtering.syntax import DEEPEST, LONGEST, MOST_NODES, parse
from schemas.events import Item

TEXT = (Path(__file__).parent.parent / "docs" / "filters.md").read_text()


def test_every_example_is_a_filter() -> None:
    columns = ItemColumns()
    columns.put_item(Item("i1", attributes={"year": 1995, "cast": ["Weaver"], "release year": 1995}))
    filters = ItemFilters(columns)
    examples = re.findall(r"```cel\n(.*?)```", TEXT, re.DOTALL)[0].splitlines()
    assert len(examples) > 5
    for example in examples:
        filters.compile(example).mask(RequestValues({}, 1_767_225_600_000))


def test_what_is_written_in_other_languages_is_refused_with_a_hint() -> None:
    columns = ItemColumns()
    columns.put_item(Item("i1", attributes={"cast": ["Weaver"]}))
    filters = ItemFilters(columns)
    table = TEXT.split("| written | write |\n|---|---|\n")[1].split("\n\n")[0]
    pairs: list[tuple[str, str]] = []
    for row in table.splitlines():
        wrong, right = (re.findall(r"`(.+?)`", cell) for cell in row.strip("|").split(" | "))
        pairs += zip(wrong, right, strict=True)
    assert len(pairs) > 8
    for wrong, right in pairs:
        with pytest.raises(FilterError, match=r"write|did you mean") as raised:
            filters.compile(_whole(wrong))
        assert _is_hint(str(raised.value), wrong, right), f"{wrong}: {raised.value}"
        if "item." in right:
            filters.compile(_whole(right))
        else:
            parse(_whole(right))


OPERATOR = re.compile(r"[=!<>]=|&&|\|\||[!<>]|\bin\b|\w+\(")


def _is_hint(said: str, wrong: str, right: str) -> bool:
    """Whether the message names a field of the right side, or has an alternative with exactly those of its operators
    and functions that the wrong side lacks."""
    if field := re.search(r"did you mean ([\w.]+)\?", said):
        return field[1] in right
    hint = said.rpartition("write ")[2]
    missing = set(OPERATOR.findall(right)) - set(OPERATOR.findall(wrong))
    return missing in [set(OPERATOR.findall(each)) for each in re.split(", | or ", hint)]


def test_a_hint_of_another_operator_is_no_hint_for_the_right_side() -> None:
    for hint, right in [
        ("has(x)", "!has(x)"), ("in", '!(x in ["a"])'), ("==", "a != 1"), ("||", "a && b"), ("size(…)", "x.exists(…)"),
        ("x > a && x < b", "x >= 1 && x <= 5"), ("a list", '"a" in item.cast'),
    ]:  # fmt: skip
        assert not _is_hint(f"character 1: unexpected; write {hint}", "", right)
    assert not _is_hint("did you mean item.prize?", "price < 20", "item.price < 20")


def _whole(example: str) -> str:
    return example.replace("(…)", "(c, c == 'a')")


def test_every_field_and_function_is_there() -> None:
    fields = [*(f"item.{n}" for n in ITEM), *(f"user.{n}" for n in USER), *(f"request.{n}" for n in REQUEST_FIELDS)]
    assert [name for name in fields if f"`{name}`" not in TEXT] == []
    assert [name for name in (*FUNCTIONS, *METHODS) if name not in TEXT] == []


def test_the_limits_are_those_of_the_code() -> None:
    said = " ".join(TEXT.split("Limits: ")[1].split("Where evaluating")[0].split())
    for number in (f"{LONGEST:,} characters", f"{MOST_NODES} operators", f"{DEEPEST} levels"):
        assert number in said
    assert f"{MOST_COST // 1000} ms" in said
    assert f"Up to {MOST_COLUMNS} attributes" in TEXT
