"""Pages never repeat an item and miss none, whatever happens between them."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recommend.surfaces import PERSONAL
from schemas.clock import now_ms
from schemas.events import Impression, Item
from tests.serving.made import Api
from tests.serving.surfaces import PATHS, ask, ids, stock

N = 320
ITEMS = [Item(f"i{k}", f"Title {k}", [f"c{k % 7}"]) for k in range(N)]


def vectors(seed: int, items: list[Item]) -> dict[str, list[float]]:
    rng = random.Random(seed)
    return {item.item_id: [rng.gauss(0, 1) for _ in range(4)] for item in items}


class Two:
    """Two servers over one catalogue, whose rows are in different orders."""

    def __init__(self, folder: Path) -> None:
        self.items = {item.item_id: item for item in ITEMS}
        self.apis = [Api(folder / "a"), Api(folder / "b")]
        stock(self.apis[0], ITEMS, vectors(0, ITEMS))
        self.apis[1].services.catalogue.rows_of([item.item_id for item in reversed(ITEMS)])
        stock(self.apis[1], ITEMS, vectors(0, ITEMS))
        self.apis[1].rows.of = self.apis[0].rows.of
        self.clicked: set[str] = set()
        self.gone: set[str] = set()

    def put(self, item: Item) -> None:
        self.items[item.item_id] = item
        for api in self.apis:
            api.services.catalogue.put_item(item)

    def click(self, item_id: str) -> None:
        self.clicked.add(item_id)
        event = {"event_type": "click", "user_id": "u1", "item_id": item_id, "timestamp": now_ms()}
        for k, api in enumerate(self.apis):
            assert api.post("/v1/events", {"event_id": f"{item_id}-{k}", **event}).status_code == 202

    def sell_out(self, item_id: str) -> None:
        self.gone.add(item_id)
        self.put(Item(item_id, f"Title {item_id}", available=False))

    def new_model(self, seed: int) -> None:
        for api in self.apis:
            api.stock([], vectors(seed, list(self.items.values())), version=f"v{seed}")

    def store(self, is_away: bool) -> None:
        for api in self.apis:
            api.rows.error = ConnectionError("refused") if is_away else None

    def close(self) -> None:
        for api in self.apis:
            api.close()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    made = Two(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("surface", PATHS)
def test_ten_pages_with_clicks_new_items_and_a_new_model_between_them(two: Two, surface: str) -> None:
    whole = ids(ask(two.apis[0], surface, n=200, dry_run=True))
    assert len(set(whole)) == 200
    shown: list[str] = []
    requests: set[str] = set()
    cursor: dict[str, str] = {}
    for page in range(10):
        answer = ask(two.apis[page % 2], surface, n=20, **cursor)
        assert len(ids(answer)) == 20
        found = answer.json()
        assert [*found][-1] == "next", "it is long, and what follows it is lost in a terminal"
        assert [entry["rank"] for entry in found["items"]] == list(range(20))
        shown += ids(answer)
        requests.add(found["request_id"])
        cursor = {"next": found["next"]}
        two.click(shown[-3])
        two.put(Item(f"new{page}", "New", ["c1"], created_at=now_ms()))
        if page == 4:
            two.new_model(9)
    assert len(set(shown)) == 200
    assert set(shown) == set(whole)
    assert len(requests) == 10


steps = st.lists(
    st.one_of(
        st.tuples(st.just("page"), st.integers(1, 45)),
        st.tuples(st.just("page"), st.just(20)),
        st.tuples(st.sampled_from(["click", "sell out", "new model", "new item", "store"]), st.integers(0, N - 1)),
    ),
    max_size=25,
)


@pytest.mark.parametrize("surface", PATHS)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=steps)
def test_no_item_comes_twice_and_none_is_missed(surface: str, steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        two = Two(Path(folder))
        try:
            check(two, surface, steps)
        finally:
            two.close()


def check(two: Two, surface: str, steps: list[tuple[str, int]]) -> None:
    whole = set(ids(ask(two.apis[0], surface, n=200, dry_run=True)))
    shown: list[str] = []
    cursor: dict[str, Any] = {}
    pages = 0

    def page(n: int) -> bool:
        nonlocal cursor, pages
        pages += 1
        answer = ask(two.apis[pages % 2], surface, n=n, **cursor)
        found = ids(answer)
        assert not set(found) & set(shown), "shown twice"
        assert not set(found) & two.gone, "cannot be had"
        if surface == "home" and "hydrate" not in answer.json()["degraded"]:
            assert not set(found) & two.clicked, "met meanwhile"
        shown.extend(found)
        following = answer.json()["next"]
        assert following is None or len(found) == n, "a page that is not full is the last one"
        cursor = {"next": following}
        return following is not None

    assert page(20)
    for what, value in steps:
        if what == "page" and len(shown) < 200:
            assert page(value)
        elif what == "click":
            two.click(f"i{value}")
        elif what == "sell out":
            two.sell_out(f"i{value}")
        elif what == "new model":
            two.new_model(value)
        elif what == "new item":
            two.put(Item(f"new{value}", "New", [f"c{value % 7}"], created_at=now_ms()))
        elif what == "store":
            two.store(value % 2 == 0)
    two.store(False)
    while len(shown) < 200:
        assert page(20)
    assert whole - two.gone - two.clicked <= set(shown)


@pytest.mark.parametrize("surface", PATHS)
def test_behind_the_list_come_the_others_until_nothing_is_left(two: Two, surface: str) -> None:
    shown: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(20):
        answer = ask(two.apis[0], surface, n=40, **cursor)
        shown += ids(answer)
        if answer.json()["next"] is None:
            break
        cursor = {"next": answer.json()["next"]}
    assert answer.json()["next"] is None
    assert len(shown) == len(set(shown))
    assert len(shown) >= N - (surface == "home"), "all but the anchor where it is asked about"


@pytest.mark.parametrize("surface", PATHS)
def test_an_item_that_can_be_had_again_comes_on_a_later_page(two: Two, surface: str) -> None:
    whole = ids(ask(two.apis[0], surface, n=200))
    first = ask(two.apis[0], surface, n=20)
    away = [item_id for item_id in whole if item_id not in ids(first)][:5]
    for item_id in away:
        two.sell_out(item_id)
    second = ask(two.apis[1], surface, n=20, next=first.json()["next"])
    for item_id in away:
        two.put(Item(item_id, f"Title {item_id}"))
    shown, cursor = {*ids(first), *ids(second)}, second.json()["next"]
    while len(shown) < 200:
        answer = ask(two.apis[0], surface, n=20, next=cursor)
        assert ids(answer)
        assert not shown & {*ids(answer)}
        shown |= {*ids(answer)}
        cursor = answer.json()["next"]
    assert shown == set(whole)


@pytest.mark.parametrize("surface", PATHS)
def test_while_the_store_is_away_pages_go_on_and_say_so(two: Two, surface: str) -> None:
    first = ask(two.apis[0], surface, n=20)
    two.store(True)
    second = ask(two.apis[1], surface, n=20, next=first.json()["next"])
    third = ask(two.apis[0], surface, n=20, next=second.json()["next"])
    assert len({*ids(first), *ids(second), *ids(third)}) == 60
    assert ("hydrate" in second.json()["degraded"]) == (surface in {*PERSONAL, "cart"})


def test_a_list_that_fits_one_page_has_no_next(api: Api) -> None:
    stock(api, ITEMS[:5], vectors(0, ITEMS[:5]))
    for surface in PATHS:
        assert ask(api, surface, n=20).json()["next"] is None


def test_of_somebody_who_has_met_all_items_pages_do_not_repeat_either(api: Api) -> None:
    few = ITEMS[:50]
    stock(api, few, vectors(0, few))
    for k, item in enumerate([*few, Item("anchor")]):
        event = {"event_id": f"e{k}", "event_type": "click", "user_id": "u1", "item_id": item.item_id}
        api.post("/v1/events", event | {"timestamp": now_ms()})
    first = ask(api, "home", n=20)
    second = ask(api, "home", n=20, next=first.json()["next"])
    assert len({*ids(first), *ids(second)}) == 40


def test_what_is_left_of_those_not_met_ends_the_list(api: Api) -> None:
    """Items that the person has met come back where nothing else is left at all, and not at the end of a list."""
    few = ITEMS[:50]
    stock(api, few, vectors(0, few))
    for k in range(25):
        event = {"event_id": f"e{k}", "event_type": "click", "user_id": "u1", "item_id": f"i{k}"}
        api.post("/v1/events", event | {"timestamp": now_ms()})
    first = ask(api, "home", n=20)
    second = ask(api, "home", n=20, next=first.json()["next"])
    assert {*ids(first), *ids(second)} == {"anchor", *(f"i{k}" for k in range(25, 50))}
    assert second.json()["next"] is None


def test_every_page_is_an_impression_of_its_own(two: Two) -> None:
    api = two.apis[0]
    first = ask(api, "home", n=5)
    second = ask(api, "home", n=5, next=first.json()["next"])
    api.run(api.services.impressions.stop())
    logged = [event for _, event in api.log.stored if isinstance(event, Impression)]
    assert [(each.request_id, each.items) for each in logged] == [
        (answer.json()["request_id"], ids(answer)) for answer in (first, second)
    ]
    assert all(each.features is not None for each in logged)


def test_reasons_of_a_second_page_are_those_of_its_sources(two: Two) -> None:
    api = two.apis[0]
    two.click("i7")
    first = ask(api, "home", n=5, region="DE", explain="full").json()
    second = ask(api, "home", n=5, region="DE", explain="full", next=first["next"]).json()
    assert all(entry["detail"]["sources"] for entry in second["items"])
    assert {s["stage"] for s in second["trace"]} >= {"seen", "model", "diverse", "reasons"}
    assert "nearest" not in {s["stage"] for s in second["trace"]}


@pytest.mark.parametrize("surface", PATHS)
def test_a_cursor_that_cannot_be_is_refused_with_the_fix(two: Two, surface: str) -> None:
    api = two.apis[0]
    cursor = ask(api, surface, n=5).json()["next"]
    other = "similar" if surface != "similar" else "trending"
    for asked in (
        {"next": "nonsense"},
        {"next": cursor[:-4] + "AAAA"},
        {"next": cursor, "filter": "item.price > 3"},
        {"next": cursor, "exclude": "i3"},
        {"next": cursor, "min_score": 0.5},
        {"next": ask(api, other, n=5).json()["next"]},
    ):
        answer = ask(api, surface, n=5, **asked)
        assert answer.status_code == 422, asked
        (fault,) = answer.json()["errors"]
        assert fault["name"] == "next"
        assert "leave `next` out to begin anew" in fault["detail"]


def test_a_cursor_of_another_person_or_item_or_cart_is_refused(two: Two) -> None:
    api = two.apis[0]
    feed, cart = (ask(api, surface, n=5).json()["next"] for surface in ("home", "cart"))
    assert "another id;" in api.get("/v1/users/u2/feed", next=feed).json()["detail"]
    for body, name in (({"items": ["i3"], "user_id": "u1"}, "items"), ({"items": ["anchor"]}, "user_id")):
        answer = api.post("/v1/cart", body, params={"next": cart})
        assert f"another {name};" in answer.json()["detail"]


def test_an_old_cursor_is_refused(tmp_path: Path) -> None:
    api = Api(tmp_path, cursor_s=0.001)
    stock(api, ITEMS, vectors(0, ITEMS))
    cursor = ask(api, "home", n=5).json()["next"]
    made = now_ms() // 1000
    while now_ms() // 1000 <= made + 1:
        pass
    answer = ask(api, "home", n=5, next=cursor)
    api.close()
    assert answer.status_code == 422
    assert "is too old" in answer.json()["detail"]


def test_n_and_what_is_explained_may_change_from_page_to_page(two: Two) -> None:
    first = ask(two.apis[0], "trending", n=5)
    second = ask(two.apis[0], "trending", n=9, explain="full", dry_run=True, next=first.json()["next"])
    assert len({*ids(first), *ids(second)}) == 14
