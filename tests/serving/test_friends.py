"""Following people over HTTP, and what those whom a person follows liked: the surface and the row of a page."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from recommend.favourites import LATELY
from schemas.clock import now_ms
from schemas.events import Item
from serving.others import MOST_FRIENDS
from tests.serving.made import Api, met, person, popular

ITEMS = [Item(f"i{k:02}", f"Film {k}", [("comedy", "drama")[k % 2]]) for k in range(30)]
VECTORS = {item.item_id: [1, k / 10, 0, 0] for k, item in enumerate(ITEMS)}
numbers = count()


@pytest.fixture(autouse=True)
def _stocked(api: Api) -> None:
    api.stock(ITEMS, VECTORS)
    popular(api.services.catalogue, {item.item_id: float(k) for k, item in enumerate(ITEMS)})
    for n, friend in enumerate(("ann", "bob", "cy")):
        api.rows.of[friend] = liked("i03", f"i{10 + n}")


def liked(*items: str, age_ms: int = 60_000, **values: Any) -> dict[str, Any]:
    row = person([("like", item) for item in items], consent=True, **values)
    return row | {"recent_times": [now_ms() - age_ms - n for n in range(len(items))]}


def send(api: Api, kind: str, whom: str, user_id: str = "u1", at: int | None = None) -> str:
    event = {
        "event_id": f"f{next(numbers)}", "event_type": kind, "user_id": user_id, "timestamp": at or now_ms(),
        "properties": {"followed": whom},
    }  # fmt: skip
    answer = api.post("/v1/events", event)
    assert (answer.status_code, answer.json()["rejected"]) == (202, []), answer.text
    return str(answer.json()["token"])


def shown(api: Api, user_id: str = "u1", **query: Any) -> dict[str, Any]:
    answer = api.get(f"/v1/users/{user_id}/feed", surface="friends", **query)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def ids(found: dict[str, Any]) -> list[str]:
    return [entry["item_id"] for entry in found["items"]]


def test_a_follow_is_in_force_at_once_and_an_unfollow_too(api: Api) -> None:
    assert send(api, "follow", "ann")
    assert send(api, "follow", "bob")
    assert api.get("/v1/users/u1/features").json()["follows"] == ["bob", "ann"]
    assert set(ids(shown(api, n=3))) == {"i03", "i10", "i11"}
    send(api, "unfollow", "bob")
    assert api.get("/v1/users/u1/features").json()["follows"] == ["ann"]
    assert set(ids(shown(api, n=2))) == {"i03", "i10"}


def test_what_most_of_them_liked_comes_first_and_the_reason_names_nobody(api: Api) -> None:
    for friend in ("ann", "bob", "cy"):
        send(api, "follow", friend)
    found = shown(api, n=6)
    assert ids(found)[0] == "i03"
    reasons = {entry["item_id"]: entry["reason"] for entry in found["items"]}
    assert reasons["i03"] == {"code": "liked_by_friends", "text": "3 of those whom you follow liked this"}
    assert reasons["i10"] == {"code": "liked_by_friends", "text": "Someone whom you follow liked this"}
    assert ids(found)[:1] + sorted(ids(found)[1:4]) == ["i03", "i10", "i11", "i12"]
    assert {reasons[item]["code"] for item in ids(found)[4:]} <= {"popular", "because_category"}, (
        "the list is filled up"
    )
    assert found["degraded"] == []
    said = str(found)
    assert not any(friend in said for friend in ("'ann'", "'bob'", "'cy'"))
    assert shown(api, n=1, locale="de")["items"][0]["reason"]["text"] == "Gefällt 3 von denen, denen du folgst"


def test_recent_favourites_come_before_old_ones(api: Api) -> None:
    api.rows.of["old"] = liked("i20", age_ms=60 * 86_400_000)
    api.rows.of["new"] = liked("i21")
    send(api, "follow", "new")
    send(api, "follow", "old")
    assert ids(shown(api, n=2)) == ["i21", "i20"]


def test_favourites_are_those_as_of_the_time_of_the_answer(tmp_path: Any) -> None:
    api = Api(tmp_path / "bundles", api_key="secret")
    api._client.headers["X-API-Key"] = "secret"
    api.stock(ITEMS, VECTORS)
    api.rows.of["ann"] = liked("i03", "i04", "i05", age_ms=LATELY + 10 * 86_400_000)
    send(api, "follow", "ann")
    assert "liked_by_friends" not in str(shown(api))
    then = now_ms() - 20 * 86_400_000
    assert "liked_by_friends" in str(shown(api, at=then))
    rows = api.get("/v1/users/u1/page", at=then, rows=20, per_row=3).json()["rows"]
    assert "friends" in [row["algorithm"] for row in rows]
    api.close()


def test_what_the_person_has_met_is_left_out(api: Api) -> None:
    follows = {"follow_ids": ["ann", "bob"], "follow_times": [now_ms()] * 2, "follow_ended": [False, True]}
    api.rows.of["u1"] = person(consent=True, **met(["i03"])) | follows
    assert "i03" not in ids(shown(api, n=5))
    assert ids(shown(api, n=5))[0] == "i10"


def test_who_follows_nobody_gets_the_home_feed_which_reads_nobody(api: Api) -> None:
    api.rows.of["u1"] = person([("like", "i05")], consent=True, vector=[1.0, 0, 0, 0], vector_space="space-v1")
    home = api.get("/v1/users/u1/feed", n=10).json()["items"]
    friends = shown(api, n=10)
    assert {entry["item_id"] for entry in friends["items"]} == {entry["item_id"] for entry in home}
    assert "liked_by_friends" not in {entry["reason"]["code"] for entry in friends["items"]}
    assert friends["degraded"] == []
    assert api.rows.reads_of_people == 0


def test_other_surfaces_read_no_friends(api: Api) -> None:
    send(api, "follow", "ann")
    for surface in ("home", "email", "push"):
        assert api.get("/v1/users/u1/feed", surface=surface).status_code == 200
    assert api.rows.reads_of_people == 0
    shown(api)
    assert api.rows.reads_of_people == 1


def test_the_last_ones_are_read_in_one_round_trip(api: Api) -> None:
    now = now_ms()
    for n in range(MOST_FRIENDS + 10):
        api.rows.of[f"p{n}"] = liked("i20" if n < 10 else "i21")
        send(api, "follow", f"p{n}", at=now - 100_000 + n)
    found = shown(api, n=30, explain="reason")
    reasons = {entry["item_id"]: entry["reason"]["text"] for entry in found["items"]}
    assert reasons["i21"] == f"{MOST_FRIENDS} of those whom you follow liked this"
    assert "i20" not in reasons or "follow" not in reasons["i20"]
    assert api.rows.reads_of_people == 1


# -- consent ---------------------------------------------------------------------------------------


def test_a_friend_without_consent_is_in_nobodys_answer(api: Api) -> None:
    api.rows.of["ann"] = liked("i03", "i10") | {"consent": False}
    send(api, "follow", "ann")
    assert "liked_by_friends" not in str(shown(api))


def test_a_friend_who_withdraws_is_gone_from_the_next_answer(api: Api) -> None:
    send(api, "follow", "ann")
    assert "liked_by_friends" in str(shown(api))
    assert api.post("/v1/users", {"user_id": "ann", "consent": False}).status_code == 202
    assert "liked_by_friends" not in str(shown(api)), "although their row says that they consent"


def test_with_opt_in_a_friend_who_has_not_spoken_of_consent_is_in_no_answer(tmp_path: Any) -> None:
    api = Api(tmp_path / "bundles", consent="opt_in")
    api.stock(ITEMS, VECTORS)
    assert api.post("/v1/users", {"user_id": "u1", "consent": True}).status_code == 202
    send(api, "follow", "ann")
    api.rows.of["ann"] = liked("i03")
    assert "liked_by_friends" not in str(shown(api))
    api.rows.of["ann"] = liked("i03", consent_given=True)
    assert "liked_by_friends" in str(shown(api))
    api.close()


def test_a_person_who_withdraws_follows_nobody(api: Api) -> None:
    send(api, "follow", "ann")
    assert api.post("/v1/users", {"user_id": "u1", "consent": False}).status_code == 202
    assert "liked_by_friends" not in str(shown(api))
    assert api.post("/v1/users", {"user_id": "u1", "consent": True}).status_code == 202
    assert api.get("/v1/users/u1/features").json()["follows"] == []


# -- failures --------------------------------------------------------------------------------------


def test_a_store_that_fails_between_is_degraded_and_not_empty(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    send(api, "follow", "ann")

    def fail(*given: Any) -> Any:
        raise ConnectionError("refused")

    monkeypatch.setattr(api.rows, "read_people", fail)
    found = shown(api, n=5)
    assert (found["degraded"], len(found["items"])) == (["hydrate"], 5)


def test_bad_input_names_the_field(api: Api) -> None:
    event = {"event_id": "x", "event_type": "follow", "user_id": "u1", "timestamp": now_ms()}
    answer = api.post("/v1/events", event)
    assert answer.status_code == 422
    assert "properties.followed" in answer.text


# -- a row of a page -------------------------------------------------------------------------------


def test_a_page_has_a_row_of_them(api: Api) -> None:
    assert "friends" not in {row["algorithm"] for row in api.get("/v1/users/u1/page", rows=20).json()["rows"]}
    assert api.rows.reads_of_people == 0
    send(api, "follow", "ann")
    send(api, "follow", "cy")
    rows = api.get("/v1/users/u1/page", rows=20).json()["rows"]
    (row,) = (row for row in rows if row["algorithm"] == "friends")
    assert row["title"] == {"code": "friends", "text": "Liked by those you follow", "category": None}
    assert {entry["reason"]["code"] for entry in row["items"]} == {"liked_by_friends"}
    assert {entry["item_id"] for entry in row["items"]} <= {"i03", "i10", "i12"}
