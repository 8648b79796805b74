"""`filter=` over HTTP: on every surface, checked, and in force with the next answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from recommend.surfaces import PERSONAL, SURFACES
from schemas.events import Item
from tests.serving.made import Api, person, popular

N = 60
ITEMS = [
    Item(
        f"i{k}", f"Title {k}", ["horror" if k % 3 == 0 else "comedy"], "B" if k % 2 else None, float(k),
        available=k != 4, attributes={"year": 1950 + k},
    )
    for k in range(N)
]  # fmt: skip
PATHS = {
    **{name: f"/v1/users/u1/feed?surface={name}" for name in PERSONAL},
    "similar": "/v1/items/i30/similar",
    "trending": "/v1/trending",
    "onboarding": "/v1/onboarding",
}


@pytest.fixture(autouse=True)
def _stocked(api: Api) -> None:
    api.stock(ITEMS, {f"i{k}": [1, k / 4, 0, 0] for k in range(N)})
    popular(api.services.catalogue, {f"i{k}": float(k) for k in range(N)})


def ids(answer: Any) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {entry["item_id"] for entry in answer.json()["items"]}


def test_every_surface_has_a_path_here() -> None:
    elsewhere = {"bought_together", "cart", "rank"}  # test_together.py, test_rank.py
    assert {*PATHS, *elsewhere} == {surface.name for surface in SURFACES}


@pytest.mark.parametrize("path", PATHS.values())
def test_on_every_surface_only_what_passes_is_shown(api: Api, path: str) -> None:
    found = api.get(path, n=50, filter='item.price < 20 && !("horror" in item.categories)')
    expected = {i.item_id for i in ITEMS if i.price is not None and i.price < 20 and "horror" not in i.categories}
    assert ids(found) == expected - {"i4"}
    assert found.json()["filter"] == {"matching": len(expected) - 1, "fewer": True}
    full = api.get(path, n=5, filter="item.price < 20").json()
    assert (len(full["items"]), full["filter"]) == (5, {"matching": 19, "fewer": False})
    assert "filter" not in api.get(path).json()


@pytest.mark.parametrize("path", PATHS.values())
def test_the_trace_says_what_the_filter_removed(api: Api, path: str) -> None:
    stages = {s["stage"]: s for s in api.get(path, filter="item.price < 20", explain="full").json()["trace"]}
    of_all = stages["catalogue_filter"]
    assert (of_all["step"], of_all["candidates_in"], of_all["candidates_out"], of_all["removed"]) == (
        "filter", N - 1, 19, 40,
    )  # fmt: skip
    assert stages["filter"].get("removed", 0) == 0, "retrievers have looked for nothing else"


@pytest.mark.parametrize("path", PATHS.values())
def test_where_nothing_passes_the_answer_is_empty_and_says_so(api: Api, path: str) -> None:
    found = api.get(path, filter="item.price < 0")
    assert ids(found) == set()
    assert found.json()["filter"] == {"matching": 0, "fewer": True}
    assert found.json()["degraded"] == []


@pytest.mark.parametrize("path", PATHS.values())
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("item.price <", "character 13: the filter ends too early"),
        ("item.prise < 3", "character 1: item.prise is not known; did you mean item.price?"),
        ('item.price < "3"', "character 14: < compares a number with a string"),
        ("", "character 1: the filter is empty"),
        ("x" * 2001, "must have at most 2000 characters"),
    ],
)
def test_a_filter_that_cannot_be_used_is_refused_with_the_place(api: Api, path: str, text: str, says: str) -> None:
    answer = api.get(path, filter=text)
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert fault["name"] == "filter"
    assert fault["detail"].startswith(says)
    assert says in answer.json()["detail"]


@pytest.mark.parametrize("path", [PATHS["similar"], PATHS["trending"]])
def test_a_surface_that_is_for_nobody_reads_no_person(api: Api, path: str) -> None:
    answer = api.get(path, filter="item.price < 3 && item.year > user.age")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["detail"].startswith("character 31: ")


@pytest.fixture
def shown(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """The server, allowed to show profiles."""
    settings = api.services.settings.model_copy(update={"list_users": True})
    monkeypatch.setattr(api.services, "settings", settings)
    return api


def test_attributes_of_profiles_are_read_only_where_profiles_may_be(api: Api) -> None:
    """Whether items match tells a part of an attribute."""
    packed = msgspec.msgpack.encode({"email": "a@b.de"})
    api.rows.of["u1"] = person(profile_attributes=packed, interests=["horror"])
    for text in ('item.price > 0 && user.email.startsWith("a")', 'item.price > 0 && has(user.attributes["email"])'):
        answer = api.get(PATHS["home"], filter=text)
        assert answer.status_code == 403
        assert "FRESHET_LIST_USERS" in answer.json()["detail"]
    for text in ('user.user_id == "u1"', "item.categories.exists(c, c in user.interests)"):
        assert ids(api.get(PATHS["home"], filter=text)), "the server shows these anyway"


def test_attributes_are_read_from_the_store_only_for_a_filter_that_reads_them(
    shown: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    read = shown.rows.read

    def spy(user_id: str, attributes: bool = False, shown: bool = False) -> Any:
        asked.append(attributes)
        return read(user_id, attributes, shown)

    monkeypatch.setattr(shown.rows, "read", spy)
    for text in (None, "item.price > 3", 'user.user_id == "u1"', "user.age > 3"):
        shown.get(PATHS["home"], **({"filter": text} if text else {}))
    assert asked == [False, False, False, True]


def test_the_persons_attributes_are_those_of_their_profile(shown: Api) -> None:
    packed = msgspec.msgpack.encode({"birth_year": 2000, "country": "DE"})
    shown.rows.of["u1"] = person(profile_attributes=packed, interests=["horror"])
    younger = {i.item_id for i in ITEMS if int(str(i.attributes["year"])) >= 2000}
    assert ids(shown.get(PATHS["home"], n=50, filter="item.year >= user.birth_year")) == younger
    own = ids(shown.get(PATHS["home"], n=50, filter="item.categories.exists(c, c in user.interests)"))
    assert own == {f"i{k}" for k in range(0, N, 3)}
    assert ids(shown.get(PATHS["home"], filter='user.user_id == "u1" && user.country == "DE"'))
    assert ids(shown.get("/v1/users/u2/feed", filter="item.year >= user.birth_year")) == set()


def test_a_profile_that_was_just_posted_is_read_by_the_next_filter(shown: Api) -> None:
    shown.post("/v1/users", {"user_id": "u1", "attributes": {"birth_year": 2005}})
    assert ids(shown.get(PATHS["home"], n=50, filter="item.year >= user.birth_year")) == {
        f"i{k}" for k in range(55, 60)
    }


def test_without_consent_nothing_of_the_person_is_read(shown: Api) -> None:
    shown.post("/v1/users", {"user_id": "u1", "attributes": {"birth_year": 1950}, "consent": False})
    assert ids(shown.get(PATHS["home"], filter="item.year >= user.birth_year")) == set()


@pytest.mark.parametrize("path", PATHS.values())
def test_a_changed_attribute_changes_the_next_answer(api: Api, path: str) -> None:
    catalogue = api.services.catalogue
    asked = {"n": 50, "filter": "item.year >= 2005"}
    assert ids(api.get(path, **asked)) == {f"i{k}" for k in range(55, 60)}
    catalogue.put_item(Item("i7", "Title 7", ["comedy"], price=7, attributes={"year": 2020}))
    catalogue.put_item(Item("i59", "Title 59", ["comedy"], price=7))
    assert ids(api.get(path, **asked)) == {"i7", *(f"i{k}" for k in range(55, 59))}
    catalogue.put_item(Item("i7", "Title 7", ["comedy"], price=7, available=False, attributes={"year": 2020}))
    assert ids(api.get(path, **asked)) == {f"i{k}" for k in range(55, 59)}


def test_the_requests_region_can_be_read(api: Api) -> None:
    assert ids(api.get(PATHS["trending"], region="DE", filter='request.region == "FR"')) == set()
    assert ids(api.get(PATHS["home"], region="FR", filter='request.region == "FR"'))


def test_where_the_filter_fails_nothing_is_shown_and_the_answer_says_so(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object, request: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("recommend.filtering.item_filter.ItemFilter.mask", fail)
    answer = api.get(PATHS["home"], filter="item.price < 20", explain="full")
    assert ids(answer) == set()
    assert answer.json()["degraded"] == ["filter"]
    assert "secret" not in answer.text
