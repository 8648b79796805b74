"""The measurement of new people, on a small made log."""

from __future__ import annotations

from io import StringIO
from itertools import pairwise
from typing import Any

import pytest
from rich.console import Console

from schemas.events import User
from training import cold_start
from training.accepted import Log
from training.cold_start import LINES, NOW, PICKS, POPULAR, Newcomer, measure, table
from training.datasets import Dataset

FIRST = 8


@pytest.fixture(scope="module")
def measured(log: Log) -> dict[str, Any]:
    users = [User(f"u{p}", {"age": 20 + p, "gender": "FM"[p % 2], "zip_code": str(p)}) for p in range(40)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cold_start, "FIRST", FIRST)
        patch.setattr(cold_start, "LENGTH", 0.5)
        return measure(Dataset([*log.items], users, [*log.interactions]), cuts=(0.5,))


def newcomer(log: Log) -> Newcomer:
    return Newcomer(User("u0"), [e for e in log.interactions if e.user_id == "u0"], 10**13)


def test_every_line_is_of_the_same_people_and_has_its_interval(measured: dict[str, Any]) -> None:
    assert list(measured["lines"]) == [POPULAR, NOW, *(line.name for line in LINES)]
    assert measured["n"]["people"] > 5
    for name, figures in measured["lines"].items():
        for column, (value, low, high) in figures.items():
            assert low <= value <= high, (name, column)
    assert measured["lines"][POPULAR]["d ndcg@20"] == [0, 0, 0]
    assert measured["lines"][POPULAR]["as popular"] == [1, 1, 1]
    assert "d popular picks" in measured["lines"][f"{PICKS} onboarding picks"]


def test_what_is_known_of_a_person_shows_in_the_sources(measured: dict[str, Any]) -> None:
    lines = measured["lines"]
    assert lines["0 events"]["personal"] == [0, 0, 0]
    assert lines["5 events"]["personal"][0] > 0
    assert lines["5 events"]["ndcg@20"][0] > lines["0 events"]["ndcg@20"][0], "a taste for one genre shows soon"


def test_events_are_moved_to_just_before_the_moment(log: Log) -> None:
    person = newcomer(log)
    assert person.first(0) == []
    found = person.first(3)
    assert [e.item_id for e in found] == [e.item_id for e in person.ratings[:3]]
    assert found[-1].timestamp == person.at - 1000
    gaps = [b.timestamp - a.timestamp for a, b in pairwise(found)]
    assert gaps == [b.timestamp - a.timestamp for a, b in pairwise(person.ratings[:3])]


def test_answers_are_the_persons_own_ratings_of_what_is_offered(log: Log) -> None:
    person = newcomer(log)
    rated = [e.item_id or "" for e in person.ratings]
    found = person.answers([rated[7], "never seen", rated[2]])
    assert [e.item_id for e in found] == [rated[7], rated[2]]
    stars = [e.properties["rating"] for e in found]
    assert stars == [person.ratings[k].properties["rating"] for k in (7, 2)]
    assert [e.timestamp for e in found] == [person.at - 2000, person.at - 1000]


def test_the_table_has_a_row_a_line(measured: dict[str, Any]) -> None:
    made = table(measured)
    Console(file=StringIO(), width=200).print(made)
    assert made.row_count == len(measured["lines"])
