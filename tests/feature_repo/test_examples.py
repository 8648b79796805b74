"""Examples of definitions hold, or report why not."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import pytest

from feature_repo.crosses import Affinity, Hour, ItemAge, ItemFeature, UserFeature
from feature_repo.examples import Example, check, within
from operators.features import Count, Decay, Entity, Last, Mean, Rate, TopK, Vector, event, item, user, user_category
from operators.time import hours
from schemas.errors import FeatureError
from schemas.events import Impression, Interaction, Item, User

T = 1_767_225_600_000
view = event.event_type == "view"
views = Count("views", entity=user, events=view, window=hours(1))
SEEN = [Interaction("e1", "view", "u1", T, "i1"), Interaction("e2", "view", "u1", T + 1, "i2")]
FILMS = [Item("i1", categories=["drama"]), Item("i2", categories=["drama", "noir"])]
rate = Rate(
    "rate", entity=Entity("item", (event.item_id,)), top=event.event_type == "click",
    bottom=event.event_type == "impression", prior=(1, 20),
)  # fmt: skip


TASTE = Vector("taste", entity=user, weights={"view": 1.0}, window=Decay(hours(8)))


@pytest.mark.parametrize(
    "example",
    [
        Example(views, SEEN, value=2),
        Example(views, SEEN, value=0, at=T + hours(2)),
        Example(views, SEEN, value=0, key=("u2",)),
        Example(Count("n", entity=user_category), SEEN, value=2, items=FILMS),
        Example(Count("n", entity=user_category), SEEN, value=1, items=FILMS, key=("u1", "noir")),
        Example(rate, [Impression("r1", "u1", T, ["i1", "i2"])], value=1 / 21),
        Example(Mean("paid", entity=user, of=event.properties.price), SEEN, value=0.0),
        Example(TopK("top", entity=user, of=event.item.categories, k=1), SEEN, value=(["drama"], [2 / 3]), items=FILMS),
        Example(TASTE, SEEN, value=([0.6, 0.8], "example"), space={"i1": (3, 4), "i2": (0.3, 0.4)}),
        Example(TASTE, SEEN, value=([0.0, 1.0], "example"), space={"i2": (0, 7)}),
        Example(TASTE, SEEN, value=([], "")),
        Example(
            Count("n", entity=Entity("country", (event.user.country,))),
            [User("u1", {"country": "DE"}), *SEEN],
            value=2,
            key=("DE",),
        ),
    ],
)
def test_an_example_that_holds(example: Example) -> None:
    assert check(example).problem == ""


@pytest.mark.parametrize(
    ("example", "problem"),
    [
        (Example(views, SEEN, value=3), "is 2, not 3"),
        (Example(views, [*SEEN, SEEN[0]], value=2), "an event of the example is refused"),
        (Example(views, [], value=0), "no event is about any user"),
        (Example(TopK("top", entity=user, of=event.item.brand, k=1), SEEN, value=1), "is .*, not 1"),
    ],
)
def test_an_example_that_does_not(example: Example, problem: str) -> None:
    assert re.match(problem, check(example).problem)


@pytest.mark.parametrize("space", [{"i1": (1, 0), "i2": (1,)}, {"i1": (0, 0)}])
def test_a_space_has_vectors_of_one_length(space: dict[str, Any]) -> None:
    with pytest.raises(FeatureError, match=r"test_examples\.py:\d+: .* of one length"):
        Example(TASTE, SEEN, value=([], ""), space=space)


def test_examples_are_found_by_themselves_and_in_lists() -> None:
    module = ModuleType("definitions")
    one, two = Example(views, SEEN, value=2), Example(views, SEEN, value=2)
    found: dict[str, Any] = {"one": one, "more": [two, "text"], "views": views}
    vars(module).update(found)
    assert list(within(module)) == [one, two]
    assert one.where.split(":")[0].endswith("test_examples.py")


# -- crosses ---------------------------------------------------------------------------------------

people = Count("people", entity=item)
met = Count("met", entity=user_category)
zone = Last("zone", entity=user, of=event.user.timezone)


@pytest.mark.parametrize(
    "example",
    [
        Example(UserFeature("c", of=views), SEEN, value=2),
        Example(UserFeature("c", of=views), SEEN, value=0, at=T + hours(2)),
        Example(UserFeature("c", of=views), SEEN, value=0, key=("u2", "i1")),
        Example(ItemFeature("c", of=people), SEEN, value=1),
        Example(ItemFeature("c", of=people), SEEN, value=0, key=("u1", "i3")),
        Example(Affinity("c", of=met), SEEN, value=(2 + 1) / 2, items=FILMS, key=("u1", "i2")),
        Example(Hour("c", zone=zone), [User("u1", {"timezone": "Asia/Tokyo"}), *SEEN], value=9, key=("u1", "i1")),
        Example(
            ItemAge("c", half_life=1000), [], value=0.5, at=T, key=("", "i"), items=[Item("i", created_at=T - 1000)]
        ),
    ],
)
def test_an_example_of_a_cross_that_holds(example: Example) -> None:
    assert check(example).problem == ""


@pytest.mark.parametrize(
    ("example", "problem"),
    [
        (Example(UserFeature("c", of=views), SEEN, value=3), r"is 2\.0, not 3"),
        (Example(UserFeature("c", of=views), [*SEEN, SEEN[0]], value=2), "an event of the example is refused"),
        (Example(UserFeature("c", of=views), [], value=0), "no event says whose example it is"),
    ],
)
def test_an_example_of_a_cross_that_does_not(example: Example, problem: str) -> None:
    assert re.match(problem, check(example).problem)
