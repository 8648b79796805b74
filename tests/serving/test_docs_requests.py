"""The parameters, limits and examples in docs/requests.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from recommend.surface import PAGING
from recommend.surfaces.rank import MOST
from schemas.events import Item
from serving.cursors import LONGEST, MOST_GIVEN
from serving.feeds import FEED
from serving.rank import RANK
from serving.request_parameters import COMMON, FREE, LARGEST_WEIGHT, MOST_EXCLUDED
from serving.requested import AT_DAYS
from serving.settings import ServingSettings
from tests.serving.made import Api
from tests.serving.surfaces import ids, stock

TEXT = (Path(__file__).parents[2] / "docs" / "requests.md").read_text()
FLAT = " ".join(TEXT.split())
CALLS = [line for line in TEXT.splitlines() if line.startswith("curl")]
MISSPELLED = "diversty"


def test_the_table_has_the_parameters_of_the_code() -> None:
    named = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    assert sorted(named) == sorted(["n", "explain", *(parameter.name for parameter in COMMON)])
    assert set(named) <= {parameter.name for parameter in FEED}


def test_what_may_change_from_page_to_page_is_that_of_the_code() -> None:
    said = TEXT.split("items that\nfollow. ")[1].split(" may change")[0]
    assert set(re.findall(r"`(\w+)`", said)) == FREE - {"next"}


def test_what_a_list_of_the_callers_takes_is_that_of_the_code() -> None:
    said = TEXT.split("It takes ")[1].split(". All")[0]
    assert set(re.findall(r"`(\w+)`", said)) - {"none", "full", "events"} == {parameter.name for parameter in RANK}


def test_the_limits_are_those_of_the_code() -> None:
    for text in (
        f"up to {MOST_EXCLUDED} ids", f"up to {AT_DAYS} days from now", f"the {PAGING.depth} best items by score",
        f"until {MOST_GIVEN} were shown", f"up to {MOST:,} items", f"({LONGEST / 1000:g} kB at most)",
        f"from -{LARGEST_WEIGHT:g} to {LARGEST_WEIGHT:g}", "for an hour",
    ):  # fmt: skip
        assert text in FLAT, text
    assert ServingSettings().cursor_s == 3600


@pytest.mark.parametrize("line", [line for line in CALLS if MISSPELLED not in line])
def test_every_example_is_answered(api: Api, line: str) -> None:
    words = shlex.split(line)
    url = next(word for word in words if word.startswith("localhost"))
    path = url.removeprefix("localhost:8000").replace("relevance:", "score:")  # the head of a bundle's own ranker
    path = path.replace("min_score=15", "min_score=0.001")
    stock(api, [Item(str(k)) for k in (*range(30), 50, 181)], {str(k): [1, k, 0, 0] for k in (*range(30), 50, 181)})
    if "CURSOR" in path:
        first = api.get(path.partition("?")[0], n=5)
        path = path.replace("CURSOR", first.json()["next"])
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    given = {"content": words[words.index("-d") + 1]} if "-d" in words else {}
    answer = api.ask(method, path, headers={"Content-Type": "application/json"}, **given)
    assert ids(answer)
    assert answer.json()["unknown_items"] == []


def test_the_misspelled_parameter_is_refused_with_the_nearest_one(api: Api) -> None:
    (line,) = (line for line in CALLS if MISSPELLED in line)
    answer = api.get(shlex.split(line)[-1].removeprefix("localhost:8000"))
    assert answer.status_code == 422
    assert "diversity" in answer.json()["errors"][0]["detail"]
