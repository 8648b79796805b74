"""Every kind of answer that has a request id is recorded, and is the same when the world has changed since."""

from __future__ import annotations

import asyncio
import gc
import math
import sqlite3
import threading
import weakref
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from feature_repo import item_rows, views
from feature_repo.item_slice import CopiedRows, ItemSlice
from operators.contract import Row
from operators.decay import POPULARITY_ORIGIN
from operators.time import DAY
from recommend.policies import LinUcb
from recommend.query import Query
from recommend.recorded import GIVEN, RecordingTrace
from recommend.slots import ExplorationSlots
from recommend.stage import Stage
from recommend.surfaces import PERSONAL, SURFACES
from recommend.trace import Trace
from schemas import codec
from schemas.clock import now_ms
from schemas.events import Impression, Item, User
from schemas.topics import INTERACTIONS, ITEM_FEATURES, USERS, features_key
from serving.answer_record import encode
from serving.app import endpoints_of
from serving.captured import OF_OTHERS, STATE, Capture, Facts
from serving.page_answers import PageAnswer
from serving.recorder import Recorder
from tests.serving import made
from tests.serving.made import Api, person, popular
from tests.serving.surfaces import ANCHOR, PATHS, ask, stock
from tests.serving.test_recorder import counted, stored
from tests.serving.test_replay import ITEMS, RULES, VECTORS, N, again, same

Call = Callable[..., httpx.Response]
PICTURED = [
    Item(
        each.item_id, each.title, each.categories, each.brand, each.price, each.created_at, each.available,
        {**each.attributes, "images": ["a.png", "b.png", "c.png"], "on_sale": k % 3 == 0} if k % 2 else each.attributes,
    )
    for k, each in enumerate(ITEMS)
]  # fmt: skip
EXPLORING = {
    each.name: each if each.reports else replace(each, exploration=ExplorationSlots(policy=policy, few=None))
    for each, policy in zip(SURFACES, [LinUcb(), ExplorationSlots().policy] * len(SURFACES), strict=False)
}
"""every surface that may have slots has them"""
LISTS = ["i3", "i4", "i7", "nowhere", "i40"]


def listed(surface: str) -> Call:
    def call(api: Api, **query: Any) -> httpx.Response:
        if surface not in PERSONAL and surface != "cart":
            query["user_id"] = "u1"
        return ask(api, surface, **query)

    return call


KINDS: dict[str, Call] = {
    **{surface: listed(surface) for surface in PATHS},
    "velocity": lambda api, **query: api.get("/v1/trending", by="velocity", region="DE", user_id="u1", **query),
    "rank": lambda api, **query: api.post("/v1/rank", {"items": LISTS, "user_id": "u1"}, params=_of_rank(query)),
    "page": lambda api, **query: api.get("/v1/users/u1/page", region="DE", rows=20, per_row=3, **query),
    "again": lambda api, **query: api.get("/v1/users/u1/again", **_of_rank(query)),
}
ENDPOINT_OF = dict.fromkeys(PERSONAL, "feed") | {"velocity": "trending"}


def _of_rank(query: dict[str, Any]) -> dict[str, Any]:
    return query if query.get("explain") != "reason" else {}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """A server that records every answer, for a person whom everything is known of."""
    api = Api(tmp_path / "bundles", record_share=1.0, records=tmp_path / "answers.db", people=100)
    object.__setattr__(api.services, "surfaces", tuple(EXPLORING.values()))
    for name in ("named", "personal", "trending_by"):
        api.services.__dict__.pop(name, None)
    stock(api, PICTURED, VECTORS)
    popular(api.services.catalogue, {f"i{k}": float(k * 11 % 30) for k in range(N)}, "DE")
    now = now_ms()
    bought = [
        ("like", "i7", 0),
        *(("purchase", f"i{k}", k) for k in range(25, 30)),
        ("dislike", "i9", 30),
        ("view", "i30", 31),
    ]
    about: dict[str, Any] = {"vector_space": "space-v1", "consent": True}
    api.rows.of |= {
        "u1": person(
            [(kind, item) for kind, item, _ in bought], vector=[0.5, 0.5, 0.5, 0.5],
            category_affinity=["comedy", "Unheard of", "drama"], category_affinity_scores=[0.5, 0.3, 0.2],
            **about, **made.met(["i7", "i9", "i30"]),
        ) | {"recent_times": [now - days * DAY for _, _, days in bought], "follow_ids": ["ann", "bob"],
             "follow_times": [now] * 2, "follow_ended": [False] * 2},
        "ann": person([("like", f"i{k}") for k in (3, 5, 13, 15, 17)], vector=[0.5, 0.5, 0.5, 0.4], **about),
        "bob": person([("like", "i5"), ("purchase", "i4"), ("like", "i19")], vector=[0.5, 0.4, 0.5, 0.5], **about),
        "cynthia": person([("like", f"i{k}") for k in (8, 44, 46, 48)], vector=[0.5, 0.5, 0.4, 0.5], **about),
    }  # fmt: skip
    for name in ("ann", "bob", "cynthia"):
        row = api.rows.of[name]
        row["recent_times"] = [now - 60_000] * len(row["recent_items"])
    for name in ("u1", "ann", "bob", "cynthia"):
        api.services.people.on_record(INTERACTIONS, name.encode(), b"")
    api.run(asyncio.to_thread(api.services.people.refresh))
    explored(api, 40, 9)
    yield api
    api.close()


def explored(api: Api, shown: float, taken: float) -> None:
    """What the stream has counted of items in slots, of their pictures, and of the linear models."""
    since = (now_ms() - POPULARITY_ORIGIN) / views.EXPLORED.half_life
    counts = [math.log2(shown) + since, math.log2(taken) + since]
    of_pictures = (0.0, ["a.png", "b.png"], ["comedy"], [shown, 1.0] * 2, [taken, 0.5] * 2)
    rows = [Row(views.item_exploration.name, (f"i{k}",), (*counts, *of_pictures)) for k in range(0, N, 3)]
    d = 5
    for surface in EXPLORING:
        gram = [float(a == b) * shown for a in range(d) for b in range(d)]
        sums = (now_ms(), shown, gram, [taken / (k + 1) for k in range(d)])
        rows.append(Row(views.policy_model.name, (f"{surface}/basic1/{d}",), sums))
    for row in rows:
        api.services.catalogue.on_record(ITEM_FEATURES, features_key(row.view, row.key).encode(), item_rows.encode(row))
    assert api.services.catalogue.refused == 0


def ruled(api: Api, *names: str) -> None:
    for name in names:
        answer = api.ask("PUT", f"/v1/rules/{name}", params={"by": "anna"}, json=RULES[name])
        assert answer.status_code in (200, 201), answer.text


def change(api: Api) -> None:
    """Everything that an answer is made of is another one."""
    catalogue = api.services.catalogue
    explored(api, 900, 850)
    for k in range(0, N, 2):
        catalogue.put_item(Item(f"i{k}", f"Other {k}", ["other"], "other", 99.0, available=k % 4 > 0))
    catalogue.put_item(Item("new", "New", ["comedy"], attributes={"images": ["x", "y"]}))
    popular(catalogue, {f"i{k}": 100.0 - k for k in range(N)})
    popular(catalogue, {f"i{k}": 100.0 - k for k in range(N)}, "DE")
    for name in api.rows.of:
        api.rows.of[name] = person()
    ruled(api, "down", "few")
    api.stock([], {name: vector[::-1] for name, vector in VECTORS.items()}, version="v2")


def test_every_answer_with_a_request_id_is_of_a_kind_here(api: Api) -> None:
    names = {
        each.name
        for each in endpoints_of(api.services)
        if "request_id" in getattr(each.answer, "__struct_fields__", ())
    }
    assert names == {ENDPOINT_OF.get(kind, kind) for kind in KINDS}


@pytest.mark.parametrize("query", [{}, {"explain": "full"}, {"explain": "full", "filter": "item.price < 70"}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_the_same_when_the_world_has_changed(api: Api, kind: str, query: dict[str, Any]) -> None:
    ruled(api, "up", "gone", "paid", "one", "lately")
    answer = KINDS[kind](api, **query)
    assert answer.status_code == 200, answer.text
    change(api)
    same(api, answer, surfaces=EXPLORING)
    assert KINDS[kind](api, **query).json() != answer.json()
    assert {counted(api, result) for result in ("failed", "dropped", "too_large")} == {0}


@pytest.mark.parametrize("query", [{}, {"explain": "full"}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_record_that_is_made_later_has_what_was_at_the_answer(
    api: Api, kind: str, query: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ruled(api, "up", "gone", "paid", "one", "lately")
    taken: list[Capture] = []
    monkeypatch.setattr(Recorder, "put", lambda self, captured: taken.append(captured))
    KINDS[kind](api, **query)
    (captured,) = taken
    at_once = encode(captured.record(), captured.body)
    change(api)
    later = captured.record()
    assert encode(later, captured.body) == at_once
    assert captured.made_of(later) == captured.made_of(captured.record())


@pytest.mark.parametrize("kind", KINDS)
def test_the_event_loop_takes_facts_and_another_thread_makes_the_record(
    api: Api, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits to be made holds no query, and so none of its masks of the whole catalogue."""
    queries, made_in, made, init = list[weakref.ref[Query]](), set[str](), CopiedRows.slice, Query.__init__

    def begin(self: Query, *args: Any, **others: Any) -> None:
        init(self, *args, **others)
        queries.append(weakref.ref(self))

    monkeypatch.setattr(Query, "__init__", begin)

    def note(self: CopiedRows) -> ItemSlice:
        made_in.add(threading.current_thread().name)
        return made(self)

    monkeypatch.setattr(CopiedRows, "slice", note)
    api.services.recorder.stop()
    KINDS[kind](api)
    gc.collect()
    assert not made_in
    assert len(api.services.recorder._waiting) == 1
    assert queries
    assert all(each() is None for each in queries)
    api.services.recorder.start()
    api.services.recorder.stop()
    assert made_in == {"records"}
    assert counted(api, "stored") == 1


@pytest.mark.parametrize("kind", ["home", "page", "friends"])
def test_what_waits_holds_of_the_person_what_the_record_may_have(
    api: Api, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither whom they follow nor, but for an answer that takes it apart, the operators' state."""
    held: list[Facts] = []
    real = Facts.__init__

    def note(self: Facts, **facts: Any) -> None:
        real(self, **facts)
        held.append(self)

    monkeypatch.setattr(Facts, "__init__", note)
    KINDS[kind](api)
    assert not [name for name in held[-1].user if name in OF_OTHERS or name.startswith(STATE)]
    assert held[-1].user["recent_items"]
    if kind != "page":
        KINDS[kind](api, explain="events")
        assert {"state", "seen"} <= held[-1].user.keys()
        assert not held[-1].user.keys() & OF_OTHERS


def test_the_answers_of_these_tests_have_what_they_are_to_show(api: Api) -> None:
    """Drawn slots, pictures, favourites of both kinds of people, something to buy again."""
    rows = {row["algorithm"]: row for row in KINDS["page"](api).json()["rows"]}
    assert {"home", "because_item", "friends", "people_like_you", "again", "category", "on_sale"} <= rows.keys()
    assert any("image" in entry for row in rows.values() for entry in row["items"])
    codes = {kind: str(KINDS[kind](api).json()) for kind in ("home", "friends", "people_like_you", "again")}
    assert "a.png" in codes["home"]
    assert "liked_by_friends" in codes["friends"]
    assert "liked_by_people_like_you" in codes["people_like_you"]
    assert "last_purchase" in codes["again"]
    for kind in KINDS:
        KINDS[kind](api, explain="full")
    for kind in EXPLORING:
        drawn = api.services.metrics.explored.labels(kind)._value.get()
        assert (drawn > 0) == (kind in PATHS and kind != "push"), kind


def test_the_answers_of_a_batch_have_records_of_their_own(api: Api) -> None:
    paths = ["/v1/users/u1/feed", "/v1/users/u1/page", f"/v1/items/{ANCHOR}/similar"]
    asked = [{"path": path} for path in paths]
    asked.append({"path": "/v1/rank", "method": "POST", "body": {"items": LISTS, "user_id": "u1"}})  # type: ignore[dict-item]
    entries = api.post("/v1/batch", {"requests": asked}).json()["answers"]
    change(api)
    for entry in entries:
        body = entry["body"]
        made_again = again(api, httpx.Response(200, json=body), surfaces=EXPLORING)
        assert made_again.differs == ""


def test_pages_of_a_list_with_slots_are_the_same(api: Api) -> None:
    answer = ask(api, "home", n=20)
    for _ in range(4):
        same(api, answer, surfaces=EXPLORING)
        answer = ask(api, "home", n=20, next=answer.json()["next"], explain="full")


@pytest.mark.parametrize("kind", ["home", "page"])
def test_pictures_that_could_not_be_chosen_are_a_fact(api: Api, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(api.services.catalogue.columns.arms, "pictures", None)
        answer = KINDS[kind](api, explain="full")
        assert answer.json()["degraded"] == ["explain"]
    change(api)
    same(api, answer, surfaces=EXPLORING)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("again", "velocity")])
def test_stages_that_failed_are_facts(api: Api, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second run of a stage that filters, ranks, reorders or explains fails, and then none does any more."""
    real, runs = Trace.run, [0]

    def run(self: Trace, step: str, stage: Stage, query: Query, work: Callable[[], Any], candidates: int = 0) -> Any:
        def broken() -> Any:
            if isinstance(self, RecordingTrace) and step not in GIVEN:
                runs[0] += 1
                if runs[0] % 2:
                    raise OSError("broken")
            return work()

        return real(self, step, stage, query, broken, candidates)

    with monkeypatch.context() as patch:
        patch.setattr(Trace, "run", run)
        answer = KINDS[kind](api, explain="full")
    assert answer.json()["degraded"]
    change(api)
    same(api, answer, surfaces=EXPLORING)


@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("kind", ["home", "friends", "people_like_you"])
def test_stages_that_failed_while_a_list_was_filled_up_are_facts(
    api: Api, kind: str, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filters go through the catalogue in portions, whose number is another one in a slice: from some run on all of
    them fail, and re-rankers that reserve places do."""
    real_aside, real, asides, runs = RecordingTrace.aside, Trace.run, set[int](), [0]

    def aside(self: RecordingTrace) -> Trace:
        found = real_aside(self)
        asides.add(id(found))
        kept.append(found)
        return found

    def run(self: Trace, step: str, stage: Stage, query: Query, work: Callable[[], Any], candidates: int = 0) -> Any:
        def broken() -> Any:
            runs[0] += 1
            if runs[0] > first:
                raise OSError("broken")
            return work()

        return real(self, step, stage, query, broken if id(self) in asides else work, candidates)

    kept: list[Trace] = []
    api.services.catalogue.columns.available[::2] = False
    with monkeypatch.context() as patch:
        patch.setattr(RecordingTrace, "aside", aside)
        patch.setattr(Trace, "run", run)
        answer = KINDS[kind](api, explain="full", n=60)
    assert runs[0] > first, "some have failed"
    same(api, answer, surfaces=EXPLORING)


@pytest.mark.parametrize("finds", [True, False], ids=["found", "none found"])
@pytest.mark.parametrize("explain", ["reason", "full"])
@pytest.mark.parametrize(("left", "later"), [(0, True), (0, False), (2, False)], ids=["later page", "none", "two"])
def test_a_filter_that_failed_on_candidates_of_which_none_was_left_is_a_fact(
    api: Api, left: int, later: bool, explain: str, finds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what fills a list up a record has those that are on it, which are none here: the person has met all others, or
    all that are popular."""
    monkeypatch.setattr("recommend.popular.LENGTH", 5)
    query: dict[str, Any] = {"explain": explain, "n": 5}
    available = api.services.catalogue.columns.available
    if later:  # which ends the list where nothing is left, and gives up no filter
        available[-5:] = False
        query["next"] = KINDS["home"](api, **query).json()["next"]
        available[:] = finds
        available[-5:] = True
    api.rows.of["u1"] = {**api.rows.of["u1"], **made.met([ANCHOR, *(f"i{k}" for k in range(left, N))])}
    real_aside, real, asides = RecordingTrace.aside, Trace.run, list[Trace]()

    def aside(self: RecordingTrace) -> Trace:
        asides.append(real_aside(self))
        return asides[-1]

    def run(self: Trace, step: str, stage: Stage, query: Query, work: Callable[[], Any], candidates: int = 0) -> Any:
        def broken() -> Any:
            raise OSError("broken")

        fails = any(self is each for each in asides) and stage.name == "disliked"
        fails |= not finds and step == "retrieve"
        return real(self, step, stage, query, broken if fails else work, candidates)

    with monkeypatch.context() as patch:
        patch.setattr(RecordingTrace, "aside", aside)
        patch.setattr(Trace, "run", run)
        answer = KINDS["home"](api, **query)
    assert "filter" in answer.json()["degraded"]
    assert later is (answer.json()["items"] == [])
    change(api)
    same(api, answer, surfaces=EXPLORING)


@pytest.mark.parametrize("broken_filter", ["disliked", "seen"])
@pytest.mark.parametrize("explain", ["reason", "full"])
def test_a_filter_that_failed_on_a_later_portion_only_is_a_fact(
    api: Api, explain: str, broken_filter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It alone had removed the first item, in a portion before: what is recorded of what was gone through is not that
    one. It is the most popular one, or, where nothing can be retrieved, the first of the catalogue."""
    monkeypatch.setattr("recommend.popular.LENGTH", 5)
    short = {
        name: replace(each, paging=each.paging._replace(depth=5)) if each.paging else each
        for name, each in EXPLORING.items()
    }
    object.__setattr__(api.services, "surfaces", tuple(short.values()))
    for name in ("named", "personal", "trending_by"):
        api.services.__dict__.pop(name, None)
    query: dict[str, Any] = {"explain": explain, "n": 5}
    available = api.services.catalogue.columns.available
    available[:1] = available[-5:] = False
    query["next"] = KINDS["home"](api, **query).json()["next"]
    available[:] = True
    all_items = [ANCHOR, *(f"i{k}" for k in range(N))]
    disliked, met = (all_items[-1:], all_items[:-1]) if broken_filter == "disliked" else (all_items[1:], [ANCHOR])
    api.rows.of["u1"] = person([("dislike", each) for each in disliked], consent=True, **made.met(met))
    real_aside, real, asides, failed = RecordingTrace.aside, Trace.run, Counter[int](), Counter[str]()
    kept: list[Trace] = []

    def aside(self: RecordingTrace) -> Trace:
        kept.append(real_aside(self))
        asides[id(kept[-1])] = 0
        return kept[-1]

    def run(self: Trace, step: str, stage: Stage, query: Query, work: Callable[[], Any], candidates: int = 0) -> Any:
        def broken() -> Any:
            failed[step] += 1
            raise OSError("broken")

        fails = step == "retrieve" and broken_filter == "seen"
        if id(self) in asides and stage.name == broken_filter:
            asides[id(self)] += 1
            fails = asides[id(self)] > 1
        return real(self, step, stage, query, broken if fails else work, candidates)

    with monkeypatch.context() as patch:
        patch.setattr(RecordingTrace, "aside", aside)
        patch.setattr(Trace, "run", run)
        answer = KINDS["home"](api, **query)
    assert failed["filter"] == 1, "it has failed on a second portion"
    assert "filter" in answer.json()["degraded"]
    assert answer.json()["items"] == []
    change(api)
    same(api, answer, surfaces=short)


def test_how_many_items_a_row_might_have_is_a_fact(api: Api) -> None:
    """A slice does not have them all, and whether a row is filled up depends on their number."""
    found = again(api, KINDS["page"](api), surfaces=EXPLORING)
    assert found.record.page is not None
    counted = {len(of.outcomes): of.n_allowed for of in found.record.page.rows if of.n_allowed is not None}
    allowed = int(api.services.catalogue.columns.available.sum())
    assert counted
    assert max(counted.values()) <= allowed
    of_rows = [answer.query.__dict__.get("n_allowed") for _, answer in found.lists]
    assert set(of_rows) & set(counted.values())
    assert max(each for each in of_rows if each is not None) > len(found.record.slice.ids) // 2


def test_rows_of_a_kind_that_is_gone_are_named(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = KINDS["page"](api)
    monkeypatch.setattr("serving.page_record.KINDS", ())
    with pytest.raises(Exception, match="surface: rows of the kind home"):
        again(api, answer, surfaces=EXPLORING)


def test_a_row_that_could_not_be_planned_is_a_fact(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr("recommend.page_rows.has_favourites", broken)
        answer = KINDS["page"](api)
        assert {"row:friends", "row:people_like_you"} <= set(answer.json()["degraded"])
    same(api, answer, surfaces=EXPLORING)


# -- other people ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["friends", "people_like_you", "page"])
def test_a_record_names_nobody_else_and_is_forgotten_with_each_of_them(api: Api, kind: str) -> None:
    other = KINDS["home"](api).json()["request_id"]
    for whom in ("ann", "bob") if kind == "friends" else ("ann", "bob", "cynthia"):
        answer = KINDS[kind](api)
        mine = answer.json()["request_id"]
        assert stored(api) == {other, mine}
        assert sum(len(each.rows) for each in again(api, answer, surfaces=EXPLORING).record.others.values())
        for name in (b"ann", b"bob", b"cynthia"):
            assert name not in content(api, mine)
            assert name not in content(api, other)
        assert {"ann", "bob"} <= made_of(api, mine)
        assert made_of(api, other) == set()
        waiting = KINDS[kind](api).json()["request_id"]
        api.post("/v1/users", {"user_id": whom, "consent": False})
        assert stored(api) == {other}
        assert waiting not in stored(api)
        consents(api, whom)


def content(api: Api, request_id: str) -> bytes:
    """The record, unpacked."""
    entry = api.services.recorder._store.find(request_id)
    assert entry is not None
    return zlib.decompress(entry.record)


def made_of(api: Api, request_id: str) -> set[str]:
    """Those with whom the record is deleted."""
    with sqlite3.connect(api.services.settings.records) as db:
        found = {row[0] for row in db.execute("SELECT person FROM made_of WHERE request_id = ?", (request_id,))}
    db.close()
    return found


def test_who_liked_nothing_among_the_candidates_is_not_one_of_whom_a_record_is_made(api: Api) -> None:
    api.rows.of["bob"] |= person([("like", "nothing that there is")], consent=True)
    api.rows.of["bob"]["recent_times"] = [now_ms()]
    mine = KINDS["friends"](api).json()["request_id"]
    assert mine in stored(api)
    assert made_of(api, mine) == {"ann"}


def consents(api: Api, user_id: str) -> None:
    """The person appears in answers again."""
    api.post("/v1/users", {"user_id": user_id, "consent": True})
    people = api.services.people
    people._held.clear()
    people.on_record(USERS, user_id.encode(), codec.encode(User(user_id, consent=True)))
    api.run(asyncio.to_thread(people.refresh))


@pytest.mark.parametrize("people", [0, 100])
@pytest.mark.parametrize(
    "withdrawal", [codec.encode(User("ann", consent=False)), None], ids=["withdraws", "is deleted"]
)
def test_a_withdrawal_through_another_server_is_one(tmp_path: Path, people: int, withdrawal: bytes | None) -> None:
    api = Api(tmp_path / "bundles", record_share=1.0, people=people)
    stock(api, ITEMS, VECTORS)
    api.rows.of |= {
        "u1": person(consent=True) | {"follow_ids": ["ann"], "follow_times": [now_ms()], "follow_ended": [False]},
        "ann": person([("like", "i3")], consent=True) | {"recent_times": [now_ms()]},
    }
    answer = ask(api, "friends")
    assert "liked_by_friends" in answer.text
    other = ask(api, "home").json()["request_id"]
    assert len(stored(api)) == 2
    follow = api.services.on_record_of_person
    follow(USERS, b"u9", codec.encode(User("u9", consent=True)), now_ms())
    assert len(stored(api)) == 2
    waiting = ask(api, "friends").json()["request_id"]
    follow(USERS, b"ann", withdrawal, now_ms())
    assert stored(api) == {other}, waiting
    api.close()


@pytest.mark.parametrize("people", [0, 100])
def test_until_the_job_has_written_the_row_a_withdrawal_elsewhere_holds(tmp_path: Path, people: int) -> None:
    api = Api(tmp_path / "bundles", record_share=1.0, people=people)
    stock(api, ITEMS, VECTORS)
    api.rows.of |= {
        "u1": person(consent=True) | {"follow_ids": ["ann"], "follow_times": [now_ms()], "follow_ended": [False]},
        "ann": person([("like", "i3")], consent=True) | {"recent_times": [now_ms()]},
    }
    follow = api.services.on_record_of_person
    follow(USERS, b"ann", codec.encode(User("ann", consent=False)), now_ms())
    assert stored(api) == set()
    answer = ask(api, "friends")  # the row still says that ann consents
    assert "liked_by_friends" not in answer.text
    ann = api.get("/v1/users/ann/feed").json()["request_id"]
    assert stored(api) == {answer.json()["request_id"]}, ann
    follow(USERS, b"ann", codec.encode(User("ann", consent=True)), now_ms())
    answer = ask(api, "friends")
    assert "liked_by_friends" in answer.text
    assert answer.json()["request_id"] in stored(api)
    api.close()


def test_a_request_under_way_at_a_withdrawal_leaves_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(tmp_path / "bundles", record_share=1.0)
    stock(api, ITEMS, VECTORS)
    api.rows.of |= {
        "u1": person(consent=True) | {"follow_ids": ["ann"], "follow_times": [now_ms()], "follow_ended": [False]},
        "ann": person([("like", "i3")], consent=True) | {"recent_times": [now_ms()]},
    }
    real = Recorder.put

    def put(self: Recorder, captured: Capture) -> None:
        api.services.on_consent("ann", False, now_ms())
        self.flush()
        real(self, captured)

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "put", put)
        assert "liked_by_friends" in ask(api, "friends").text
    assert stored(api) == set()
    assert not api.services.recorder._waiting
    api.close()


# -- slots of other surfaces than feeds ------------------------------------------------------------


def impressions(api: Api) -> list[Impression]:
    api.run(api.services.impressions.stop())
    return [event for _, event in api.log.stored if isinstance(event, Impression)]


@pytest.mark.parametrize("kind", [kind for kind in PATHS if kind != "push"])  # whose lists are too short
def test_slots_of_any_surface_are_drawn_and_logged_with_their_propensities(api: Api, kind: str) -> None:
    answer = KINDS[kind](api, n=20, explain="full").json()
    (shown,) = impressions(api)
    assert (shown.request_id, shown.surface) == (answer["request_id"], answer["surface"])
    assert shown.items == [entry["item_id"] for entry in answer["items"]]
    (record,) = [stage for stage in answer["trace"] if stage["stage"] == "exploration"]
    assert shown.explored
    assert shown.propensities is not None
    assert record["explored"] == {
        shown.items[at]: pytest.approx(shown.propensities[at], abs=1e-6) for at in shown.explored
    }
    assert [p for at, p in enumerate(shown.propensities) if at not in shown.explored] == [1.0] * (
        len(shown.items) - len(shown.explored)
    )
    assert all(0 < shown.propensities[at] < 1 for at in shown.explored)
    linear = isinstance(EXPLORING[answer["surface"]].exploration.policy, LinUcb)  # type: ignore[union-attr]
    assert (shown.contexts is not None) == linear


@pytest.mark.parametrize("query", [{"dry_run": True}, {"user_id": None}, {"diversity": 0}, {"n": 5}], ids=str)
def test_a_list_that_teaches_nothing_explores_nothing(api: Api, query: dict[str, Any]) -> None:
    asked = {"n": 20, "user_id": "u1", "explain": "full"} | query
    asked = {name: value for name, value in asked.items() if value is not None}
    answer = api.get(PATHS["similar"], **asked).json()
    assert not [stage for stage in answer["trace"] if stage.get("explored")]
    assert all(shown.explored is None for shown in impressions(api))


def test_without_slots_such_a_surface_logs_nothing(tmp_path: Path) -> None:
    api = Api(tmp_path / "bundles")
    stock(api, ITEMS, VECTORS)
    api.rows.of["u1"] = person(consent=True)
    for kind in ("similar", "trending", "onboarding", "bought_together"):
        assert KINDS[kind](api).status_code == 200
    assert impressions(api) == []
    api.close()


def test_the_body_of_a_page_is_the_documented_one(api: Api) -> None:
    answer = KINDS["page"](api).json()
    assert set(answer) == set(PageAnswer.__struct_fields__) - {"filter"}
