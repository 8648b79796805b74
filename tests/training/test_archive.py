"""The archive is read back as it was written, and a backfill over it has the states and rows of the log itself."""

from __future__ import annotations

import random
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo.builders import item_operator, user_operator
from feature_repo.repository import Repository
from operators import cells
from operators.contract import MARK, Record, Row
from operators.features import Count, Feature, LastK, Rate, TopK, event, item, session, user, user_category
from operators.time import DAY, HOUR, days, hours
from schemas.events import Impression, Interaction, User
from schemas.topics import IMPRESSIONS, INTERACTIONS, USERS
from streams import archive as written
from streams.backfilled import Backfilled
from tests.operators.records import World
from training import archive, backfill
from training.backfill import Backfill, RowFiles, write_seeds
from training.replay import Replay

T0 = 1_767_225_600_000
click = event.event_type == "click"
FEATURES: dict[Any, tuple[Feature, ...]] = {
    user: (
        Count("clicks_1h", entity=user, events=click, window=hours(1)),
        LastK("last", entity=user, of=event.item_id, k=3),
        LastK("clicked", entity=user, of=click, k=3),
    ),
    item: (
        Rate("ctr", entity=item, top=click, bottom=event.event_type == "impression", window=days(1), prior=(1, 20)),
    ),
    user_category: (TopK("types", entity=user_category, of=event.event_type, k=3),),
}
DECLARED = Repository(FEATURES)


def log(n: int = 300) -> list[Record]:
    rng, found = random.Random(3), []
    for k in range(n):
        at = T0 + k * HOUR // 4
        arrived = at + rng.randrange(2 * DAY)
        taken = at + 3 * DAY  # the job was behind, with one partition more than with another
        who = f"u{rng.randrange(5)}"
        if k % 7 == 0:
            shown = Impression(f"r{k}", who, at, ["i1", f"i{rng.randrange(6)}"], region="DE")
            found.append(Record(shown, IMPRESSIONS, 0, k, arrived, taken))
        elif k % 50 == 1:
            found.append(Record(User(who, {"country": "DE"}), USERS, 0, k, arrived, taken))
        else:
            properties = {"region": "DE", "price": rng.choice([1, 2.5]), "query": 'a"b\n\u2028c'}
            kind = rng.choice(["click", "view", "purchase"])
            did = Interaction(f"e{k}", kind, who, at, f"i{rng.randrange(6)}", "s1", properties=properties)  # type: ignore[arg-type]
            found.append(Record(did, INTERACTIONS, k % 2, k, arrived, taken))
    return found


def write(folder: Path, records: list[Record], name: str = "part-0") -> None:
    """As Flink does: split by row and column, cast, in folders by topic and day."""
    kinds = {"BIGINT": pa.int64(), "INT": pa.int32(), "STRING": pa.string()}
    columns = list(written.COLUMNS.items())[:-2]
    texts = [row[0] for _, row in written.out(records)]
    rows = [line.split(written.COLUMN) for text in texts for line in text.split(written.ROW)]
    by_file: dict[Path, list[list[str]]] = {}
    for row in rows:
        day = datetime.fromtimestamp(int(row[9]) / 1000, UTC).date()
        by_file.setdefault(folder / f"topic={row[11]}" / f"day={day}" / name, []).append(row)
    for file, own in by_file.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        arrays = {
            column: pa.array([int(row[n]) if "INT" in kind else row[n] for row in own], kinds[kind])
            for n, (column, kind) in enumerate(columns)
        }
        pq.write_table(pa.table(arrays), file)


def test_what_was_archived_comes_back_in_its_order(tmp_path: Path) -> None:
    records = log()
    half = len(records) // 2
    write(tmp_path, records[half:], "part-1")
    write(tmp_path, records[:half])
    (tmp_path / "topic=interactions" / "day=2026-01-04" / ".part-9.inprogress").write_text("not yet")
    assert list(archive.read(archive.finished(tmp_path))) == records


def test_no_text_breaks_a_row(tmp_path: Path) -> None:
    """Ids hold no control characters; texts may."""
    odd = Interaction("e1", "search", "u1", T0, properties={"query": f"a{written.ROW}1{written.COLUMN}b"})
    record = Record(odd, INTERACTIONS, 0, 1, T0, T0)
    write(tmp_path, [record, record])
    assert list(archive.read(archive.finished(tmp_path))) == [record, record]
    (file,) = archive.finished(tmp_path)
    assert set(pq.read_table(file, partitioning=None)["user_id"].to_pylist()) == {"u1"}


def replayed(records: list[Record], emit: Any = None) -> Replay:
    driver = Replay(user_operator(World(), days(1), DECLARED), item_operator(World(), DECLARED), emit)
    for record in records:
        assert driver.feed(record) is not None
    return driver


def test_states_are_those_of_the_log_whatever_the_files(tmp_path: Path) -> None:
    records = log()
    write(tmp_path / "events", records[:200])
    before = archive.finished(tmp_path / "events")
    write(tmp_path / "events", records[200:], "part-1")
    filled = Backfill(DECLARED, World())
    filled.feed(archive.read(before))
    filled.feed(archive.read(archive.finished(tmp_path / "events") - before))
    assert filled.events == len(records)

    keys = write_seeds(tmp_path / "seeds.db", filled.states())
    driver = replayed(records)
    for operator, states in ((driver.user_operator, driver.users), (driver.item_operator, driver.items)):
        seeds = Backfilled(tmp_path / "seeds.db", operator.name)
        expected = {(key, part): state for (key, part), state in states.items() if part.startswith(MARK)}
        assert keys[operator.name] == {key for key, _ in expected}
        for key in keys[operator.name]:
            for part, blob in seeds.of(key):
                found, state = operator.decode(part, blob), expected.pop((key, part))
                assert operator.row(key, part, found, T0 + 90 * DAY) == operator.row(key, part, state, T0 + 90 * DAY)
                assert operator.row(key, part, found, found.watermark) == operator.row(
                    key, part, state, state.watermark
                )
        assert expected == {}
        assert seeds.of("nobody") == []
        seeds.close()


def test_no_file_is_no_seed(tmp_path: Path) -> None:
    assert Backfilled(tmp_path / "none.db", "user").of("u1") == []
    assert Backfilled(None, "user").of("u1") == []


def test_rows_are_every_emission_until_now(tmp_path: Path) -> None:
    records = log(120)
    write(tmp_path / "events", records)
    views = DECLARED.views
    now = records[-1].arrived + 2 * HOUR
    with RowFiles(tmp_path, [views["user_features"], views["user_category_features"]]) as files:
        filled = Backfill(DECLARED, World(), files.put)
        filled.feed(archive.read(archive.finished(tmp_path / "events")))
        filled.finish(now)

    expected: list[tuple[Row, int]] = []
    driver = replayed(records, lambda row, at: expected.append((row, at)))
    driver.finish(until=now)

    def fields(name: str, keys: int) -> list[pa.Field]:
        return list(pq.read_schema(tmp_path / f"{name}.parquet"))[keys + 1 :]

    for name in ("user_features", "user_category_features"):
        table = pq.read_table(tmp_path / f"{name}.parquet").to_pylist()
        last = {(row.key, at): row for row, at in expected if row.view == name}
        wanted = [(row, at) for (_, at), row in sorted(last.items())]
        table.sort(key=lambda found: (list(found.values())[: len(wanted[0][0].key)], found["event_timestamp"]))
        beginnings = [found for found in table if found["event_timestamp"].timestamp() == 0]
        assert {found["user_id"] for found in beginnings} == {row.key[0] for row, _ in wanted}
        assert files.written[name] == len(table) == len(wanted) + len({row.key for row, _ in wanted}) > 50
        table = [found for found in table if found not in beginnings]
        for found, (row, at) in zip(table, wanted, strict=True):
            assert found.pop("event_timestamp") == datetime.fromtimestamp(at / 1000, UTC)
            assert tuple(found.values())[: len(row.key)] == row.key
            kept = [
                pa.array([v], f.type)[0].as_py() for v, f in zip(row.values, fields(name, len(row.key)), strict=True)
            ]
            assert list(found.values())[len(row.key) :] == kept
    assert not (tmp_path / "item_features.parquet").exists()


def test_a_backfill_keeps_no_session_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "SWEPT_AFTER", 50)
    visits = Repository({session: (Count("depth", entity=session),)})
    filled, most = Backfill(visits, World()), 0
    for k in range(1000):
        at = T0 + k * HOUR
        view = Interaction(f"e{k}", "view", "u1", at, "i1", f"s{k}")
        filled.feed([Record(view, INTERACTIONS, 0, k, at)])
        most = max(most, len(filled._replay.items))
    assert most < 200
    filled.finish(T0 + 1000 * HOUR)
    states = list(filled.states())
    assert sum(operator == "item" for operator, *_ in states) == 47
    (ids,) = (part for operator, _, part, _ in states if operator == "user")
    assert "short_lived" in ids


def test_profiles_end_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "SWEPT_AFTER", 10)
    filled = Backfill(Repository({session: (Count("depth", entity=session),)}), World())
    for k in range(100):
        said = Interaction(f"e{k}", "view", "u1", T0 + k, "i1", "s1") if k in (0, 1, 2, 99) else User(f"u{k}")
        filled.feed([Record(said, INTERACTIONS, 0, k, T0)])
    ((_, _, part, blob),) = (each for each in filled.states() if each[0] == "item")
    operator = filled._replay.item_operator
    assert operator.row("s1", part, operator.decode(part, cells.unpack(blob)), T0).values == (4,)


def test_who_is_asked_about_before_their_first_event_stays_in_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is read is what nothing is known of."""
    pd = pytest.importorskip("pandas")
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    from feature_repo.features import entity, feature_view

    monkeypatch.setenv("FRESHET_HOME", str(tmp_path))
    views = DECLARED.views
    (tmp_path / "archive").mkdir()
    with RowFiles(tmp_path / "archive", [views["user_features"]]) as files:
        files.put(Row("user_features", ("u1",), (1, ["i1"], [True, False])), T0)
    where = {"registry": str(tmp_path / "registry.db"), "online_store": {"path": str(tmp_path / "online.db")}}
    settings = {"project": "freshet", "provider": "local", "entity_key_serialization_version": 3}
    store = FeatureStore(config=RepoConfig(**settings, **where))
    store.apply([entity("user"), feature_view(views["user_features"])])
    names = [f"user_features:{name}" for name in ("clicks_1h", "last", "clicked")]
    asked = pd.DataFrame(
        {
            "user_id": ["u1", "u1", "nobody"],
            "event_timestamp": pd.to_datetime([T0 - HOUR, T0 + HOUR, T0], unit="ms", utc=True),
        }
    )
    found = store.get_historical_features(asked, features=names).to_df()
    by = {(row.user_id, row.event_timestamp < pd.Timestamp(T0, unit="ms", tz="UTC")): row for row in found.itertuples()}
    assert len(found) == 3
    assert (by["u1", True].clicks_1h, list(by["u1", True].last)) == (0, [])
    assert (by["u1", False].clicks_1h, list(by["u1", False].last)) == (1, ["i1"])
    assert list(by["u1", False].clicked) == [True, False]
    assert pd.isna(by["nobody", False].clicks_1h)


def test_of_several_rows_as_of_one_moment_the_last_is_written(tmp_path: Path) -> None:
    view = DECLARED.views["user_features"]
    with RowFiles(tmp_path, [view]) as files:
        for n, (who, at) in enumerate([("u1", T0), ("u2", T0), ("u1", T0), ("u1", T0 + 1), ("u2", T0), ("u1", T0 + 1)]):
            files.put(Row("user_features", (who,), (n, [], [])), at)
    found = pq.read_table(tmp_path / "user_features.parquet").to_pylist()
    rows = [(row["user_id"], row["event_timestamp"].timestamp() * 1000, row["clicks_1h"]) for row in found]
    assert sorted(rows) == [("u1", 0, 0), ("u1", T0, 2), ("u1", T0 + 1, 5), ("u2", 0, 0), ("u2", T0, 4)]


def test_a_backfill_that_fails_leaves_the_old_rows(tmp_path: Path) -> None:
    view = DECLARED.views["user_features"]
    with RowFiles(tmp_path, [view]) as files:
        files.put(Row("user_features", ("u1",), (1, [], [])), T0)
    with pytest.raises(ValueError, match="stop"), RowFiles(tmp_path, [view]) as files:
        raise ValueError("stop")
    assert pq.read_table(tmp_path / "user_features.parquet").num_rows == 2
    assert [path.name for path in tmp_path.iterdir()] == ["user_features.parquet"]


def test_seeds_replace_the_old_ones_whole(tmp_path: Path) -> None:
    file = tmp_path / "seeds.db"
    write_seeds(file, [("user", "u1", "p", cells.pack({"state": b"1"}))])
    with pytest.raises(sqlite3.IntegrityError):
        write_seeds(file, [("user", "u2", "p", b"1"), ("user", "u2", "p", b"2")])
    assert Backfilled(file, "user").of("u1") == [("p", {"state": b"1"})]


def test_a_deleted_row_is_one_of_defaults_and_rows_keep_their_order(tmp_path: Path) -> None:
    view = DECLARED.views["user_features"]
    defaults = tuple(field.default for field in view.fields)
    known = tuple(7 if field.dtype == "int64" else field.default for field in view.fields)
    assert known != defaults
    with RowFiles(tmp_path, [view]) as files:
        files.put(Row(view.name, ("u1",), known), T0)
        files.put(Row(view.name, ("u1",), ()), T0 + 5)
        files.put(Row(view.name, ("u1",), known), T0 + 1)  # happened before, and was taken after
        files.put(Row(view.name, ("u2",), known), T0)
        files.put(Row(view.name, ("u2",), ()), T0 + 1)
    rows = pq.read_table(tmp_path / "user_features.parquet").to_pylist()
    times = [row["event_timestamp"].timestamp() * 1000 for row in rows if row["user_id"] == "u1"]
    assert times == [0, T0, T0 + 5]
    (last,) = [row for row in rows if row["user_id"] == "u2" and row["event_timestamp"].timestamp() * 1000 == T0 + 1]
    assert tuple(last[field.name] for field in view.fields) == defaults
