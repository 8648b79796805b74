"""What a made server logs of its feeds is found again by a replay, however late its rows of items are."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from feature_repo.columns import ItemColumns
from feature_repo.ranking import NAMES, matrix
from feature_repo.views import item_operator, user, user_operator
from operators.contract import Record
from operators.space import BundleSpace
from operators.time import DAY, MINUTE
from schemas import bundle
from schemas.events import Impression, Interaction, Item, User
from schemas.topics import IMPRESSIONS, INTERACTIONS, USERS
from serving.query import FeedRequest, ranking_of
from tests.bundles import write_bundle
from training.consistency import compare
from training.live import LiveColumns
from training.replay import Catalogue, Replay

T0 = 1_767_225_600_000
ITEMS = [Item(f"i{n}", f"Title {n}", [f"c{n % 4}"], f"b{n % 3}", created_at=T0 - n * DAY) for n in range(30)]
WRITE_MS = 1000
DEFAULTS = {f.name: f.default for f in user.fields}


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    write_bundle(tmp_path, [i.item_id for i in ITEMS[:25]], served=True)
    return tmp_path


def served(bundles: Path, seed: int, n: int = 300) -> list[Record]:
    """The archive of a job and a server: people act and ask for feeds; each item's row comes at a boundary of its own,
    and some feeds are made while the person's last event is still under way."""
    rng = random.Random(seed)
    world = Catalogue(ITEMS)
    space = BundleSpace.of(bundle.load(bundles / "test"), world.item)
    world.space = space
    replay = Replay(user_operator(world, None), item_operator(world))
    columns = ItemColumns(space.dim)
    for item in ITEMS:
        columns.put_item(item, space.vector(item.item_id))
    fresh = LiveColumns(replay, columns.only([i.item_id for i in ITEMS]))
    found: list[Record] = []
    shown_to: dict[str, tuple[int, dict[str, Any]]] = {}
    clock, written = T0, dict.fromkeys([i.item_id for i in ITEMS], T0)
    offset = 0

    def taken(event: Any, topic: str, at: int, place: int) -> None:
        record = Record(event, topic, 0, place, at // 1000 * 1000 + 999)
        found.append(record)
        fresh.hear(replay.feed(record))

    for who in ("u1", "u2", "u9"):
        taken(User(who, interests=["c1"], consent=who != "u9"), USERS, clock, len(found))
    for k in range(n):
        clock += rng.choice([5, 40, 200, 900, 20 * MINUTE if rng.random() < 0.05 else 100])
        for item_id, at in written.items():
            # A row is written when its boundary has passed: each item's is its own.
            if clock - at > WRITE_MS + 37 * int(item_id[1:]) % 500:
                written[item_id] = clock
                copied = fresh.at(clock).only([item_id])
                to = columns.row(item_id)
                for name, values in copied._arrays.items():
                    columns._arrays[name][to] = values[0]
                for region, values in copied.region_popularity.items():
                    own = columns.region_popularity.setdefault(region, np.full(len(columns._arrays["hashes"]), -1e9))
                    own[to] = values[0]
                columns.leaders = {"": float(columns.popularity.max())} | {
                    region: float(own.max()) for region, own in columns.region_popularity.items()
                }
        who = f"u{rng.randrange(10)}"
        if rng.random() < 0.3:
            if clock - shown_to.get(who, (0, DEFAULTS))[0] > WRITE_MS:
                shown_to[who] = clock, replay.user_row(who, clock) if (who, "") in replay.users else DEFAULTS
            _, person = shown_to[who]
            offered = person if person["consent"] else DEFAULTS | {"consent": False}
            items = [i.item_id for i in rng.sample(ITEMS, 5)]
            region = rng.choice(["", "DE"])
            request = ranking_of(FeedRequest(offered, clock, region), columns, space)
            logged = matrix(request, columns.rows(items)).tobytes()
            applied = person["applied_offset"] if person["applied_offset"] >= 0 else None
            shown = Impression(
                f"r{k}", who, clock, items, region=region or None, model_version="test", features=logged,
                applied_offset=applied,
            )  # fmt: skip
            taken(shown, IMPRESSIONS, clock + 60, len(found))
        else:
            kind = rng.choice(["click", "view", "like", "dislike"])
            properties = {"region": rng.choice(["DE", ""])}
            did = Interaction(f"e{k}", kind, who, clock, f"i{rng.randrange(30)}", properties=properties)
            offset += 1
            taken(did, INTERACTIONS, clock, offset)
    end = Interaction("end", "click", "nobody", clock + MINUTE, "i1")
    taken(end, INTERACTIONS, clock + MINUTE, offset + 1)
    order = {USERS: 0, IMPRESSIONS: 1, INTERACTIONS: 2}
    return sorted(found, key=lambda r: (r.arrived, order[r.topic], r.offset))


def compared(records: list[Record], bundles: Path) -> Any:
    return compare(lambda: records, ITEMS, lambda version: bundle.load(bundles / version), within=2 * WRITE_MS)


@pytest.mark.parametrize("seed", range(4))
def test_what_was_served_is_found_again(bundles: Path, seed: int) -> None:
    report = compared(served(bundles, seed), bundles)
    assert report.impressions > 60
    assert {row.name: row.different for row in report.rows if row.different} == {}
    assert report.overall.share > 0.99, report
    assert report.overall.fresh > 0, "rows of items are late"
    assert [row.name for row in report.rows] == list(NAMES)


def test_what_was_not_served_so_is_different(bundles: Path) -> None:
    records = served(bundles, 1)
    place = NAMES.index("history")

    def wrong(record: Record) -> Record:
        if not isinstance(record.event, Impression):
            return record
        logged = np.frombuffer(record.event.features or b"", "<f4").reshape(5, -1).copy()
        logged[0, place] += 0.5
        return record._replace(event=structs.replace(record.event, features=logged.tobytes()))

    report = compared([wrong(record) for record in records], bundles)
    assert {row.name: row.different for row in report.rows if row.different} == {"history": report.impressions}


def test_what_cannot_be_compared_is_counted_by_its_reason(bundles: Path) -> None:
    records = served(bundles, 2)

    def other(record: Record, **change: Any) -> Record:
        shown = isinstance(record.event, Impression)
        return record._replace(event=structs.replace(record.event, **change)) if shown else record

    gone = compare(lambda: records, ITEMS, lambda version: None)
    assert (gone.impressions, list(gone.skipped)) == (0, ["their bundle is gone"])
    unknown = compared([other(record, applied_offset=10**6) for record in records], bundles)
    assert (unknown.impressions, list(unknown.skipped)[-1]) == (
        0,
        "the events that they knew of are not in the archive",
    )
    narrow = compared([other(record, features=bytes(20)) for record in records], bundles)
    assert list(narrow.skipped) == ["their ranker had other inputs"]
    assert narrow.overall.share == 1.0
