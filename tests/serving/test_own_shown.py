"""A surface that rotates counts what this server showed a moment ago, once, and nothing of a dry run."""

from __future__ import annotations

from typing import Any

import pytest

from operators.hashes import hash64
from operators.shown import SEALED, VISIT, entries_of, pack, showings
from operators.time import DAY
from recommend.surfaces.home import home
from schemas.clock import now_ms
from schemas.events import Impression, Item
from serving.own_shown import PER_PERSON, OwnShown
from tests.serving.made import Api, person
from tests.serving.surfaces import ids, stock

ITEMS = [f"i{k}" for k in range(40)]


@pytest.fixture(autouse=True)
def _stocked(api: Api) -> None:
    stock(api, [Item(item, item) for item in ITEMS], {item: [1, k, 0, 0] for k, item in enumerate(ITEMS)})
    api.rows.of["u1"] = person(last_event_at=1)


def posted(request_id: str, items: list[str], at: int, surface: str = "home") -> dict[str, Any]:
    return {"request_id": request_id, "user_id": "u1", "timestamp": at, "items": items, "surface": surface}


def test_what_was_shown_on_three_visits_makes_way_at_once_and_comes_back_when_taken(api: Api) -> None:
    first, now = ids(api.get("/v1/users/u1/feed", n=5)), now_ms()
    for n in range(3):
        assert ids(api.get("/v1/users/u1/feed", n=5)) == first
        assert api.post("/v1/impressions", posted(f"r{n}", first, now - (n + 1) * 3_600_000)).status_code == 202
    answer = api.get("/v1/users/u1/feed", n=5, explain="full")
    assert not set(first) & set(ids(answer)), "the fourth visit"
    (record,) = [each for each in answer.json()["trace"] if each["stage"] == "rotation"]
    assert set(first) <= set(record["rotated"])
    assert len(ids(api.get("/v1/users/u1/feed", n=40))) == 40, "the list is full, those that rest last"
    assert set(ids(api.get("/v1/users/u1/feed", n=30))) & set(first) == set()


def test_a_dry_run_and_another_surface_leave_no_trace(api: Api) -> None:
    first = ids(api.get("/v1/users/u1/feed", n=5, dry_run="true"))
    now = now_ms()
    for n in range(2):
        api.post("/v1/impressions", posted(f"r{n}", first, now - (n + 1) * 3_600_000))
        api.post("/v1/impressions", posted(f"s{n}", first, now - (n + 3) * 3_600_000, "evening"))
    assert ids(api.get("/v1/users/u1/feed", n=5)) == first


def test_what_the_row_has_by_now_counts_once(api: Api) -> None:
    first = ids(api.get("/v1/users/u1/feed", n=5, dry_run="true"))
    now = now_ms()
    api.post("/v1/impressions", posted("r1", first, now - DAY))
    row = [("home", hash64(item), (now - ago) // VISIT) for item in first for ago in (DAY, 2 * DAY)]
    api.rows.of["u1"][SEALED] = pack(row)
    assert ids(api.get("/v1/users/u1/feed", n=5)) == first


def test_a_click_ends_the_count(api: Api) -> None:
    first = ids(api.get("/v1/users/u1/feed", n=3, dry_run="true"))
    visit = [("home", hash64(item), (now_ms() - n * DAY) // VISIT) for item in first for n in (1, 2, 3)]
    api.rows.of["u1"][SEALED] = pack(visit)
    assert not set(first) & set(ids(api.get("/v1/users/u1/feed", n=3)))
    api.rows.of["u1"] |= person([("click", first[0])], last_event_at=1) | {"recent_times": [now_ms()]}
    found = api.get("/v1/users/u1/feed", n=40, explain="full").json()
    (record,) = [each for each in found["trace"] if each["stage"] == "rotation"]
    assert set(record["rotated"]) == set(first[1:])


def test_a_withdrawal_forgets_it(api: Api) -> None:
    ids(api.get("/v1/users/u1/feed", n=5))
    assert api.services.shown._of
    api.post("/v1/users", {"user_id": "u1", "consent": False})
    assert not api.services.shown._of


def test_a_request_whose_surface_does_not_rotate_reads_nothing_of_it(api: Api) -> None:
    asked: list[bool] = []
    read = api.rows.read

    def watched(user_id: str, attributes: bool = False, shown: bool = False) -> Any:
        asked.append(shown)
        return read(user_id, attributes, shown)

    api.rows.read = watched  # type: ignore[method-assign]
    api.get("/v1/trending", user_id="u1")
    api.get("/v1/users/u1/feed", surface="push")
    api.get("/v1/users/u1/feed")
    assert asked == [False, True, True]
    assert home.rotation is not None


def test_memory_is_bounded_by_entries_of_a_person_bytes_and_age() -> None:
    time = [0.0]
    own = OwnShown(600, lambda: time[0], 100_000)
    own.add(Impression("mail", "u1", now_ms(), ["m1", "m2"], "email"))
    for n in range(50):
        own.add(Impression(f"r{n}", "u1", now_ms() + n, [f"i{n}-{k}" for k in range(200)]))
    assert len(own._of["u1"]) <= 12 * 2 * PER_PERSON + 100
    found = showings({}, ["email"], own._of["u1"]).hashes.tolist()
    assert sorted(found) == sorted([hash64("m1"), hash64("m2")]), "feeds do not push out what was mailed"
    for n in range(1000):
        own.add(Impression(f"p{n}", f"u{n}", now_ms(), [f"i{k}" for k in range(20)]))
    assert sum(map(len, own._of.values())) < 100_000
    assert "u999" in own._of
    assert "u1" not in own._of
    assert len(entries_of(Impression("r", "u1", now_ms(), [f"i{k}" for k in range(1000)]))) == 200
    time[0] = 601
    assert not own._of


def test_a_person_with_impressions_of_any_surfaces_has_a_feed(api: Api) -> None:
    first, now = ids(api.get("/v1/users/u1/feed", n=5)), now_ms()
    many = [posted(f"r{n}", ["i1"], now, f"s{n}") for n in range(300)]
    assert api.post("/v1/impressions", many).status_code == 202
    answer = api.get("/v1/users/u1/feed", n=5)
    assert (ids(answer), answer.json()["degraded"]) == (first, [])
    for surface in ("email", "push"):
        assert ids(api.get("/v1/users/u1/feed", surface=surface))


def test_what_a_page_has_shown_on_three_visits_makes_way_in_its_rows_and_in_the_feed(api: Api) -> None:
    def for_you() -> list[str]:
        rows = api.get("/v1/users/u1/page", per_row=5).json()["rows"]
        (row,) = (row for row in rows if row["algorithm"] == "home")
        return [entry["item_id"] for entry in row["items"]]

    first, now = for_you(), now_ms()
    assert for_you() == first, "a reload is the same visit"
    for n in range(2):
        api.post("/v1/impressions", posted(f"r{n}", first, now - (n + 1) * 3_600_000, "page:home"))
    assert for_you() == first
    api.post("/v1/impressions", posted("r3", first, now - 3 * 3_600_000, "page:home"))
    assert not set(first) & set(for_you())
    assert not set(first) & set(ids(api.get("/v1/users/u1/feed", n=5)))


def test_who_withdraws_through_another_server_and_consents_again_begins_without(api: Api) -> None:
    first, now = ids(api.get("/v1/users/u1/feed", n=5, dry_run="true")), now_ms()
    for n in range(3):
        api.post("/v1/impressions", posted(f"r{n}", first, now - (n + 1) * 3_600_000))
    assert not set(first) & set(ids(api.get("/v1/users/u1/feed", n=5, dry_run="true")))
    api.rows.of["u1"]["consent"] = False
    api.get("/v1/users/u1/feed", n=5)
    api.rows.of["u1"]["consent"] = True
    assert ids(api.get("/v1/users/u1/feed", n=5, dry_run="true")) == first


def test_a_rule_of_not_again_reads_what_was_shown(api: Api) -> None:
    first = ids(api.get("/v1/users/u1/feed", n=5))
    rule = {"kind": "not_again", "days": 2, "events": ["impression"]}
    assert api.ask("PUT", "/v1/rules/once", json=rule, params={"by": "ann"}).status_code in (200, 201)
    second = ids(api.get("/v1/users/u1/feed", n=5))
    assert not set(first) & set(second)
    assert not {*first, *second} & set(ids(api.get("/v1/users/u1/feed", n=5)))


def test_what_was_pushed_is_not_mailed_a_moment_later(api: Api) -> None:
    pushed = ids(api.get("/v1/users/u1/feed", surface="push"))
    assert ids(api.get("/v1/users/u1/feed", surface="push")) == pushed, "an answer that was lost can be asked for again"
    assert not set(pushed) & set(ids(api.get("/v1/users/u1/feed", surface="email")))
