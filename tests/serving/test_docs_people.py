"""docs/people.md: its calls are answered, and its numbers are those of the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from operators import follows
from operators.time import DAY
from recommend import favourites
from schemas.clock import now_ms
from serving import others, people_index, people_search
from serving.settings import ServingSettings
from tests.serving.made import Api
from tests.serving.test_people_index import ITEMS, KEY, VECTORS, read, row_of

TEXT = (Path(__file__).parents[2] / "docs" / "people.md").read_text()
FLAT = re.sub(r"\s+", " ", TEXT)
CALLS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)


def test_the_follows_are_accepted_and_in_force(api: Api) -> None:
    words = shlex.split(CALLS[0].replace("2026-01-01T10:00:00Z", str(now_ms())))
    document = re.sub(r'"(\d{13})"', r"\1", words[words.index("-d") + 1])
    answer = api.ask("POST", "/v1/events", content=document, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["rejected"]) == (202, [])
    assert api.get("/v1/users/196/features").json()["follows"] == ["186"], "the unfollow is older here"


def test_the_calls_that_name_people_are_answered(tmp_path: Path) -> None:
    api = Api(tmp_path / "bundles", api_key=KEY)
    api._client.headers["X-API-Key"] = KEY
    api.stock([*ITEMS], {**VECTORS, "oppenheimer": [1, 0, 0, 0]})
    api.rows.of = {"196": row_of("i02"), "186": row_of("i03")}
    read(api, "196", "186")
    paths = [path for call in CALLS[1:] for path in re.findall(r"localhost:8000(/v1/[^']+)", call)]
    assert len(paths) == 2
    for path in paths:
        answer = api.get(path)
        assert answer.status_code == 200
        assert answer.json()["users"]
    api.close()


@pytest.mark.parametrize(
    "said",
    [
        f"The newest {follows.MOST} are kept",
        f"2^(-age / {favourites.HALF_LIFE // DAY} days)",
        f"in the last {favourites.LATELY // DAY} days",
        f"The {others.MOST_FRIENDS} people who were followed last",
        f"the {others.MOST_ALIKE} nearest people, of a cosine of at least {others.SIMILAR}",
        f"the last {people_index.LAST:,} at its start",
        f"{people_index.BATCH} at a time",
        f"a person every {people_index.AGAIN_S:g} s at most",
        f"`FRESHET_PEOPLE`, {ServingSettings().people:,} people",
        f"some {round(people_index.BATCH / people_index.EVERY_S):,} people a second",
        f"the nearest {people_search.SPARE} n + {people_search.LEAST}",
    ],
)
def test_the_numbers_are_those_of_the_code(said: str) -> None:
    assert said in FLAT
