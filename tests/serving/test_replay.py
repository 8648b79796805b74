"""Answers that are recorded and computed again: the same bytes, or the missing part by its name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from feature_repo import registry
from feature_repo.columns import ItemColumns
from operators.shown import SEALED, appended
from operators.time import HOUR
from recommend.model import Model
from recommend.surfaces import SURFACES
from schemas.clock import now_ms
from schemas.events import Impression, Item
from serving.answer_record import PLAIN
from serving.replay import MissingPart, ReplayedAnswer, read, replay
from serving.settings import ServingSettings
from tests.serving import made
from tests.serving.made import Api, person, popular
from tests.serving.surfaces import ANCHOR, PATHS, ask, stock

N = 80
ITEMS = [
    Item(
        f"i{k}", f"Title {k}", [("horror", "comedy", "drama")[k % 3]], f"b{k % 5}", float(k), created_at=1000 + k,
        available=k != 4, attributes={
            "year": 1950 + k, "tags": ["a", f"t{k % 7}"], "series": f"s{k // 2}",
            **({"regions": ["FR"]} if k == 33 else {}),
        },
    )
    for k in range(N)
]  # fmt: skip
VECTORS = {f"i{k}": [1.0, k / 9, (k * 7 % 11) / 5, (k * 5 % 13) / 9] for k in range(N)}
SURFACES_BY_NAME = {surface.name: surface for surface in SURFACES}
DECLARED = registry.load(ServingSettings().definitions)


def model_of(version: str, columns: ItemColumns) -> Model:
    """The fake model of these tests, over other columns."""

    class _Of:
        def __init__(self) -> None:
            self.columns = columns

        def rows_of(self, ids: list[str]) -> list[int]:
            return [columns.row(each) for each in ids]

    return made.model(_Of(), {ANCHOR: [1, 0.5, 0.5, 0.5], **VECTORS}, version=version)  # type: ignore[arg-type]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """A server that records every answer."""
    api = Api(tmp_path / "bundles", record_share=1.0, records=tmp_path / "answers.db", cursor_s=60)
    stock(api, ITEMS, VECTORS)
    popular(api.services.catalogue, {f"i{k}": float(k * 11 % 30) for k in range(N)}, "DE")
    api.rows.of["u1"] = person(
        [("click", "i7"), ("purchase", "i12"), ("dislike", "i9"), ("view", "i30")],
        vector=[0.5, 0.5, 0.5, 0.5], vector_space="space-v1", category_affinity=["comedy", "drama"],
        category_affinity_scores=[0.7, 0.3], **made.met(["i7", "i12", "i9", "i30"]),
    )  # fmt: skip
    yield api
    api.close()


def again(api: Api, answer: Any, **others: Any) -> ReplayedAnswer:
    """The answer of a response, from its record."""
    api.services.recorder.flush()
    store = api.services.recorder._store
    entry = store.find(answer.json()["request_id"])
    assert entry is not None, answer.text[:300]
    found = read(entry.record)
    rules = store.rules(found.rules) if found.rules else None
    given: dict[str, Any] = {"text_of_rules": rules, "model_of": model_of, "declared": DECLARED}
    return replay(found, **(given | {"surfaces": SURFACES_BY_NAME} | others))


def same(api: Api, answer: Any, **others: Any) -> ReplayedAnswer:
    """Asserts that it is the same, byte for byte."""
    assert answer.status_code == 200, answer.text
    found = again(api, answer, **others)
    assert json.loads(found.body) == answer.json()
    assert (found.differs, found.body) == ("", answer.content)
    return found


ASKED: dict[str, dict[str, Any]] = {
    "plain": {},
    "full": {"explain": "full", "n": 5},
    "none": {"explain": "none"},
    "filter": {"filter": 'item.price < 40 && !("horror" in item.categories) && item.attributes.year > 1953'},
    "nothing passes": {"filter": "item.price < 0"},
    "excluded": {"exclude": "i1,i2,nowhere", "n": 50},
    "min_score": {"min_score": 0.2, "explain": "full"},
    "diverse": {"diversity": 1, "n": 12},
    "german": {"locale": "de"},
    "strict and full": {"filter": "item.price < 3", "explain": "full"},
}


@pytest.mark.parametrize("query", ASKED.values(), ids=list(ASKED))
@pytest.mark.parametrize("surface", PATHS)
def test_every_surface_is_computed_again(api: Api, surface: str, query: dict[str, Any]) -> None:
    same(api, ask(api, surface, **query))


@pytest.mark.parametrize("surface", PATHS)
def test_pages_are_computed_again(api: Api, surface: str) -> None:
    answer = ask(api, surface, n=20)
    for _ in range(5):
        found = same(api, answer)
        assert found.answer.query.depth
        if answer.json()["next"] is None:
            break
        answer = ask(api, surface, n=20, next=answer.json()["next"], explain="full")


@pytest.mark.parametrize("explain", ["none", "full", "events"])
def test_a_list_of_the_callers_is_computed_again(api: Api, explain: str) -> None:
    asked = {"items": ["i3", "i4", "i7", "nowhere", "i40"], "user_id": "u1"}
    del api.rows.of["u1"]
    click(api, "i5")
    same(api, api.post("/v1/rank", asked, params={"explain": explain, "filter": "item.price < 30"}))


def click(api: Api, item_id: str, kind: str = "click") -> str:
    event = {"event_id": item_id, "event_type": kind, "user_id": "u1", "item_id": item_id, "timestamp": now_ms()}
    return api.post("/v1/events", event).json()["token"]  # type: ignore[no-any-return]


def test_a_person_with_events_of_their_own_is_computed_again(api: Api) -> None:
    del api.rows.of["u1"]
    click(api, "i11", "dislike")
    token = click(api, "i5")
    for explain in ("reason", "full", "events"):
        same(api, api.get("/v1/users/u1/feed", explain=explain, after=token, region="DE", device="ios"))


def test_by_velocity_and_in_a_region(api: Api) -> None:
    same(api, api.get("/v1/trending", by="velocity"))
    same(api, api.get("/v1/trending", region="DE", category="comedy"))
    same(api, api.get("/v1/trending", user_id="u1"))


@pytest.mark.parametrize("surface", ["home", "email"])
def test_what_rests_is_what_rested_then(api: Api, surface: str) -> None:
    first = [entry["item_id"] for entry in ask(api, surface, n=10).json()["items"]]
    now, cell = now_ms(), b""
    for visit in range(1, 5):
        cell = appended(cell, Impression(f"r{visit}", "u1", now - visit * HOUR, first, surface), 1000)
    api.rows.of["u1"] = {**api.rows.of["u1"], SEALED: cell}
    for explain in ("reason", "full"):
        answer = ask(api, surface, n=10, explain=explain)
        assert not {entry["item_id"] for entry in answer.json()["items"]} & set(first)
        found = same(api, answer)
        assert len(found.answer.query.resting)
    api.rows.of["u1"] = person()
    same(api, answer)


RULES: dict[str, dict[str, Any]] = {
    "up": {"kind": "promote", "where": 'item.brand == "b3"', "places": 5},
    "share": {"kind": "promote", "where": 'item.brand == "b1"', "share": 0.3},
    "down": {"kind": "bury", "items": ["i70", "i71"]},
    "gone": {"kind": "hide", "where": 'item.attributes.year == 1960 || "t3" in item.attributes.tags'},
    "first": {"kind": "pin", "item_id": "i20", "position": 1},
    "paid": {"kind": "sponsor", "where": "item.price > 60", "positions": [3], "label": "Ad"},
    "few": {"kind": "cap", "by": "brand", "most": 3},
    "one": {"kind": "dedupe", "by": "series"},
    "lately": {"kind": "not_again", "days": 3000},
    "here": {"kind": "region_limit", "attribute": "regions"},
    "when": {"kind": "bury", "where": "item.year > 2000", "from": 0, "until": 4102444800000},
}


@pytest.mark.parametrize("explain", ["none", "full"])
@pytest.mark.parametrize("surface", PATHS)
def test_rules_are_those_of_then(api: Api, surface: str, explain: str) -> None:
    for name, rule in RULES.items():
        answer = api.ask("PUT", f"/v1/rules/{name}", params={"by": "anna"}, json=rule)
        assert answer.status_code in (200, 201), answer.text
    answer = ask(api, surface, explain=explain)
    tag = api.get("/v1/rules/first").headers["ETag"]
    api.ask("DELETE", "/v1/rules/first", params={"by": "anna"}, headers={"If-Match": tag})
    assert len(same(api, answer).answer.query.rules.rules) == len(RULES)
    assert len(same(api, ask(api, surface, explain=explain)).answer.query.rules.rules) == len(RULES) - 1


def test_what_changes_afterwards_does_not_change_a_past_answer(api: Api) -> None:
    answer = ask(api, "home", explain="full")
    first = answer.json()["items"][0]["item_id"]
    api.services.catalogue.put_item(Item(first, "Another title", ["other"], available=False))
    api.services.catalogue.put_item(Item("new", "New", ["comedy"]))
    popular(api.services.catalogue, {f"i{k}": 100.0 - k for k in range(N)})
    api.rows.of["u1"] = person()
    same(api, answer)
    now = ask(api, "home", explain="full")
    assert now.json()["items"] != answer.json()["items"]
    same(api, now)


def test_an_item_that_joined_by_its_content_has_its_vector_of_then(tmp_path: Path) -> None:
    api = Api(tmp_path / "bundles", record_share=1.0, records=tmp_path / "answers.db")
    content = {"category:comedy": [1.0, 0, 0, 0], "category:drama": [0, 1.0, 0, 0]}
    api.stock([Item("i0", "A", ["comedy"])], {"i0": [1, 0, 0, 0]}, content=content, learned=[])
    api.stock([Item("i0", "A", ["drama"]), Item("i1", "B", ["comedy"]), Item("i2", "C", ["nothing"])])
    answer = api.get("/v1/items/i1/similar")
    assert answer.json()["items"][0]["item_id"] == "i0"
    found = again(api, answer, model_of=lambda version, columns: _joined(version, columns, content))
    assert (found.differs, found.body) == ("", answer.content)
    api.close()


def _joined(version: str, columns: ItemColumns, content: Any) -> Model:
    class _Of:
        def __init__(self) -> None:
            self.columns = columns

        def rows_of(self, ids: list[str]) -> list[int]:
            return [columns.row(each) for each in ids]

    return made.model(_Of(), {"i0": [1, 0, 0, 0]}, content=content, learned=[], version=version)  # type: ignore[arg-type]


# -- what is missing -------------------------------------------------------------------------------


def test_each_missing_part_is_named(api: Api) -> None:
    api.ask("PUT", "/v1/rules/up", params={"by": "anna"}, json=RULES["up"])
    answer = ask(api, "home", filter="item.price < 40")

    def without(**others: Any) -> str:
        with pytest.raises(MissingPart) as error:
            again(api, answer, **others)
        return error.value.part

    def gone(version: str, columns: ItemColumns) -> Model:
        raise MissingPart("bundle", version)

    assert without(text_of_rules=None) == "rules"
    assert without(text_of_rules=b"{}") == "rules"
    assert without(model_of=gone) == "bundle"
    with pytest.raises(MissingPart, match="surface"):
        replay(again(api, answer).record, b"", model_of, {}, DECLARED)
    with pytest.raises(MissingPart, match="record"):
        read(b"nothing")
    found = again(api, answer).record
    columns = found.slice.columns
    other = msgspec.structs.replace(found.slice, columns={**columns, "item:more": columns["price"]})
    with pytest.raises(MissingPart, match=r"declarations: .*item:more"):
        replay(msgspec.structs.replace(found, slice=other), b"", model_of, SURFACES_BY_NAME, DECLARED)


def test_another_model_under_the_same_name_is_noticed(api: Api) -> None:
    answer = ask(api, "home")

    def other(version: str, columns: ItemColumns) -> Model:
        class _Of:
            def __init__(self) -> None:
                self.columns = columns

            def rows_of(self, ids: list[str]) -> list[int]:
                return [columns.row(each) for each in ids]

        return made.model(_Of(), {k: v[::-1] for k, v in VECTORS.items()}, version=version)  # type: ignore[arg-type]

    found = again(api, answer, model_of=other)
    assert found.differs
    assert found.body != answer.content


def test_every_field_of_a_query_is_recorded_or_set_by_the_pipeline() -> None:
    from dataclasses import fields

    from recommend.query import Query
    from serving.answer_record import OF_ROWS

    others = {"columns", "model", "popular", "user", "listed", "item", "filter", "rules", "pairs", "others"}
    by_pipeline = {"drawn", "rotation", "rules_of", "adds", "surface", "passing", "encoded"}
    assert {f.name for f in fields(Query)} == {*PLAIN, *OF_ROWS} | others | by_pipeline


def test_the_digest_is_that_of_the_body(api: Api) -> None:
    answer = ask(api, "trending")
    assert again(api, answer).record.sha256 == hashlib.sha256(answer.content).hexdigest()
