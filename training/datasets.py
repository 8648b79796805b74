"""MovieLens-100K as typed events, read from the copy inside the installed `recbole` wheel.

943 people, 1,682 films, 100,000 ratings from September 1997 to April 1998 (GroupLens; Harper and
Konstan, TiiS 2015). A rating stays a `rating`; nothing is invented: a film's genres are its
categories, its year an attribute, and a person's region is the first digit of their zip code.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import msgspec

from schemas.errors import FreshetError
from schemas.events import Event, Interaction, Item, User

NAME = "ml-100k"
YEAR_AT_END = re.compile(r"\((\d{4})\)$")


class DatasetMissing(FreshetError):
    """The data set is not installed."""


class Dataset(NamedTuple):
    """Items and users in the order of the files, interactions in order of time."""

    items: list[Item]
    users: list[User]
    interactions: list[Interaction]


def movielens(folder: Path | None = None) -> Dataset:
    """MovieLens-100K; ratings of the same second keep the file's order.

    `folder` holds `ml-100k.inter`, `.item` and `.user`; None is the one inside recbole.
    Raises DatasetMissing where the files are absent.
    """
    folder = folder or _installed()
    users = [_user(row) for row in _rows(folder, "user")]
    regions = {user.user_id: region(str(user.attributes.get("zip_code", ""))) for user in users}
    interactions = [_rating(row, regions) for row in _rows(folder, "inter")]
    interactions.sort(key=lambda event: event.timestamp)
    return Dataset([_item(row) for row in _rows(folder, "item")], users, interactions)


def region(zip_code: str) -> str:
    """The first digit of a zip code, as in "zip-9"; "" where it does not start with one."""
    return f"zip-{zip_code[0]}" if zip_code[:1].isdigit() else ""


def write(dataset: Dataset, folder: Path) -> dict[str, Path]:
    """Writes `items`, `users` and `interactions` as `<name>.jsonl.gz` for `freshet import`; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return {name: _write(folder / f"{name}.jsonl.gz", events) for name, events in dataset._asdict().items()}


def _write(path: Path, events: Sequence[Event]) -> Path:
    encode = msgspec.json.Encoder().encode
    # A fixed time in the header, so that the same events make the same file and an import resumes.
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
        file.writelines(encode(event) + b"\n" for event in events)
    return path


def _installed() -> Path:
    package = find_spec("recbole")  # its code is not imported: it would want torch
    for base in (package.submodule_search_locations or []) if package else []:
        folder = Path(base) / "dataset_example" / NAME
        if folder.is_dir():
            return folder
    raise DatasetMissing("MovieLens-100K comes with the package recbole, which is absent: run `make setup`")


def _rows(folder: Path, kind: str) -> Iterator[dict[str, str]]:
    """One dict a line; a RecBole header says `name:type`."""
    path = folder / f"{NAME}.{kind}"
    try:
        file = path.open(newline="", encoding="utf-8")
    except OSError as error:
        raise DatasetMissing(f"{path.name}: {error.strerror}; run `make setup`") from None
    with file:
        lines = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        names = [column.split(":")[0] for column in next(lines)]
        for line in lines:
            yield dict(zip(names, line, strict=True))


def _rating(row: dict[str, str], regions: dict[str, str]) -> Interaction:
    user, item = row["user_id"], row["item_id"]
    where = regions.get(user, "")
    return Interaction(
        event_id=f"ml-{user}-{item}",
        event_type="rating",
        user_id=user,
        timestamp=int(float(row["timestamp"]) * 1000),
        item_id=item,
        properties={"rating": float(row["rating"])} | ({"region": where} if where else {}),
    )


def _item(row: dict[str, str]) -> Item:
    titled = YEAR_AT_END.search(row["movie_title"])  # some titles have kept their year
    text = titled[1] if titled else row["release_year"]
    year = int(text) if text.isdigit() else None
    return Item(
        item_id=row["item_id"],
        title=row["movie_title"],
        categories=[genre for genre in row["class"].split() if genre != "unknown"],
        created_at=int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000) if year else None,
        attributes={"year": year} if year else {},
    )


def _user(row: dict[str, str]) -> User:
    return User(
        user_id=row["user_id"],
        attributes={
            "age": int(row["age"]),
            "gender": row["gender"],
            "occupation": row["occupation"],
            "zip_code": row["zip_code"],
        },
    )
