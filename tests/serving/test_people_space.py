"""People by where they stand in a space: against an exact search, bounded, with places that are used again."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from serving.people_space import PeopleSpace
from tests.serving.made import unit

DIM = 8


def vectors(n: int, seed: int = 0) -> Any:
    return unit(np.random.default_rng(seed).normal(size=(n, DIM)))


def test_the_nearest_are_those_of_an_exact_search() -> None:
    made, all_of = PeopleSpace("s", DIM, 5000), vectors(1500)
    for n, vector in enumerate(all_of):
        made.put(f"p{n}", vector, [(f"i{n}", n)])
    for asked in vectors(20, 1):
        expected = [f"p{n}" for n in np.argsort(-(all_of @ asked))[:10]]
        found = made.nearest(asked, 10)
        assert [near.similarity for near in found] == sorted((near.similarity for near in found), reverse=True)
        for near in found:
            number = int(near.user_id[1:])
            assert near.similarity == pytest.approx(float(all_of[number] @ asked), abs=1e-5)
            assert near.likes == [(f"i{number}", number)]
        assert [near.user_id for near in found] == expected


def test_who_was_active_longest_ago_is_dropped_and_places_are_used_again() -> None:
    made, all_of = PeopleSpace("s", DIM, 50), vectors(400)
    for n, vector in enumerate(all_of):
        made.put(f"p{n}", vector, [])
    assert len(made) == 50
    assert {near.user_id for near in made.nearest(all_of[0], 60)} == {f"p{n}" for n in range(350, 400)}
    assert len(made._ids) == len(made._likes) == 50
    made.put("p350", all_of[350], [])
    made.put("new", all_of[0], [])
    assert {"p350", "new"} <= {near.user_id for near in made.nearest(all_of[0], 60)}, "who is active again stays"
    assert "p351" not in {near.user_id for near in made.nearest(all_of[0], 60)}


def test_a_person_moves_and_is_removed() -> None:
    made, all_of = PeopleSpace("s", DIM, 50), vectors(20)
    for n, vector in enumerate(all_of):
        made.put(f"p{n}", vector, [])
    made.put("p3", -all_of[3], [("i1", 1)])
    assert made.nearest(-all_of[3], 1)[0].user_id == "p3"
    near_by = unit(-all_of[3] + 0.02 * all_of[4])
    made.put("p3", near_by, [])
    assert made.nearest(near_by, 1)[0].similarity == pytest.approx(1, abs=1e-5), "the cosine is to where they are now"
    made.remove("p3")
    made.remove("nobody")
    assert "p3" not in {near.user_id for near in made.nearest(near_by, 30)}
    assert len(made) == 19


def test_searches_while_people_come_and_go() -> None:
    made, all_of, problems = PeopleSpace("s", DIM, 100), vectors(600), []

    def change() -> None:
        try:
            for n, vector in enumerate(all_of):
                made.put(f"p{n}", vector, [])
                if n % 3 == 0:
                    made.remove(f"p{n - 5}")
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=change, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found = [near.user_id for near in made.nearest(all_of[0], 20)]
        assert len(found) == len(set(found))
    assert problems == []
    assert len(made) <= 100
