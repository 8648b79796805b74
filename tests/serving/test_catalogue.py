"""Items as they come, and bundles as they change, seen by the columns and the index alike."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo import item_rows
from feature_repo.crosses import ItemFeature
from feature_repo.reads import Reads
from follow import bundles as watched
from operators.features import Count, item
from recommend.surfaces import home
from schemas import bundle, codec
from schemas.errors import EventError
from schemas.events import Interaction, Item
from schemas.topics import ITEM_FEATURES, ITEMS
from serving.catalogue import LiveCatalogue
from streams import wire
from tests.bundles import put_in_force, write_bundle
from tests.live import until
from tests.serving.made import Api, catalogue, install, model, person, pipeline, popular


def feed(of: LiveCatalogue) -> list[str]:
    """Item ids of a stranger's feed."""
    asked = pipeline(of)
    return asked.recommend(home, asked.query(at=0, user=person())).item_ids


CONTENT = {"category:a": [1, 0, 0, 0], "category:b": [0, 1, 0, 0]}


def near(of: LiveCatalogue, vector: list[float], k: int = 3) -> list[str]:
    """Ids of what the index finds."""
    found = of.model
    assert found is not None
    return [of.columns.ids[row] for row in found.user_space.nearest(np.array([vector], np.float32), k)[0].tolist()]


def consistent(of: LiveCatalogue) -> None:
    """Rows, labels and the index agree: each item with a vector is its own nearest."""
    columns = of.columns
    assert columns.row_of == {item_id: row for row, item_id in enumerate(columns.ids)}
    if of.model is None:
        return
    space = of.model.user_space
    vectors = space.vectors_of(np.arange(columns.n))
    for item_id, row in columns.row_of.items():
        assert bool(space.has(np.array([row]))[0]) == bool(vectors[row].any())
        if vectors[row].any():
            np.testing.assert_array_equal(space.vector(item_id), vectors[row])
            best = near(of, vectors[row].tolist(), len(columns.ids))
            assert len(best) == len(space)
            cosines = [float(vectors[columns.row_of[i]] @ vectors[row]) for i in best]
            assert item_id in best
            np.testing.assert_allclose(cosines, sorted(cosines, reverse=True), atol=1e-5)


# -- live items ------------------------------------------------------------------------------------


def test_an_item_that_no_bundle_knows_joins_the_index_by_its_content() -> None:
    of = catalogue([], {"i1": [0, 0, 1, 0]}, content=CONTENT)
    of.put_item(Item("new", "", ["a"]))
    assert near(of, [1, 0, 0, 0], 1) == ["new"]
    assert "new" in feed(of)


def test_an_item_whose_content_says_nothing_can_still_be_offered() -> None:
    of = catalogue([], {"i1": [0, 0, 1, 0]}, content=CONTENT)
    of.put_item(Item("bare"))
    assert "bare" not in near(of, [1, 1, 1, 1])
    assert "bare" in feed(of)


def test_a_trained_item_keeps_its_trained_vector() -> None:
    of = catalogue([Item("i1", "", ["a"])], {"i1": [0, 0, 1, 0], "i2": [0, 0, 0, 1]}, content=CONTENT)
    assert near(of, [0, 0, 1, 0], 1) == ["i1"]


def test_an_item_that_changes_moves() -> None:
    of = catalogue([Item("new", "", ["a"])], {"i1": [0, 0, 1, 0]}, content=CONTENT)
    of.put_item(Item("new", "", ["b"]))
    assert near(of, [0, 1, 0, 0], 1) == ["new"]
    consistent(of)


# -- a new bundle ----------------------------------------------------------------------------------


@given(st.data())
def test_whatever_comes_in_whatever_order_rows_and_labels_agree(data: st.DataObject) -> None:
    of = LiveCatalogue()
    items: dict[str, Item] = {}
    for step in range(data.draw(st.integers(1, 8))):
        if data.draw(st.booleans()):
            trained = data.draw(st.lists(st.integers(0, 9), unique=True, min_size=1))
            angles = {f"i{k}": [np.cos(k + step), np.sin(k + step), 0.1, 0] for k in trained}
            install(of, model(of, angles, content=CONTENT, version=f"v{step}"))
        else:
            item = Item(
                f"i{data.draw(st.integers(0, 14))}", f"at {step}", data.draw(st.sampled_from([[], ["a"], ["b"]])),
                available=data.draw(st.booleans()),
            )  # fmt: skip
            of.put_item(item)
            items[item.item_id] = item
    consistent(of)
    columns = of.columns
    for item_id, item in items.items():
        row = columns.row_of[item_id]
        assert columns.items[row] == item
        assert columns.available[row] == item.available


def test_a_new_bundle_keeps_what_is_known_of_items() -> None:
    of = catalogue([Item("i1", "One"), Item("new", "New", ["a"])], {"i1": [1, 0, 0, 0]}, content=CONTENT)
    popular(of, {"i1": 3.0, "new": 4.0})
    rows, before = dict(of.columns.row_of), pipeline(of)
    install(of, model(of, {"i2": [0, 1, 0, 0], "new": [0, 0, 0, 1], "i1": [0, 0, 1, 0]}, version="v2"))
    columns = of.columns
    assert columns.ids == ["i1", "new", "i2"]
    assert rows.items() <= columns.row_of.items()
    assert [columns.popularity[columns.row_of[i]] for i in ("i1", "new")] == [3.0, 4.0]
    assert of.space.id == "space-v2"
    assert before.model is not None
    assert before.model.version == "v1", "a request under way goes on with the old model"
    asked = before.query(at=0, user=person(vector=[1.0, 0, 0, 0], vector_space="space-v1"))
    assert not asked.has_vector(columns.rows(["i2"]))[0]
    assert before.recommend(home, asked).degraded == []


def test_without_a_catalogue_every_trained_item_can_be_offered() -> None:
    of = catalogue([], {"i1": [1, 0, 0, 0]})
    of.set_complete()
    assert of.columns.available.tolist() == [True]


def test_with_a_catalogue_a_trained_item_that_it_does_not_hold_cannot() -> None:
    of = catalogue([Item("i1")], {"i1": [1, 0, 0, 0], "gone": [0, 1, 0, 0]})
    assert of.columns.available.tolist() == [True, True]
    of.set_complete()
    assert of.columns.available.tolist() == [True, False]
    install(of, model(of, {"gone": [0, 1, 0, 0], "i1": [1, 0, 0, 0]}))
    assert of.columns.available.tolist() == [True, False]


# -- Kafka's records -------------------------------------------------------------------------------


def test_records_of_both_topics() -> None:
    of = LiveCatalogue()
    of.on_record(ITEMS, b"i1", codec.encode(Item("i1", "One")))
    assert of.item("i1") == Item("i1", "One")
    of.on_record(ITEMS, b"i1", None)
    assert of.item("i1") == Item("i1", available=False)
    assert not of.columns.available[0]


@pytest.mark.parametrize(
    ("topic", "value"),
    [
        (ITEMS, b""), (ITEMS, b"noise"), (ITEMS, codec.encode(Item("i2"))[:-2]), (ITEM_FEATURES, b"noise"),
        (ITEM_FEATURES, msgspec.msgpack.encode(["item_activity", ["i2"], item_rows.LAYOUTS["item_activity"], []])),
        (ITEM_FEATURES, msgspec.msgpack.encode(["item_activity", [], item_rows.LAYOUTS["item_activity"], [1]])),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_an_error_and_changes_nothing(topic: str, value: bytes) -> None:
    of = catalogue([Item("i1", "One")])
    with pytest.raises((EventError, msgspec.DecodeError, IndexError, ValueError)):
        of.on_record(topic, b"\xff", value)
    assert of.item("i1") == Item("i1", "One")
    assert feed(of)[0] == "i1"


# -- bundles on disk -------------------------------------------------------------------------------


def test_a_bundle_is_picked_up_and_a_broken_one_leaves_the_old_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundles = tmp_path / "bundles"
    api = Api(bundles, bundle_poll_s=0.01)

    def version() -> Any:
        return api.get("/readyz").json()["model_version"]

    def gone(path: Path) -> Any:
        raise OSError(f"{path} cannot be read")

    def after_a_while() -> Any:
        api.run(asyncio.sleep(0.2))
        return version()

    try:
        assert version() is None
        write_bundle(bundles, ["i1", "i2"], version="one", served=True)
        api.run(api.services.refresh_model())
        assert version() == "one"
        feed = api.get("/v1/users/u1/feed").json()
        assert (feed["model_version"], feed["degraded"], len(feed["items"])) == ("one", [], 2)
        write_bundle(bundles, ["i1"], version="strange", served=True, inputs=["price_of_tea"])
        assert after_a_while() == "one", "its ranker has other inputs"
        write_bundle(tmp_path / "aside", ["i1"], version="torn", served=True)
        (tmp_path / "aside" / "torn" / "spaces" / "items" / "vectors.npy").write_bytes(b"torn")
        (tmp_path / "aside" / "torn").rename(bundles / "torn")
        put_in_force(bundles, "torn")
        assert after_a_while() == "one", "its checksum differs"
        monkeypatch.setattr(watched, "FIRST_RETRY_S", 0.05)
        with monkeypatch.context() as disk:
            disk.setattr(bundle, "load", gone)
            write_bundle(bundles, ["i1", "i2"], version="later", served=True)
            assert after_a_while() == "one", "its disk does not answer"
        until(lambda: version() == "later")
        put_in_force(bundles, "../elsewhere")
        assert after_a_while() == "later"
        write_bundle(bundles, ["i3", "i1"], version="two", served=True)
        until(lambda: version() == "two")
        assert set(api.get("/v1/users/u1/feed").json()["items"][0]) >= {"item_id", "score", "rank", "reason"}
    finally:
        api.close()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"i1", codec.encode(Item("i1", "Heat"))),
        (b"i1", None),
        (b"another", codec.encode(Item("i1", "Heat"))),
        (b"", codec.encode(Item("i1", "Heat"))),
        (b"", None),
        (b"i1", b"noise"),
        (b"i1", codec.encode(Interaction("e1", "view", "i1", 1_767_225_600_000, "i1"))),
    ],
)
def test_items_are_taken_and_refused_as_in_the_job(key: bytes, value: bytes | None) -> None:
    of = LiveCatalogue()
    try:
        (record,) = wire.records((key.decode(), value, ITEMS, 0, 0, 0))
    except EventError as error:
        with pytest.raises(type(error)):
            of.on_record(ITEMS, key, value)
        assert of.item("i1") is None
        assert of.columns.n == 0
    else:
        of.on_record(ITEMS, key, value)
        assert of.item("i1") == record.event


@pytest.mark.parametrize(("topic", "value"), [(ITEM_FEATURES, None), ("another", b"x")])
def test_what_is_of_no_concern_changes_nothing(topic: str, value: bytes | None) -> None:
    of = catalogue([Item("i1", "One")])
    of.on_record(topic, b"k", value)
    assert of.columns.n == 1


def test_declared_features_of_items_come_by_name_over_the_same_topic() -> None:
    people = Count("people", entity=item)
    of = LiveCatalogue(Reads.of([ItemFeature("n", of=people)]))
    for value in ({"people": 7, "another": 1}, {"another": 1}):
        message = msgspec.msgpack.encode(("item_features", ("i1",), "", value))
        of.on_record(ITEM_FEATURES, b"any", message)
    with pytest.raises(ValueError, match="many"):
        of.on_record(ITEM_FEATURES, b"x", msgspec.msgpack.encode(("item_features", ("i1",), "", {"people": "many"})))
    install(of, model(of, {"i0": [1, 0, 0, 0]}))
    columns = of.columns
    assert columns.value("item_features:people").tolist() == [7.0, 0.0]


def test_recordings_that_overlap_do_not_keep_a_change_waiting() -> None:
    of = LiveCatalogue()
    changed = threading.Event()

    def change() -> None:
        of.put_item(Item("late", "Late"))
        changed.set()

    thread = threading.Thread(target=change)
    assert of.hold(0)
    assert of.hold(0), "nobody waits"
    thread.start()
    try:
        until(lambda: bool(of._changing.waiting))
        asked = [of.hold(0) for _ in range(10)]
        assert asked == [False] * 10
        of.release()
        assert not of.hold(0)
        assert not changed.is_set()
    finally:
        of.release()
        thread.join(10)
    assert changed.is_set()
    assert of.hold(0), "nobody waits any more"
    of.release()


def test_a_change_waits_for_one_more_recording_at_most() -> None:
    """Where one ends and the next begins before the waiting thread has had its turn."""
    of = LiveCatalogue()
    of._changing.waiting.append(None)  # a thread that never has it
    assert of.hold(0)
    of.release()
    assert not of.hold(0)
    of._changing.waiting.pop()
    of.put_item(Item("late", "Late"))
    of._changing.waiting.append(None)
    assert of.hold(0)
    of.release()
    of._changing.waiting.pop()
