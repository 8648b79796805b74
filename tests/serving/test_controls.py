"""Each control takes effect on the next answer of every surface, with the person's own event alone to go by."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest

from feature_repo import views
from feature_repo.builders import user_operator
from operators.contract import Record
from operators.controls import FIELDS, PART
from recommend.surfaces import PERSONAL, SURFACES
from schemas import controls
from schemas.clock import now_ms
from schemas.events import Interaction, Item
from tests.live import Live, ids, until
from tests.recommend.test_together import bought
from tests.serving.made import Api, person, popular
from training.replay import KnownItems

GENRES = ("comedy", "drama", "horror", "western")
ITEMS = [Item(f"i{k:02}", f"Film number{k}", [GENRES[k % 4]], f"studio {k % 3}") for k in range(40)]
OF = {item.item_id: item for item in ITEMS}
VECTORS = {
    item.item_id: [1.0 + (k % 4 == 0), 0.5 + (k % 4 == 1), 0.4 + (k % 4 == 2), 0.02 * k] for k, item in enumerate(ITEMS)
}
N = 30
numbers = count()

ABOUT: dict[str, Callable[[Api], Any]] = {
    **{
        name: lambda api, name=name: api.get("/v1/users/u1/feed", surface=name, n=N, explain="reason")
        for name in PERSONAL
    },
    "similar": lambda api: api.get("/v1/items/i00/similar", user_id="u1", n=N),
    "trending": lambda api: api.get("/v1/trending", user_id="u1", n=N),
    "onboarding": lambda api: api.get("/v1/onboarding", user_id="u1", n=N),
    "bought_together": lambda api: api.get("/v1/items/i00/bought-together", user_id="u1", n=N),
    "rank": lambda api: api.post("/v1/rank", {"items": list(OF), "user_id": "u1"}),
    "cart": lambda api: api.post("/v1/cart", {"items": ["i00"], "user_id": "u1"}, params={"n": N}),
}
"""surface → its answer for the person u1"""


@pytest.fixture(autouse=True)
def _stocked(api: Api) -> None:
    api.stock(ITEMS, VECTORS)
    popular(api.services.catalogue, {item.item_id: 20.0 - k / 10 for k, item in enumerate(ITEMS)})
    shares = {other.item_id: 0.9 - 0.02 * k for k, other in enumerate(ITEMS) if k}
    bought(api.services.catalogue, {"i00": (100.0, shares)} | {name: (50.0, {}) for name in shares})
    for item_id in ("i36", "i37", "i38"):
        send(api, "like", item_id)


def send(api: Api, kind: str, item_id: str | None = None, user_id: str = "u1", **properties: Any) -> str:
    """Posts an event; its id."""
    event_id = f"e{next(numbers)}"
    event = {
        "event_id": event_id, "event_type": kind, "user_id": user_id, "item_id": item_id, "timestamp": now_ms(),
        "properties": properties,
    }  # fmt: skip
    answer = api.post("/v1/events", event)
    assert answer.status_code == 202, answer.text
    assert answer.json()["rejected"] == []
    return event_id


def control(api: Api, name: str, item_id: str | None = None, **properties: Any) -> str:
    return send(api, controls.FEEDBACK, item_id, control=name, **properties)


def shown(api: Api, surface: str) -> list[str]:
    answer = ABOUT[surface](api)
    assert answer.status_code == 200, answer.text
    assert answer.json()["degraded"] == []
    out = {"hidden", "refused"}  # a list of the caller's own is marked instead of cut
    return [entry["item_id"] for entry in answer.json()["items"] if not out & set(entry.get("removed_by", ()))]


def place(found: list[str], of: Callable[[Item], bool]) -> float:
    """The mean place of such items; the length of the list stands for one without any."""
    places = [n for n, item_id in enumerate(found) if of(OF[item_id])]
    return float(np.mean(places)) if places else float(len(found))


def last(found: list[str], key: Callable[[Item], Any], among: tuple[Any, ...]) -> Any:
    """Of these values the one whose items stand lowest."""
    return max(among, key=lambda value: place(found, lambda item: key(item) == value))


def of_category(name: str) -> Callable[[Item], bool]:
    return lambda item: item.categories == [name]


is_western = of_category("western")


def _hide(api: Api, before: list[str], ask: Callable[[], list[str]]) -> None:
    control(api, "hide", before[0])
    assert before[0] not in ask()


def _less_like(api: Api, before: list[str], ask: Callable[[], list[str]]) -> None:
    control(api, "less_like", before[0])
    after, category = ask(), OF[before[0]].categories[0]
    assert before[0] not in after[:5]
    assert place(after, of_category(category)) > place(before, of_category(category))


def _not_category(api: Api, before: list[str], ask: Callable[[], list[str]]) -> None:
    category = OF[before[0]].categories[0]
    control(api, "not_category", category=category)
    after = ask()
    assert after
    assert all(category not in OF[item_id].categories for item_id in after)


def _not_brand(api: Api, before: list[str], ask: Callable[[], list[str]]) -> None:
    brand = OF[before[0]].brand
    control(api, "not_brand", brand=brand)
    after = ask()
    assert after
    assert all(OF[item_id].brand != brand for item_id in after)


def _more_category(api: Api, before: list[str], ask: Callable[[], list[str]], name: str = "more_category") -> None:
    category = last(before, lambda item: item.categories[0], GENRES)
    control(api, name, category=category)
    assert place(ask(), of_category(category)) < place(before, of_category(category))


def _interest(api: Api, before: list[str], ask: Callable[[], list[str]]) -> None:
    _more_category(api, before, ask, "interest")
    assert api.get("/v1/users/u1/features").json()["interests"]


def _more_brand(api: Api, before: list[str], ask: Callable[[], list[str]]) -> None:
    brand = last(before, lambda item: item.brand, ("studio 0", "studio 1", "studio 2"))
    control(api, "more_brand", brand=brand)
    assert place(ask(), lambda item: item.brand == brand) < place(before, lambda item: item.brand == brand)


def _explore(api: Api, before: list[str], ask: Callable[[], list[str]]) -> None:
    control(api, "explore")
    after = ask()
    assert [is_western(OF[item_id]) for item_id in after[:9]] == [False, False, True] * 3
    assert [is_western(OF[item_id]) for item_id in before[:9]] != [False, False, True] * 3


def _undo(api: Api, before: list[str], ask: Callable[[], list[str]]) -> None:
    said = control(api, "hide", before[0]), control(api, "not_category", category="drama")
    hidden = ask()
    control(api, "undo", of=said[1])
    assert before[0] not in ask()
    assert any(OF[item_id].categories == ["drama"] for item_id in ask())
    assert not any(OF[item_id].categories == ["drama"] for item_id in hidden)
    control(api, "undo", of=said[0])
    assert ask() == before


def _reset(api: Api, before: list[str], ask: Callable[[], list[str]]) -> None:
    control(api, "hide", before[0])
    control(api, "more_category", category="western")
    control(api, "explore")
    assert ask() != before
    control(api, "reset")
    assert ask() == before


CHECKS = {
    "hide": _hide, "less_like": _less_like, "not_category": _not_category, "not_brand": _not_brand,
    "more_category": _more_category, "more_brand": _more_brand, "interest": _interest, "explore": _explore,
    "undo": _undo, "reset": _reset,
}  # fmt: skip


def test_every_surface_and_every_control_is_here() -> None:
    assert set(ABOUT) == {surface.name for surface in SURFACES}
    assert set(CHECKS) == set(controls.TAKES)


@pytest.mark.parametrize("surface", ABOUT)
@pytest.mark.parametrize("name", CHECKS)
def test_each_control_on_the_next_answer_of_every_surface(api: Api, surface: str, name: str) -> None:
    before = shown(api, surface)
    assert len(before) > 20
    CHECKS[name](api, before, lambda: shown(api, surface))


@pytest.mark.parametrize("surface", ABOUT)
def test_controls_are_those_of_one_person(api: Api, surface: str) -> None:
    before = shown(api, surface)
    send(api, "feedback", before[0], "u2", control="hide")
    assert shown(api, surface) == before


def test_controls_in_force_are_listed_with_what_undoes_them(api: Api) -> None:
    hide, explore = control(api, "hide", "i05"), control(api, "explore")
    undone = control(api, "not_brand", brand="studio 1")
    control(api, "undo", of=undone)
    found = api.get("/v1/users/u1/features").json()["controls"]
    assert [(each["event_id"], each["control"], each["target"]) for each in found] == [
        (explore, "explore", ""), (hide, "hide", "i05"),
    ]  # fmt: skip


def test_a_control_is_no_event_of_a_session(api: Api) -> None:
    before = api.get("/v1/users/u1/features").json()
    control(api, "hide", "i05")
    after = api.get("/v1/users/u1/features").json()
    for name in ("session", "events", "recent", "categories", "seen"):
        assert after[name] == before[name], name
    assert after["freshness"]["last_event_at"] >= before["freshness"]["last_event_at"]


def stored(*records: Record, wanted: tuple[str, ...] = ("", PART)) -> dict[str, Any]:
    """The person's rows as the stream writes them, in one mapping as a reader has them."""
    operator = user_operator(KnownItems())
    states: dict[str, Any] = {}
    row: dict[str, Any] = {}
    for record in records:
        for part in operator.parts("u1", record):
            operator.on_event(part, states.setdefault(part, operator.new(part)), record)
    fields = {"": views.user.fields, PART: FIELDS}
    for part in wanted:
        if part in states:
            values = operator.row("u1", part, states[part], now_ms()).values
            row |= dict(zip((f.name for f in fields[part]), values, strict=True))
    return row


def feedback(offset: int, name: str, item_id: str | None = None, **properties: Any) -> Record:
    event = Interaction(f"s{offset}", "feedback", "u1", now_ms(), item_id, properties={"control": name, **properties})
    return Record(event, "interactions", 0, offset, now_ms())


def test_controls_of_the_row_and_of_the_servers_own_events_are_one_list(api: Api) -> None:
    api.rows.of["u1"] = person() | stored(feedback(0, "hide", "i05"), feedback(1, "not_category", category="drama"))
    found = shown(api, "home")
    assert "i05" not in found
    assert all(OF[item_id].categories != ["drama"] for item_id in found)
    control(api, "undo", of="s1")
    control(api, "hide", "i06")
    found = shown(api, "home")
    assert not {"i05", "i06"} & set(found)
    assert any(OF[item_id].categories == ["drama"] for item_id in found)


def test_a_withdrawal_takes_them_back_at_once(api: Api) -> None:
    before = shown(api, "trending")
    control(api, "hide", before[0])
    assert api.post("/v1/users", {"user_id": "u1", "consent": False}).status_code == 202
    assert before[0] in shown(api, "trending")
    assert api.post("/v1/users", {"user_id": "u1", "consent": True}).status_code == 202
    assert before[0] in shown(api, "trending")
    assert api.get("/v1/users/u1/features").json()["controls"] == []


def test_a_withdrawal_over_a_row_with_controls(api: Api) -> None:
    api.rows.of["u1"] = person() | stored(feedback(0, "hide", "i05"))
    found = api.get("/v1/users/u1/feed", n=len(ITEMS)).json()["items"]
    assert "i05" not in {entry["item_id"] for entry in found}
    assert api.post("/v1/users", {"user_id": "u1", "consent": False}).status_code == 202
    found = api.get("/v1/users/u1/feed", n=len(ITEMS)).json()["items"]
    assert "i05" in {entry["item_id"] for entry in found}
    assert api.get("/v1/users/u1/features").json()["controls"] == []


def test_what_cannot_be_is_refused_with_the_field_and_the_fix(api: Api) -> None:
    sent = {"event_id": "x", "event_type": "feedback", "user_id": "u1", "timestamp": now_ms()}
    answer = api.post("/v1/events", sent | {"properties": {"control": "not_category", "brand": "Acme"}})
    assert answer.status_code == 422
    assert "properties.category" in answer.text
    assert "is required where control is not_category" in answer.text


def test_a_profile_after_a_control_leaves_it(api: Api) -> None:
    control(api, "interest", category="western")
    assert api.post("/v1/users", {"user_id": "u1", "interests": ["drama"]}).status_code == 202
    assert api.get("/v1/users/u1/features").json()["interests"] == ["drama", "western"]


# -- the whole stack -------------------------------------------------------------------------------


def test_a_control_over_http_is_in_the_next_feed_and_stays(live: Live) -> None:
    """At once with the token; later without it, from the store."""
    before = ids(live.whole_feed("u3", n=10))
    genre = live.whole_feed("u3", n=1)["items"][0]["item"]["categories"][0]
    said = [
        live.event("u3", "feedback", before[1], properties={"control": "hide"}),
        live.event("u3", "feedback", None, properties={"control": "not_category", "category": genre}),
    ]
    receipt = live.post("events", said)
    after = live.whole_feed("u3", n=10, after=receipt["token"])
    assert after["freshness"]["caught_up"]
    assert len(after["items"]) == 10
    assert all(genre not in entry["item"]["categories"] for entry in after["items"])
    undo = live.event("u3", "feedback", None, properties={"control": "undo", "of": said[1]["event_id"]})
    again = live.whole_feed("u3", n=10, after=live.post("events", undo)["token"])
    assert before[1] not in ids(again)
    assert any(genre in entry["item"]["categories"] for entry in again["items"])

    operator_row = until(lambda: _stored(live, "u3"))
    assert sorted(operator_row["control_kinds"]) == [
        "hide",
        "not_category",
        "undo",
    ]  # in any order: of one ms
    later = live.whole_feed("u3", n=10)
    assert before[1] not in ids(later)
    trending = until(lambda: _trending(live, "u3"))
    assert before[1] not in {entry["item_id"] for entry in trending}
    listed = live.features("u3")["controls"]
    assert [(each["control"], each["target"]) for each in listed] == [("hide", before[1])]
    reset = live.event("u3", "feedback", None, properties={"control": "reset"})
    assert before[1] in ids(live.whole_feed("u3", n=50, after=live.post("events", reset)["token"]))


def _trending(live: Live, user_id: str) -> list[dict[str, Any]]:
    """None where the person was not read in time."""
    found = live.http.get("/v1/trending", params={"user_id": user_id, "n": 100}).raise_for_status().json()
    return found["items"] if found["degraded"] == [] else []


def _stored(live: Live, user_id: str) -> dict[str, Any] | None:
    """The person's row in the online store once it has three controls."""
    from feature_repo.store import UserReader

    reader = UserReader(live.stack.settings.feature_store, timeout_s=5)
    try:
        row = reader.read(user_id)
        return dict(row) if row and len(row.get("control_kinds", ())) == 3 else None
    finally:
        reader.close()
