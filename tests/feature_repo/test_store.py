"""The online store, real and away: what the job writes is what a stock Feast client and the server read."""

from __future__ import annotations

import os
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
import yaml
from feast import FeatureStore
from feast.protos.feast.types import Value_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp
from redis.exceptions import RedisError

from feature_repo import builders, features, on_demand, registry, store, views
from feature_repo.candidates import Candidates, Request
from feature_repo.columns import ItemColumns
from feature_repo.store import UserReader, Writer
from feature_repo.stored_people import people
from feature_repo.values import ENCODE
from feature_repo.views import CONSENT, MET_BEFORE, OF_OTHERS
from freshet.features import feast
from freshet.local.ports import free_ports
from freshet.local.redis import Redis
from freshet.local.stack import Stack
from freshet.settings import Settings
from operators.attribution import Attribution
from operators.contract import Record, Row
from operators.keyed import UserOperator
from operators.seen import seen_hashes
from operators.time import HOUR, MINUTE
from schemas.clock import now_ms
from schemas.events import Impression, Interaction, Item, User
from tests.feature_repo.made import T0
from tests.operators.signals import ITEMS, MadeSpace
from training.replay import KnownItems, Replay

FOLDER = Path(features.__file__).parent
FEAST = Path(sys.executable).parent / "feast"
DECLARED = registry.declared()


def rows() -> dict[tuple[str, ...], Row]:
    """(view, key…) → the last row that the operators make of a small log."""
    rng = random.Random(4)
    items = [Item(id, f"Title {id}", [f"c{n % 3}"], "b1", 9.99, T0) for n, id in enumerate(ITEMS)]
    emitted: list[Row] = []
    world = KnownItems(items, MadeSpace("one"))
    replay = Replay(
        builders.user_operator(world, declared=DECLARED, attribution=Attribution()),
        builders.item_operator(world, DECLARED),
        lambda row, at: emitted.append(row),
    )
    for item in items:
        replay.feed(Record(item))
    replay.feed(Record(User("u0", {"country": "DE"}, ["c1"], consent=True)))
    for n in range(60):
        person, at = f"u{n % 5}", T0 + n * MINUTE
        if n % 7 == 0:
            replay.feed(Record(Impression(f"r{n}", person, at, list(ITEMS[:3]), region="DE")))
        kind = "purchase" if n % 3 else "click"
        event = Interaction(f"e{n}", kind, person, at, rng.choice(ITEMS), properties={"region": "DE"})
        replay.feed(Record(event, "interactions", n % 5, n))
    for n in range(5):
        said = {"control": "not_category", "category": f"c{n}"}
        event = Interaction(f"c{n}", "feedback", f"u{n}", T0 + 60 * MINUTE, properties=said)
        replay.feed(Record(event, "interactions", n, 60 + n))
        event = Interaction(f"f{n}", "follow", f"u{n}", T0 + 61 * MINUTE, properties={"followed": f"u{(n + 1) % 5}"})
        replay.feed(Record(event, "interactions", n, 65 + n))
        shown = Impression(
            f"x{n}", f"u{n}", T0 + 62 * MINUTE, list(ITEMS), explored=[n], contexts=struct.pack("<2f", 1, n),
            context_id=f"c{n}", images=["a.jpg"] * len(ITEMS), segment="drama",
        )  # fmt: skip
        replay.feed(Record(shown))
    return {(row.view, *row.key): row for row in emitted}


ROWS = rows()
SERVICE = {
    "user_feed": "user_activity",
    "user_session": "user_activity",
    "item_stats": "item_activity",
    "item_region_stats": "item_region_activity",
    "item_together": "item_cooccurrence",
    "item_explored": "item_exploration",
    "policy_state": "policy_model",
}


def run(config: Path, *words: str) -> str:
    """Stock Feast's own program, in the repository's folder."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("FRESHET_")}
    done = subprocess.run(
        [FEAST, "-f", str(config), *words], cwd=FOLDER, env=env, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def config(stack: Stack) -> Path:
    """The repository, applied by `feast apply` to the stack's Redis and a registry of its own."""
    found = feast.write_config(stack.settings)
    run(found, "apply")
    return found


@pytest.fixture(scope="module")
def writer(config: Path) -> Iterator[Writer]:
    """Has written ROWS."""
    with closing(Writer(config, declared=DECLARED, clock=now_ms)) as found:
        found.write(ROWS.values())
        yield found


@pytest.fixture(scope="module")
def stock(config: Path) -> Iterator[FeatureStore]:
    """A stock Feast client, knowing nothing of ours but the configuration."""
    client = FeatureStore(repo_path=str(FOLDER), fs_yaml_file=config)
    yield client
    store.close(client)


@pytest.fixture(scope="module")
def reader(config: Path) -> Iterator[UserReader]:
    with closing(UserReader(config, timeout_s=5, reads=DECLARED.reads)) as found:
        yield found


def about(view: str, found: Any) -> Any:
    """A row as a stock client may give it: a float32 has seven digits, and an empty list may be none at all."""
    fields = {f.name: f for f in features.DECLARED[view].fields}
    return {
        name: (value or None)
        if fields[name].dtype.endswith("[]") and not value
        else pytest.approx(value, rel=1e-6) if fields[name].dtype.startswith("float") else value
        for name, value in found.items()
    }  # fmt: skip


def test_the_programs_list_knows_what_was_declared(config: Path) -> None:
    said = run(config, "feature-views", "list")
    assert all(name in said for name in features.DECLARED)


def test_the_registry_knows_keys_and_services(config: Path, stock: FeatureStore) -> None:
    assert {v.name: v.join_keys for v in stock.list_feature_views()} == {
        v.name: [f"{e}_id" for e in v.entities] for v in features.DECLARED.values()
    }
    assert {s.name for s in stock.list_feature_services()} == set(SERVICE) | set(registry.declared().views)


@pytest.mark.parametrize(("service", "view"), SERVICE.items())
def test_a_stock_client_reads_what_was_written(writer: Writer, stock: FeatureStore, service: str, view: str) -> None:
    declared = features.DECLARED[view]
    keys = [key[1:] for key in ROWS if key[0] == view]
    assert len(keys) > 4
    entity_rows = [{f"{e}_id": part for e, part in zip(declared.entities, key, strict=True)} for key in keys]
    found = stock.get_online_features(features=stock.get_feature_service(service), entity_rows=entity_rows).to_dict()
    names = [f.name for f in declared.fields if f.name in found]
    internal = {f.name for f in declared.fields if f.dtype == "bytes"} | {"vector", "vector_space"}
    assert set(names) >= {f.name for f in declared.fields} - internal
    for n, key in enumerate(keys):
        expected = dict(zip([f.name for f in declared.fields], ROWS[view, *key].values, strict=True))
        read = {name: found[name][n] for name in names}
        read = {name: value if value != [] else None for name, value in read.items()}
        assert read == about(view, {name: expected[name] for name in names})


def test_a_stock_client_reads_one_feature_by_its_name(writer: Writer, stock: FeatureStore) -> None:
    found = stock.get_online_features(
        features=["user_activity:events_7d", "user_activity:country"], entity_rows=[{"user_id": "u0"}, {"user_id": "?"}]
    )
    assert found.to_dict()["country"] == ["DE", None]
    assert sum(found.to_dict()["events_7d"][0]) == 12


def test_the_servers_reader_reads_the_same(writer: Writer, reader: UserReader) -> None:
    for n in range(5):
        found = reader.read(f"u{n}", attributes=True)
        assert found is not None
        expected = dict(zip([f.name for f in views.user.fields], ROWS["user_activity", f"u{n}"].values, strict=True))
        controls = ROWS["user_controls", f"u{n}"].values
        expected |= dict(zip([f.name for f in views.user_controls.fields], controls, strict=True))
        follows = ROWS["user_follows", f"u{n}"].values
        expected |= dict(zip([f.name for f in views.user_follows.fields], follows, strict=True))
        assert expected["control_targets"] == [f"c{n}"]
        assert expected["follow_ids"] == [f"u{(n + 1) % 5}"]
        assert {name for name in found if ":" not in name} == set(expected)
        for value in DECLARED.reads.user:
            row, names = ROWS[value.entity.view, f"u{n}"], [f.name for f in DECLARED.view(value.entity).fields]
            expected[value.key] = row.values[names.index(value.field.name)]
        floats = {f.name for f in views.user.fields if f.dtype.startswith("float")}
        for name, value in expected.items():
            assert found[name] == (pytest.approx(value, rel=1e-6) if name in floats else value), name


def test_what_was_shown_is_read_where_it_is_asked_for(writer: Writer, reader: UserReader) -> None:
    shown = dict(zip([f.name for f in views.user_shown.fields], ROWS["user_shown", "u0"].values, strict=True))
    found = reader.read("u0", shown=True)
    assert found is not None
    assert {name: found[name] for name in shown} == shown
    left = reader.read("u0")
    assert left is not None
    assert not set(shown) & set(left)


def test_all_people_are_found_and_nothing_else(writer: Writer, config: Path) -> None:
    found = set(people(config))
    assert {f"u{n}" for n in range(5)} <= found
    assert not {key[0] for view, *key in ROWS if views.item.name == view} & found
    assert any(row.view == "user_category_features" for row in ROWS.values()), "there are rows of pairs, too"


def test_the_servers_reader_gives_what_the_feature_service_gives(
    writer: Writer, reader: UserReader, stock: FeatureStore
) -> None:
    """The reader asks the online store without `get_online_features`: value for value it must be the same."""
    service = stock.get_feature_service("user_feed")
    for person in ("u0", "u1", "u2", "u3", "u4"):
        found = stock.get_online_features(features=service, entity_rows=[{"user_id": person}]).to_dict()
        assert found.pop("user_id") == [person]
        read = reader.read(person)
        assert read is not None
        assert {name.rpartition(":")[2]: value for name, value in read.items()} == {
            "profile_attributes": b"",  # read where asked for
            **{name: value for name, (value,) in found.items()},
        }


def test_pairs_are_read_at_once_and_are_those_of_a_stock_client(
    writer: Writer, reader: UserReader, stock: FeatureStore
) -> None:
    (view, values), *others = DECLARED.reads.pairs.items()
    assert not others
    names = [value.field.name for value in values]
    found = reader.read_pairs("u1", {view: ["c0", "c1", "never", "c2"]})[view]
    assert list(found) == ["c0", "c1", "c2"]
    rows = [{"user_id": "u1", "category_id": name} for name in found]
    said = stock.get_online_features(features=[f"{view}:{name}" for name in names], entity_rows=rows).to_dict()
    assert [row[name] for name in names for row in found.values()] == [each for name in names for each in said[name]]
    assert reader.read_pairs("nobody", {view: ["c0"]}) == {view: {}}


def test_a_stock_client_computes_the_rankers_declared_inputs(
    writer: Writer, reader: UserReader, stock: FeatureStore
) -> None:
    """Beside the crosses themselves over the rows that were written, read as the server reads them."""
    able = on_demand.crosses()
    assert able
    items = [key[1] for key in ROWS if key[0] == "item_features"]
    rows = [{"user_id": f"u{n % 5}", "item_id": item} for n, item in enumerate([*items, "never"])]
    found = stock.get_online_features(features=[f"crosses:{cross.name}" for cross in able], entity_rows=rows).to_dict()
    columns = ItemColumns(1, DECLARED.reads)
    for key in ROWS:
        if key[0] == "item_features":
            names = [f.name for f in DECLARED.views["item_features"].fields]
            columns.put_values(key[1], dict(zip(names, ROWS[key].values, strict=True)))
    columns.row("never")
    for n, row in enumerate(rows):
        person = reader.read(row["user_id"]) or {}
        candidates = Candidates(Request(person, columns, T0), columns.rows([row["item_id"]]))
        for cross in able:
            assert found[cross.name][n] == pytest.approx(cross(candidates)[0])


def test_rows_of_several_people_are_read_at_once(writer: Writer, reader: UserReader) -> None:
    found = reader.read_people(["u1", "nobody", "u3"])
    assert set(found) == {"u1", "u3"}
    for user_id, row in found.items():
        whole = reader.read(user_id)
        assert whole is not None
        assert set(row) == set(OF_OTHERS)
        assert all(np.array_equal(whole[name], value) for name, value in row.items())
    assert reader.read_people([]) == {}
    (met,) = reader.read_people(["u1"], MET_BEFORE).values()
    assert set(met) == set(MET_BEFORE)
    assert reader.read_people(["u1", "nobody"], CONSENT) == {"u1": {"consent": True, "consent_given": False}}
    assert list(seen_hashes(met)) == list(seen_hashes(reader.read("u1") or {}))
    assert len(seen_hashes(met))


def test_a_person_never_heard_of(writer: Writer, reader: UserReader) -> None:
    assert reader.read("nobody") is None


@pytest.mark.parametrize("way", ["_by_connection", "_by_pipeline"])
def test_rows_are_laid_out_as_feast_lays_them_out(
    way: str, config: Path, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte by byte, but for the time of writing: what a Feast of another version did differently would show here."""
    monkeypatch.setattr(writer, "_send", getattr(writer, way))
    found = FeatureStore(config=store.config(config))
    online: Any = found._get_provider().online_store
    client = online._get_client(found.config.online_store)
    for row in ROWS.values():
        view = DECLARED.views.get(row.view) or features.DECLARED[row.view]
        key = store._entity_key([f"{entity}_id" for entity in view.entities], row.key)
        (place,) = online._generate_redis_keys_for_entities(found.config, [key])
        values = {
            f.name: pb.Value.FromString(ENCODE[f.dtype](value))
            for f, value in zip(view.fields, row.values, strict=True)
        }
        data = [(key, values, datetime.now(UTC), None)]
        client.delete(place)
        writer.write([row])
        ours = client.hgetall(place)
        client.delete(place)
        online.online_write_batch(found.config, features.feature_view(view), data, None)
        feasts = client.hgetall(place)
        before, after = (Timestamp.FromString(cells.pop(f"_ts:{row.view}".encode())) for cells in (ours, feasts))
        assert ours == feasts
        assert len(ours) == len(view.fields)
        assert abs(after.ToMilliseconds() - before.ToMilliseconds()) < 60_000
    writer.write(ROWS.values())
    store.close(found)


def test_rows_expire_where_the_configuration_says_so(config: Path, tmp_path: Path) -> None:
    document = yaml.safe_load(config.read_text())
    document["online_store"]["key_ttl_seconds"] = 100
    expiring = tmp_path / "feature_store.yaml"
    expiring.write_text(yaml.safe_dump(document))
    (row,) = (row for row in ROWS.values() if row.view == "user_activity" and row.key == ("u0",))
    with closing(Writer(expiring, clock=now_ms)) as writer:
        writer.write([row._replace(key=("who goes away",)), row._replace(key=("who stays",))])
        for who in ("who goes away", "who stays"):
            assert 0 < writer._client.ttl(writer._key(("user_id",), (who,))) <= 100


def test_a_row_replaces_the_one_before_whole(writer: Writer, reader: UserReader) -> None:
    world = KnownItems()
    operator = builders.user_operator(world)
    state = operator.new()
    for n in range(3):
        operator.on_event("", state, Record(Interaction(f"x{n}", "click", "u9", T0 + n * HOUR, f"i{n}")))
        for _ in range(2):
            writer.write([operator.row("u9", "", state, T0 + n * HOUR)])
        found = reader.read("u9")
        assert found is not None
        assert found["recent_items"] == [f"i{k}" for k in range(n, -1, -1)]
        assert sum(found["events_5m"]) == 1
        assert UserOperator(views.user, world).of_row(found).parts[6] == state.parts[6]
        assert len(seen_hashes(found)) == n + 1


@pytest.mark.parametrize("way", ["_by_connection", "_by_pipeline"])
@pytest.mark.parametrize("lost", [False, True])
def test_a_row_that_the_store_has_lost_is_written_whole(
    way: str, lost: bool, writer: Writer, reader: UserReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_send", getattr(writer, way))
    operator = builders.user_operator(KnownItems())
    state = operator.new()
    rows = []
    for n in range(2):
        operator.on_event("", state, Record(Interaction(f"x{n}", "click", "u8", T0 + n, f"i{n}")))
        rows.append(operator.row("u8", "", state, T0 + n))
    writer._written.clear()
    writer.write(rows[:1])
    client, place = writer._client, writer._key(("user_id",), ("u8",))
    if lost:
        client.delete(place)
    writer.write(rows[1:])
    assert client.hlen(place) == len(views.user.fields) + 1
    found = client.hgetall(place)
    client.delete(place)
    writer._written.clear()
    writer.write(rows[1:])
    whole = client.hgetall(place)
    stamp = f"_ts:{views.user.name}".encode()
    assert {k: v for k, v in found.items() if k != stamp} == {k: v for k, v in whole.items() if k != stamp}
    assert reader.read("u8") is not None


@pytest.mark.parametrize("way", ["_by_connection", "_by_pipeline"])
def test_a_row_without_values_is_deleted_and_nothing_else(
    writer: Writer, stock: FeatureStore, way: str, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_send", getattr(writer, way))
    of_view = {row.view: row._replace(key=("gone", *row.key[1:])) for row in ROWS.values()}
    kept, gone, pair = (of_view[name] for name in ("user_activity", "user_features", "user_category_features"))
    writer.write([kept, gone, pair])
    writer.write([gone._replace(values=()), pair._replace(values=())])
    client = redis.Redis(port=stack.settings.redis_port)
    keys = [key for key in client.scan_iter(count=1000) if b"gone" in key]
    assert [client.hlen(key) for key in keys] == [len(kept.values) + 1], "its view alone, and the time of writing"
    found = stock.get_online_features(["user_features:user_views_1h"], [{"user_id": "gone"}]).to_dict()
    assert found["user_views_1h"] == [None]
    writer.write([pair])  # as something new, whole
    assert sum(b"gone" in key for key in client.scan_iter(count=1000)) == 2


def test_ids_of_any_text_are_keys(writer: Writer, reader: UserReader) -> None:
    operator = builders.user_operator(KnownItems())
    state = operator.new()
    ids = ["\u00e9\u4e2d|:{}", "a" * 256, " ", '"', "1"]
    writer.write(operator.row(id, "", state, T0) for id in ids)
    assert all(reader.read(id) is not None for id in ids)
    assert reader.read("01") is None


def test_nothing_to_write_is_no_round_trip(config: Path, tmp_path: Path) -> None:
    with closing(Writer(elsewhere(config, tmp_path, 1), clock=now_ms)) as nowhere:
        nowhere.write([])


# -- a store that is away --------------------------------------------------------------------------


def elsewhere(config: Path, tmp_path: Path, port: int) -> Path:
    """The same registry with another address of Redis."""
    document = yaml.safe_load(config.read_text())
    document["online_store"]["connection_string"] = f"127.0.0.1:{port}"
    (tmp_path / "feature_store.yaml").write_text(yaml.safe_dump(document))
    return tmp_path / "feature_store.yaml"


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["silent", "closed"])
def test_a_store_that_is_away_is_an_error_in_time(config: Path, tmp_path: Path, kind: str) -> None:
    """A Redis that hangs must not hang its callers: the test's own time limit is the judge."""
    with silent() as port:
        if kind == "closed":
            port = 1
        file = elsewhere(config, tmp_path, port)
        with closing(UserReader(file, timeout_s=0.05)) as reader, pytest.raises(RedisError):
            reader.read("u1")
        with closing(Writer(file, timeout_s=0.1, declared=DECLARED, clock=now_ms)) as writer, pytest.raises(RedisError):
            writer.write(ROWS.values())


@pytest.mark.integration
def test_reader_and_writer_find_the_store_once_it_is_there(config: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", **free_ports())
    file = elsewhere(config, tmp_path, settings.redis_port)
    row = ROWS["user_activity", "u0"]
    with (
        Stack(settings, components=[Redis()]) as late,
        closing(UserReader(file, timeout_s=1)) as reader,
        closing(Writer(file, clock=now_ms)) as writer,
    ):
        for _ in range(2):
            with pytest.raises(RedisError):
                reader.read("u0")
            with pytest.raises(RedisError):
                writer.write([row])
            late.up()
            writer.write([row])
            found = reader.read("u0")
            assert found is not None
            assert found["state"] == row.values[[f.name for f in views.user.fields].index("state")]
            late.kill("redis")


def test_the_repositorys_own_configuration_is_the_default(tmp_path: Path) -> None:
    found = store.config()
    assert (found.project, found.provider) == ("freshet", "local")
    assert found.online_store.connection_string == f"127.0.0.1:{Settings.model_fields['redis_port'].default}"
    assert store.config(timeout_s=0.25).online_store.connection_string.endswith(
        ",socket_timeout=0.25,socket_connect_timeout=0.25"
    )
