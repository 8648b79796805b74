"""The examples and limits in docs/rules.md."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from feature_repo.columns import ItemColumns
from recommend.filtering import ItemFilters
from recommend.rules.compiled import compiled
from recommend.rules.plan import ADDING, EACH
from schemas import rules
from schemas.events import Item
from schemas.rules import HISTORY, HISTORY_BYTES, KINDS, MOST_ITEMS, MOST_RULES, RULE_TYPES, RuleBase

TEXT = (Path(__file__).parent.parent / "docs" / "rules.md").read_text()
EXAMPLES = re.findall(r"## Examples\n\n```json\n(.*?)```", TEXT, re.DOTALL)[0].splitlines()
ATTRIBUTES = {"recalled": True, "franchise": "Alien", "min_age": 18, "sold_in": ["DE"]}


@pytest.mark.parametrize("example", [*EXAMPLES, *re.findall(r"-d '(.*?)'", TEXT)])
def test_every_example_is_a_rule(example: str) -> None:
    columns = ItemColumns()
    columns.put_item(Item("i1", attributes=ATTRIBUTES))
    compiled("a", rules.loads(example), columns, ItemFilters(columns))


def test_every_kind_has_an_example_and_every_field_is_there() -> None:
    assert {msgspec.json.decode(example)["kind"] for example in EXAMPLES} == set(KINDS)
    fields = {name for kind in (RuleBase, *RULE_TYPES) for name in kind.__struct_encode_fields__}
    assert [name for name in sorted(fields) if f"`{name}`" not in TEXT] == []


def test_the_limits_are_those_of_the_code() -> None:
    said = " ".join(TEXT.split())
    assert f"at most {MOST_RULES:,} rules" in said
    assert f"up to {MOST_ITEMS} ids" in said
    assert f"the last {HISTORY} changes (up to {HISTORY_BYTES >> 10} KiB of them)" in said
    assert f"up to {EACH} of a rule, of the {ADDING} rules" in said
