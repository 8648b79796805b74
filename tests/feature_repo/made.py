"""A small catalogue with features, and people with rows, made from a seed."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from feature_repo import views
from feature_repo.columns import ItemColumns
from feature_repo.item_vectors import HeldVectors
from operators.contract import Row, View
from operators.time import DAY
from schemas.events import Item

T0 = 1_767_225_600_000
DIM = 6
CATEGORIES = [f"c{n}" for n in range(5)]
BRANDS = [f"b{n}" for n in range(3)]
TYPES = len(views.ITEM_TYPES)


def item(rng: random.Random, n: int) -> Item:
    return Item(
        f"i{n}", f"Title {n}", rng.sample(CATEGORIES, rng.randrange(4)), rng.choice([None, *BRANDS]),
        rng.choice([None, 9.99]), rng.choice([None, T0 - rng.randrange(900) * DAY, T0 + DAY]), rng.random() < 0.8,
    )  # fmt: skip


def vector(rng: random.Random) -> np.ndarray:
    found = np.array([rng.gauss(0, 1) for _ in range(DIM)])
    return (found / np.linalg.norm(found)).astype(np.float32)


def feature_row(view: View[Any], key: tuple[str, ...], **values: Any) -> Row:
    """A row of the view with the fields' defaults but for `values`."""
    assert set(values) <= {f.name for f in view.fields}
    return Row(view.name, key, tuple(values.get(f.name, f.default) for f in view.fields))


def item_row(rng: random.Random, id: str, region: str = "") -> Row:
    values = {
        "events_7d": [rng.randrange(50) for _ in range(TYPES)],
        "ctr_7d": rng.random(),
        "popularity": rng.uniform(-100, 300),
    }
    return (
        feature_row(views.item_region, (id, region), **values) if region else feature_row(views.item, (id,), **values)
    )


def columns(seed: int, n: int = 40) -> tuple[ItemColumns, dict[str, Item], dict[tuple[str, ...], Row]]:
    """Columns grown from a capacity of 4; a few items have no entry, a few no features."""
    rng = random.Random(seed)
    made, items, rows = ItemColumns(4), {}, {}
    for k in range(n):
        if rng.random() < 0.9:
            items[f"i{k}"] = item(rng, k)
            made.put_item(items[f"i{k}"])
        if rng.random() < 0.8 or f"i{k}" not in items:
            rows[f"i{k}",] = item_row(rng, f"i{k}")
            made.put_features(rows[f"i{k}",])
        for region in ("DE", "FR"):
            if rng.random() < 0.3:
                rows[f"i{k}", region] = item_row(rng, f"i{k}", region)
                made.put_features(rows[f"i{k}", region])
    return made, items, rows


def vectors(seed: int, n: int = 40) -> HeldVectors:
    """Vectors of the first rows of `columns`, a few of them missing, in the space "s1"."""
    rng = random.Random(seed + 1000)
    rows = [vector(rng) if rng.random() < 0.9 else np.zeros(DIM, np.float32) for _ in range(n - 2)]
    return HeldVectors("s1", np.array(rows, np.float32))


def person(seed: int) -> dict[str, Any]:
    """A row of user_activity as a reader gives it."""
    rng = random.Random(seed)
    row = {f.name: f.default for f in views.user.fields}
    names = rng.sample([*CATEGORIES, "gone"], rng.randrange(5))
    brands = rng.sample(BRANDS, rng.randrange(3))
    recent = [f"i{rng.randrange(60)}" for _ in range(rng.choice([0, 5, 30]))]
    return row | {
        "category_affinity": names,
        "category_affinity_scores": [rng.uniform(-1, 1) for _ in names],
        "brand_affinity": brands,
        "brand_affinity_scores": [rng.uniform(-1, 1) for _ in brands],
        "session_categories": rng.sample(CATEGORIES, rng.randrange(4)),
        "session_items": rng.randrange(10),
        "recent_items": recent,
        "recent_types": [rng.choice(views.user.aggregations[0].types) for _ in recent],
        "recent_times": [T0 - n for n in range(len(recent))],
        "recent_tastes": [rng.choice([-3.0, 0.0, 0.5, 3.0]) for _ in recent],
        "vector": vector(rng).tolist() if rng.random() < 0.8 else [],
        "vector_space": "s1",
    }
