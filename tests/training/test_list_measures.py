"""Measures of lists, by hand and against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training import list_measures as measures


def test_distance_of_vectors() -> None:
    vectors = np.array([[1, 0], [0, 1], [1, 0], [0, 0]], np.float32)
    assert measures.vector_distance(vectors) == pytest.approx((1 + 0 + 1) / 3)
    assert measures.vector_distance(np.array([[1, 0], [-1, 0]])) == pytest.approx(2)
    assert math.isnan(measures.vector_distance(vectors[2:]))


def test_distance_of_categories() -> None:
    assert measures.category_distance([["a", "b"], ["b"], [], ["c"]]) == pytest.approx((0.5 + 1 + 1) / 3)
    assert math.isnan(measures.category_distance([["a"], []]))


def test_distribution_of_categories() -> None:
    assert measures.distribution([["a", "b"], ["b"], []]) == {"a": 0.25, "b": 0.75}
    assert measures.distribution([[]]) == {}


def test_miscalibration() -> None:
    person = {"a": 0.7, "b": 0.3}
    assert measures.miscalibration(person, person) == pytest.approx(0)
    # q = 0.99 * {a: 1} + 0.01 * p
    expected = 0.7 * math.log(0.7 / 0.997) + 0.3 * math.log(0.3 / 0.003)
    assert measures.miscalibration(person, {"a": 1.0}) == pytest.approx(expected)
    assert measures.miscalibration(person, {"a": 0.5, "b": 0.5}) < expected
    assert math.isnan(measures.miscalibration({}, {"a": 1.0}))


def test_self_information() -> None:
    # of 3 people and one who has met all: met by 1 is 2 of 4, by none 1 of 4
    assert measures.self_information({"a": 1}, 3, ["a", "b"]) == pytest.approx((1 + 2) / 2)


def test_resamples_draw_as_many_people_as_there_are() -> None:
    drawn = measures.resamples(50, 200)
    assert (drawn.sum(axis=1) == 50).all()
    assert drawn.mean() == 1
    assert 0.3 < (drawn == 0).mean() < 0.43  # (1 - 1 / 50) ** 50 = 0.364


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(5, 2, 1000)
    found = measures.mean_interval(values, np.arange(1000), measures.resamples(1000, 2000))
    error = values.std() / math.sqrt(1000)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_lists_of_one_person_are_drawn_together() -> None:
    values = np.random.default_rng(0).normal(0, 1, 100)
    drawn = measures.resamples(100, 2000)
    once = measures.mean_interval(values, np.arange(100), drawn)
    ten_times = measures.mean_interval(np.repeat(values, 10), np.repeat(np.arange(100), 10), drawn)
    assert ten_times == pytest.approx(once), "ten equal lists of a person say no more than one"


def test_what_is_not_known_is_left_out() -> None:
    values = np.array([1.0, np.nan, 3.0])
    assert measures.mean_interval(values, np.array([0, 1, 1]), measures.resamples(2, 100)).value == 2


def test_coverage() -> None:
    shown = np.zeros((40, 100), bool)
    shown[np.arange(40), np.arange(40)] = True
    found = measures.coverage_interval(shown, measures.resamples(40, 500), 100)
    assert found.value == pytest.approx(0.4)
    assert found.low < 0.4 < found.high
    same = np.zeros((40, 100), bool)
    same[:, :5] = True
    assert measures.coverage_interval(same, measures.resamples(40, 500), 100) == pytest.approx((0.05, 0.05, 0.05))
