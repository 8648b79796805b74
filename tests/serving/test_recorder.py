"""Which answers are recorded, what becomes of their records, and that they are right while everything changes."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feature_repo import item_rows
from feature_repo.views import item as item_view
from operators.contract import Row
from operators.decay import POPULARITY_ORIGIN
from operators.time import DAY
from recommend.rankers.popularity import POPULARITY
from schemas import codec
from schemas.clock import now_ms
from schemas.events import Item
from schemas.topics import ITEM_FEATURES
from schemas.topics import ITEMS as OF_ITEMS
from serving import answer_record, captured, recorder
from serving.record_store import PERSON_BYTES, RecordStore, StoredRecord
from tests.serving.made import Api, person
from tests.serving.surfaces import PATHS, ask, stock
from tests.serving.test_replay import ITEMS, VECTORS, N, again


def started(tmp_path: Path, **settings: Any) -> Api:
    api = Api(tmp_path / "bundles", **{"record_share": 1.0, **settings})
    stock(api, ITEMS, VECTORS)
    api.rows.of["u1"] = person([("click", "i7")], vector=[0.5, 0.5, 0.5, 0.5], vector_space="space-v1")
    return api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    found = started(tmp_path)
    yield found
    found.close()


def stored(api: Api) -> set[str]:
    """Ids of the requests with a record."""
    api.services.recorder.flush()
    path = api.services.settings.records
    if not path.exists():
        return set()
    with sqlite3.connect(path) as db:
        found = {row[0] for row in db.execute("SELECT request_id FROM records")}
    db.close()
    return found


def counted(api: Api, result: str) -> float:
    return api.services.metrics.records.labels(result)._value.get()  # type: ignore[no-any-return]


def test_nothing_is_recorded_unless_asked_for(tmp_path: Path) -> None:
    api = started(tmp_path, record_share=0.0)
    ask(api, "home")
    api.post("/v1/users", {"user_id": "u1", "consent": False})
    assert stored(api) == set()
    assert not api.services.settings.records.exists()
    api.close()


def test_the_share_is_decided_by_the_id_of_the_request(tmp_path: Path) -> None:
    api = started(tmp_path, record_share=0.3)
    ids = [ask(api, "trending").json()["request_id"] for _ in range(200)]
    assert stored(api) == {each for each in ids if int(each[:8], 16) < 0.3 * 2**32}
    assert 20 < len(stored(api)) < 110
    api.close()


def test_a_person_without_consent_is_not_recorded(api: Api) -> None:
    api.rows.of["u1"]["consent"] = False
    assert [ask(api, surface).status_code for surface in PATHS] == [200] * len(PATHS)
    of_nobody = {ask(api, "trending").json()["request_id"] for _ in range(3)}
    personal = ask(api, "home").json()["request_id"]
    assert personal not in stored(api)
    assert of_nobody <= stored(api)
    api.rows.error = ConnectionError("away")
    assert api.get("/v1/users/u2/feed").json()["request_id"] not in stored(api), "the store did not say"


def test_records_are_deleted_once_consent_is_withdrawn(api: Api) -> None:
    mine = ask(api, "home").json()["request_id"]
    other = api.get("/v1/users/u2/feed").json()["request_id"]
    assert stored(api) == {mine, other}
    waiting = ask(api, "home").json()["request_id"]
    api.post("/v1/users", {"user_id": "u1", "consent": False})
    assert stored(api) == {other}
    assert waiting not in stored(api)
    blob = api.services.settings.records.read_bytes()
    assert mine.encode() not in blob, "what is deleted is overwritten"


def test_where_the_queue_is_full_records_are_dropped_and_counted(tmp_path: Path) -> None:
    api = started(tmp_path, record_queue=2)
    api.services.recorder.stop()
    for _ in range(5):
        ask(api, "trending")
    assert counted(api, "dropped") == 3
    assert len(stored(api)) == counted(api, "stored") == 2
    api.close()


def test_a_request_does_not_wait_for_a_thread_that_changes_the_columns(api: Api) -> None:
    held, done = threading.Event(), threading.Event()

    def change() -> None:
        with api.services.catalogue._lock:
            held.set()
            done.wait(10)

    thread = threading.Thread(target=change, daemon=True)
    thread.start()
    held.wait(10)
    started_at = time.monotonic()
    answer = ask(api, "trending")
    took = time.monotonic() - started_at
    done.set()
    thread.join()
    assert answer.status_code == 200
    assert took < 2
    assert counted(api, "busy") == 1
    assert stored(api) == set()


def test_a_record_that_is_too_large_is_counted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_record, "MOST_BYTES", 100)
    ask(api, "home")
    assert stored(api) == set()
    assert counted(api, "too_large") == 1


def test_an_answer_that_cannot_be_recorded_is_given(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(captured, "capture", broken)
    assert ask(api, "home").status_code == 200
    assert counted(api, "failed") == 1
    assert api.services.catalogue.hold(0)
    api.services.catalogue.release()


def test_a_store_that_cannot_be_written_is_retried_for_what_is_to_be_deleted(tmp_path: Path) -> None:
    api = started(tmp_path, records=tmp_path / "no" / "answers.db")
    api.services.recorder.stop()
    (tmp_path / "no").write_text("no folder")
    ask(api, "trending")
    api.services.recorder.withdrawals.withdraw("u1", now_ms())
    assert not api.services.recorder._loop.run_once()
    assert not api.services.recorder.health.up
    assert counted(api, "failed") == 1
    (tmp_path / "no").unlink()
    assert api.services.recorder._loop.run_once()
    api.services.recorder.withdrawals.allow("u1", now_ms())
    time.sleep(0.002)
    ask(api, "home")
    assert len(stored(api)) == 1
    api.close()


def entry(request_id: str, at: int, size: int = 100, rules: str = "") -> StoredRecord:
    return StoredRecord(request_id, "u1", at, rules, b"x" * size)


def test_old_records_and_those_beyond_the_limit_are_deleted(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "answers.db")
    store.prune(0, 0)
    store.write([entry("a", 10, rules="r"), entry("b", 20), entry("c", 30), entry("d", 40, rules="s")],
                [("r", b"1"), ("s", b"2")])  # fmt: skip
    store.prune(15, 1000)
    assert [each for each in "abcd" if store.find(each)] == ["b", "c", "d"]
    assert (store.rules("r"), store.rules("s")) == (None, b"2")
    store.prune(0, 250)
    assert [each for each in "abcd" if store.find(each)] == ["c", "d"]
    store.forget({"u1": 40})
    assert not any(store.find(each) for each in "abcd")


def test_records_are_found_by_the_people_whose_favourites_they_have(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "answers.db")
    store.write([entry("a", 10)._replace(made_of=["ann", "bob"]), entry("b", 20)._replace(made_of=["bob"])], [])
    store.write([entry("c", 30), entry("d", 40)._replace(made_of=["ann"])], [])
    store.forget({"cynthia": 100})
    assert all(store.find(each) for each in "abcd")
    store.forget({"ann": 9})
    assert all(store.find(each) for each in "abcd"), "they are later"
    store.forget({"ann": 40})
    assert [each for each in "abcd" if store.find(each)] == ["b", "c"]
    store.prune(25, 1000)
    with sqlite3.connect(store.path) as db:
        assert db.execute("SELECT count(*) FROM made_of").fetchone() == (0,), "what no record is of is gone too"
    db.close()


def test_the_people_whose_favourites_a_record_has_count_for_the_limit(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "answers.db")
    of_many = [f"person-{k:017}" for k in range(100)]
    store.write([entry(each, at)._replace(made_of=of_many) for at, each in enumerate("abcd")], [])
    store.prune(0, 2 * (100 + 100 * PERSON_BYTES))
    assert [each for each in "abcd" if store.find(each)] == ["c", "d"]


def test_what_is_deleted_is_found_by_indexes(tmp_path: Path) -> None:
    """A withdrawal must not read the whole file while it keeps others from writing."""
    store = RecordStore(tmp_path / "answers.db")
    store.write([entry("a", 10)], [])
    read: list[str] = []
    real = store._open

    def traced() -> sqlite3.Connection:
        db = real()
        db.set_trace_callback(read.append)
        return db

    store._open = traced  # type: ignore[method-assign]
    store.forget({"ann": 10})
    store.prune(0, 0)
    asked = [each for each in read if each.startswith(("DELETE", "SELECT"))]
    assert len(asked) >= 5
    with sqlite3.connect(store.path) as db:
        plans = {each: str(db.execute(f"EXPLAIN QUERY PLAN {each}").fetchall()) for each in asked}
    db.close()
    # One number of each record, from an index, is added up; of the rules there are few.
    scans = [each for each, plan in plans.items() for table in ("records", "made_of") if f"'SCAN {table}" in plan
             and "COVERING INDEX by_time" not in plan]  # fmt: skip
    assert scans == [], plans


def test_a_file_of_another_layout_is_emptied(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "answers.db")
    with sqlite3.connect(store.path) as db:
        db.execute("CREATE TABLE records (request_id TEXT PRIMARY KEY, user_id TEXT) WITHOUT ROWID")
        db.execute("CREATE TABLE made_of (person BLOB, request_id TEXT)")
        db.execute("CREATE TABLE key (one INTEGER)")
        db.execute("INSERT INTO records VALUES ('a', 'ann')")
    db.close()
    assert store.find("a") is None
    store.write([entry("b", 10)._replace(made_of=["ann"])], [])
    assert store.find("b") is not None
    store.forget({"ann": 10})
    assert store.find("b") is None


def test_the_thread_prunes(api: Api) -> None:
    store = api.services.recorder._store
    store.write([entry("old", now_ms() - 8 * DAY)], [])
    api.services.recorder._pruned = now_ms() - recorder.PRUNE_MS
    api.services.recorder.flush()
    assert store.find("old") is None


ANSWERS = 200


def test_answers_are_equal_while_columns_change(tmp_path: Path) -> None:
    """Another thread changes items, popularity and availability while answers of all surfaces are recorded."""
    api = started(tmp_path, record_queue=10_000)
    of, over, changes = api.services.catalogue, threading.Event(), [0]
    now = (now_ms() - POPULARITY_ORIGIN) / POPULARITY.half_life

    def change() -> None:
        chance = random.Random(3)
        while not over.is_set():
            k = chance.randrange(N)
            images = {"images": [f"{chance.randrange(3)}.png", "b.png"]} if chance.random() < 0.5 else {}
            item = Item(f"i{k}", f"T{changes[0]}", [f"c{chance.randrange(5)}"], price=chance.random() * 50,
                        available=chance.random() < 0.9, attributes=images)  # fmt: skip
            of.on_record(OF_ITEMS, item.item_id.encode(), codec.encode(item))
            values = {"popularity": now + chance.random(), "events_7d": [chance.randrange(50)] * 11}
            named = tuple(values.get(f.name, f.default) for f in item_view.fields)
            row = Row(item_view.name, (f"i{chance.randrange(N)}",), named)
            of.on_record(ITEM_FEATURES, b"", item_rows.encode(row))
            changes[0] += 1

    thread = threading.Thread(target=change, daemon=True)
    thread.start()
    found = []
    try:
        for number in range(ANSWERS):
            surface, explain = [*PATHS, "page"][number % (len(PATHS) + 1)], ("none", "full")[number % 2]
            if surface == "page":
                found.append(api.get("/v1/users/u1/page", explain=explain))
            else:
                found.append(ask(api, surface, explain=explain, n=10))
    finally:
        over.set()
        thread.join()
    kept = stored(api)
    recorded = [each for each in found if each.json()["request_id"] in kept]
    assert changes[0] > ANSWERS
    assert len(recorded) + counted(api, "busy") == ANSWERS
    assert len(recorded) > 0.9 * ANSWERS
    differ = [each.json()["surface"] for each in recorded if again(api, each).body != each.content]
    assert differ == []
    api.close()
