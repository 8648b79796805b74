"""The examples, the table and the limits in docs/page.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from operators.time import DAY
from recommend.again import DEFAULT, DUE_FROM, DUE_UNTIL
from recommend.explain import LOVED
from recommend.page import SAME
from recommend.page_rows import ANCHORS, CATEGORIES, KINDS, LEAST, ON_SALE
from recommend.rerankers.recency import NEW_DAYS
from schemas.clock import now_ms
from schemas.events import Item
from serving.batch import MOST, READ, READ_BY_POST
from serving.history import KEPT
from serving.page import PAGE
from tests.serving.made import Api

TEXT = (Path(__file__).parents[2] / "docs" / "page.md").read_text()
FLAT = " ".join(TEXT.split())
EXAMPLES = re.findall(r"^curl .*?'(?=\n(?:curl|```))", TEXT, re.MULTILINE | re.DOTALL)


def test_the_table_has_the_kinds_of_the_code() -> None:
    assert sorted(re.findall(r"^\| `(\w+)` \| `\w+` \|", TEXT, re.MULTILINE)) == sorted(kind.name for kind in KINDS)


def test_the_parameters_are_those_of_the_code() -> None:
    said = TEXT.split("**Parameters.**")[1].split(", with the meaning")[0]
    assert set(re.findall(r"`(\w+)`", said)) == {parameter.name for parameter in PAGE} - {"id"}


def test_the_limits_are_those_of_the_code() -> None:
    for text in (
        f"up to {MOST} requests", f"last {KEPT} interactions", f"by {SAME:g}", f"at least {LEAST} items",
        f"from {DUE_FROM:g} to {DUE_UNTIL:g} intervals", f"{DEFAULT // DAY} days", f"at least {LOVED * 100:g} %",
        f"items of the last {NEW_DAYS:g} days", f"`{READ[0]}`, `{READ[1]}` and `{READ[2]}`",
        f"`{READ_BY_POST[0]}` and `{READ_BY_POST[1]}`",
    ):  # fmt: skip
        assert text in FLAT, text
    assert ANCHORS == CATEGORIES == 2
    assert ON_SALE == "item.on_sale == true"
    assert {p.name: (p.default, p.most) for p in PAGE if p.name in ("rows", "per_row")} == {
        "rows": (8, 20), "per_row": (10, 40),
    }  # fmt: skip


@pytest.mark.parametrize("line", EXAMPLES)
def test_every_example_is_answered(api: Api, line: str) -> None:
    ids = [*range(30), 50, 181]
    api.stock([Item(str(k), price=k) for k in ids], {str(k): [1, k, 0, 0] for k in ids})
    for n, (kind, days) in enumerate([("purchase", 30), ("click", 0)]):
        event = {"event_id": f"e{n}", "event_type": kind, "user_id": "anna", "item_id": "5"}
        assert api.post("/v1/events", {**event, "timestamp": now_ms() - days * DAY}).status_code == 202
    words = shlex.split(line)
    path = next(word for word in words if word.startswith("localhost")).removeprefix("localhost:8000")
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    given = {"content": words[words.index("-d") + 1]} if "-d" in words else {}
    answer = api.ask(method, path, headers={"Content-Type": "application/json"}, **given)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert next(found[name] for name in ("rows", "answers", "items", "categories", "brands") if name in found) or (
        "segments" in path
    )
    assert all(entry["status"] == 200 for entry in found.get("answers", ()))


def test_all_examples_are_found() -> None:
    assert len(EXAMPLES) == TEXT.count("curl -s") == 8
