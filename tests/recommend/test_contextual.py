"""What is popular in a context: found by the hour and the device, and shown in the feed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from feature_repo import builders
from operators.contexts import CONTEXTS
from operators.contract import Record, Signal
from operators.time import DAY, HOUR
from recommend.pipeline import Answer, Pipeline
from recommend.popular import Popular
from recommend.surfaces import home
from schemas.events import Item
from serving.catalogue import LiveCatalogue
from tests.operators.records import World
from tests.serving.made import catalogue, person

MONDAY = 1_767_571_200_000
"""2026-01-05, midnight in UTC"""
MORNING, EVENING = MONDAY + 8 * HOUR, MONDAY + 20 * HOUR
PLACE = {name: place for place, name in enumerate(CONTEXTS)}
HITS = 5
ALWAYS = {f"hit{k}": [(name, "mobile" if k % 2 else "tv") for name in CONTEXTS[:8]] * (100 + k) for k in range(HITS)}
SOME = {
    "coffee": [("weekday_morning", "mobile")] * 60 + [("weekday_evening", "mobile")] * 2,
    "film": [("weekday_evening", "tv")] * 60 + [("weekday_morning", "tv")] * 2,
    "rare": [("weekday_morning", "mobile")] * 2,
}


def world() -> LiveCatalogue:
    """Items by what the operator makes of events in these contexts."""
    made, operator = catalogue([Item(i) for i in (*ALWAYS, *SOME)]), builders.item_operator(World())
    for item_id, log in (ALWAYS | SOME).items():
        state = operator.new()
        for k, names in enumerate(log):
            contexts = tuple(PLACE[name] for name in names)
            signal = Signal("purchase", MONDAY - k % 3 * DAY, item_id, contexts=contexts)
            operator.on_event("", state, Record(signal))
        made.columns.put_features(operator.row(item_id, "", state, MONDAY))
    return made


def feed(at: int, device: str = "", **about: Any) -> Answer:
    made = Pipeline(world().columns, None)
    return made.recommend(home, made.query(at=at, device=device, **about))


@pytest.mark.parametrize(
    ("context", "expected"),
    [("weekday_morning", ["coffee"]), ("weekday_evening", ["film"]), ("weekend_night", []), ("mobile", ["coffee"]),
     ("tv", ["film"])],
)  # fmt: skip
def test_a_list_has_what_is_more_popular_there_than_elsewhere(context: str, expected: list[str]) -> None:
    columns = world().columns
    found = [columns.ids[row] for row in Popular(columns).in_context(PLACE[context], MONDAY).tolist()]
    assert [item for item in found if not item.startswith("hit")] == expected


def test_the_feed_changes_with_the_hour_and_the_device() -> None:
    places = {
        (at, device): [i for i in feed(at, device, n=8).item_ids if i in ("coffee", "film")]
        for at in (MORNING, EVENING)
        for device in ("ios", "tv")
    }
    assert places[MORNING, "ios"] == ["coffee", "film"]
    assert places[EVENING, "tv"] == ["film", "coffee"]
    assert feed(MORNING, n=8).item_ids != feed(EVENING, n=8).item_ids
    assert feed(MORNING, "ios", n=8).item_ids != feed(MORNING, "tv", n=8).item_ids


def test_the_reason_names_the_context() -> None:
    def reason(answer: Answer, item_id: str) -> tuple[str, str]:
        found = answer.reasons[answer.item_ids.index(item_id)]
        assert found is not None
        return found.code, found.text

    assert reason(feed(MORNING, n=8), "coffee") == ("popular_at_time", "Popular on weekday mornings")
    assert reason(feed(EVENING, n=8), "coffee")[0] == "popular"
    assert reason(feed(EVENING, "ios", n=8), "coffee") == ("popular_on_device", "Popular on mobile now")


def test_the_hour_is_that_of_the_request_or_of_the_profile() -> None:
    """In Tokyo it is evening when it is 11 in UTC, and in New York it is morning when it is 13."""
    asked = feed(MONDAY + 11 * HOUR, n=8, timezone="Asia/Tokyo")
    assert asked.query.contexts == (PLACE["weekday_evening"],)
    profile = person(timezone="America/New_York")
    assert feed(MONDAY + 13 * HOUR, n=8, user=profile).query.contexts == (PLACE["weekday_morning"],)
    assert feed(MONDAY + 13 * HOUR, n=8, user=profile, timezone="UTC").query.contexts == (PLACE["weekday_afternoon"],)


def test_the_catalogue_is_read_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now, columns = [100.0], world().columns
    lists, reads = Popular(columns, lambda: now[0]), []
    plain = Popular._of
    monkeypatch.setattr(Popular, "_of", lambda self, *given: reads.append(given) or plain(self, *given))
    for ms in range(0, 1000, 50):
        lists.in_context(PLACE["tv"], MONDAY + ms)
        lists.rising(MONDAY + ms)
    assert len(reads) == 2
    allowed = np.ones(columns.n, bool)
    assert lists.in_context(PLACE["tv"], MONDAY, allowed).tolist() == lists.in_context(PLACE["tv"], MONDAY).tolist()
    assert len(reads) == 2
    now[0] += 1
    lists.rising(MONDAY)
    assert len(reads) == 3
