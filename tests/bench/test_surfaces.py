"""The figures of the benchmark of surfaces, and what makes it unsound."""

from __future__ import annotations

import random

import numpy as np
import pytest

from bench import surfaces
from bench.filters import FilteredCatalogue
from bench.surfaces import SurfaceCase
from recommend.pipeline import Pipeline
from recommend.surfaces import SURFACES, home, similar
from schemas.clock import now_ms
from schemas.events import Item
from tests.serving.made import catalogue, met, person, popular


def case(of: object, whole: float, parts: float) -> SurfaceCase:
    return SurfaceCase(of, [], whole_ms=[whole] * 100, parts_ms=[parts] * 100)  # type: ignore[arg-type]


def test_the_worst_ratio_counts_and_small_parts_are_not_rounded_away() -> None:
    found = surfaces.report([case(home, 4, 2), case(similar, 0.01, 0.004)], 1000)
    assert found.document()["p50_ratios"] == {"home": 2.0, "similar": 2.5}
    assert found.document()["p50_ratio"] == found.document()["p99_ratio"] == 2.5
    assert found.status == 0


@pytest.mark.parametrize(("fault", "value"), [("degraded", {"model: it failed"}), ("empty", 2)])
def test_answers_that_fell_back_or_are_empty_are_unsound(fault: str, value: object) -> None:
    cases = [case(home, 4, 2), case(similar, 4, 2)]
    setattr(cases[1], fault, value)
    found = surfaces.report(cases, 1000)
    assert found.status == 1
    assert found.failures[0].startswith("similar: ")


@pytest.fixture(scope="module")
def world() -> FilteredCatalogue:
    rng = np.random.default_rng(2)
    vectors, n = rng.normal(size=(400, 4)), 400
    items = [Item(f"i{k}", f"word{k}", [f"c{k % 9}"]) for k in range(n)]
    made = catalogue(items, {f"i{k}": vectors[k].tolist() for k in range(n)})
    popular(made, {f"i{k}": float(-k) for k in range(n)})
    popular(made, {f"i{k}": float(-k) for k in range(n)}, surfaces.REGION)
    made.columns.events_7d[:100] = 5
    row = person(vector=vectors[0] / np.linalg.norm(vectors[0]), vector_space=made.space.id, **met(["i0"]))
    return FilteredCatalogue(made, Pipeline(made.columns, made.model), [row], np.ones(n, bool))


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_every_surface_is_measured_against_parts_of_its_own(world: FilteredCatalogue, surface: object) -> None:
    chance, now = random.Random(1), now_ms()
    surfaces.buy_together(world, now, chance)
    asked = surfaces.asked_of(world, chance)
    found = SurfaceCase(surface, asked)  # type: ignore[arg-type]
    found.parts = [
        surfaces.parts_of(found.surface, surfaces.query_of(world, each, now, found.surface), world) for each in asked
    ]
    assert all(found.parts)
    whole, parts = surfaces._ask(found, world, chance, now, 5)
    assert len(whole) == len(parts) == 5
    assert min(parts) > 0
    assert found.empty == 0


def test_the_parts_of_a_list_are_the_searches_that_it_makes(world: FilteredCatalogue) -> None:
    asked = surfaces.asked_of(world, random.Random(1))[0]
    with surfaces.recorded() as found:
        world.pipeline.recommend(similar, surfaces.query_of(world, asked, now_ms(), similar))
    kinds = [kind for kind, _ in found]
    assert kinds.count("search") == 1
    assert "gather" in kinds
    (search,) = (part for kind, part in found if kind == "search")
    assert len(search()[0]) >= similar.paging.depth
