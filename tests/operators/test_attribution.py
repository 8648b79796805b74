"""The join of impressions and interactions, compared with a plain implementation of its rules.

t  0        10        20        30        35
   ├─ r1: i1 i2 ─────────────── window ─┤
        ×click i1                            labels r1
             ├─ r2: i1 ──────────────────    the later of two that show it
                    ×like i1                 labels r2
                    ×like i1 (of r1)         labels r1
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.builders import item_operator, user_operator
from operators.attribution import MOST_BYTES, MOST_EARLY, MOST_ITEMS, Attribution
from operators.contract import NO_ROW, Record
from operators.time import END, HOUR, MINUTE
from schemas.codec import MAX_MESSAGE_BYTES
from schemas.events import Impression, Interaction, LabelledExample
from schemas.properties import MOST_WATCHED_S
from serving.page import PAGE
from serving.parameters import Whole
from tests.operators.records import World
from tests.operators.signals import T0, exactly
from training.replay import Replay

WINDOW, LATE = 30 * MINUTE, 5 * MINUTE
BEYOND = WINDOW + LATE + 1


def oracle(log: list[Any]) -> dict[tuple[str, int], tuple[dict[str, int], float | None]]:
    """(request, position) → labels and watch time, of one person's accepted events in the order of their arrival."""

    def closed(at: int, taken: int, now: int) -> bool:
        return any(e.timestamp >= at + BEYOND for e in log[taken + 1 : now + 1])

    shown = [(k, e) for k, e in enumerate(log) if isinstance(e, Impression)]
    found = {(e.request_id, p): ({}, None) for _, e in shown for p in range(len(e.items))}
    for n, did in enumerate(log):
        if not isinstance(did, Interaction) or not did.item_id:
            continue
        if did.request_id:
            of = [
                e for k, e in shown
                if e.request_id == did.request_id
                and not (closed(e.timestamp, k, n) if k < n else closed(did.timestamp, n, k))
            ]  # fmt: skip
        else:
            of = [
                e for k, e in sorted(shown, key=lambda ke: (ke[1].timestamp, ke[0]))
                if k < n and did.item_id in e.items and did.timestamp >= e.timestamp and not closed(e.timestamp, k, n)
                and did.timestamp <= e.timestamp + WINDOW
            ][-1:]  # fmt: skip
        for e in of:
            if did.item_id in e.items and did.timestamp <= e.timestamp + WINDOW:
                place = e.request_id, e.items.index(did.item_id)
                counts, watched = found[place]
                more = did.properties.get("watch_seconds")
                found[place] = (
                    counts | {did.event_type: counts.get(did.event_type, 0) + 1},
                    watched if more is None else (watched or 0.0) + more,
                )
    return found


gaps = st.sampled_from([0, 1, MINUTE, 10 * MINUTE, WINDOW, BEYOND - 1, BEYOND])
late = st.sampled_from([0, 0, 0, 1, MINUTE, 10 * MINUTE, WINDOW, HOUR])
said = st.tuples(
    st.sampled_from(["shown", "shown", "click", "like", "search"]),
    st.lists(st.sampled_from(["i1", "i2", "i3"]), min_size=1, max_size=3),
    st.none() | st.integers(0, 12),
    st.sampled_from([None, None, 2.5]),
    st.booleans(),
)


@settings(max_examples=600)
@given(exactly(10, st.tuples(gaps, late, said)))
def test_every_order_of_events_gives_what_the_rules_say(script: list[Any]) -> None:
    """Late ones, repeated ones, lists that come after what they led to; each state is saved and restored as it goes."""
    clock, log = T0, []
    for n, (gap, behind, (kind, items, of, watched, twice)) in enumerate(script):
        clock += gap
        at = clock - behind
        if kind == "shown":
            event: Any = Impression(f"r{n}", "u1", at, items)
        else:
            request = None if of is None else f"r{of}"
            properties = {} if watched is None else {"watch_seconds": watched}
            item_id = None if kind == "search" else items[0]
            event = Interaction(f"e{n}", kind, "u1", at, item_id, None, request, properties)
        log += [event, event] if twice and n % 3 == 0 else [event]
    found: list[LabelledExample] = []
    operator = user_operator(World(), attribution=Attribution(WINDOW, LATE))
    replay = Replay(operator, item_operator(World()), on_example=found.append)
    accepted = []
    for event in log:
        if replay.feed(Record(event)) is not None:
            accepted.append(event)
        for key in replay.users:
            replay.users[key] = operator.decode(key[1], operator.encode(key[1], replay.users[key]))
    replay.finish()
    assert len(found) == len({(e.request_id, e.position) for e in found})
    assert {(e.request_id, e.position): (e.labels, e.watch_seconds) for e in found} == oracle(accepted)
    assert all(e.complete for e in found)


# -- one at a time ---------------------------------------------------------------------------------


def shown(request_id: str = "r1", at: int = T0, items: tuple[str, ...] = ("i1", "i2"), **others: Any) -> Record:
    return Record(Impression(request_id, "u1", at, list(items), **others))


def did(at: int, item_id: str = "i1", request_id: str | None = None) -> Record:
    return Record(Interaction(f"e{at}", "click", "u1", at, item_id, None, request_id))


def test_an_example_has_what_was_logged_of_its_item() -> None:
    join = Attribution(WINDOW, LATE)
    state = join.new()
    logged = {"surface": "cart", "region": "DE", "device": "tv", "model_version": "v1", "variant": "b"}
    join.on_event("", state, shown(**logged, propensities=[0.5, 0.25], features=bytes(range(16))))
    join.on_event("", state, did(T0 + 5, "i2"))
    assert join.on_timer("", state, T0 + 5) == []
    assert join.on_timer("", state, T0 + BEYOND + 5) == [
        LabelledExample("r1", "u1", "i1", 0, T0, "cart", "DE", "tv", "v1", "b", {}, None, 0.5, bytes(range(8))),
        LabelledExample(
            "r1", "u1", "i2", 1, T0, "cart", "DE", "tv", "v1", "b", {"click": 1}, None, 0.25, bytes(range(8, 16))
        ),
    ]
    assert join.row("u1", "", state, T0) is NO_ROW


def test_who_is_shown_nothing_costs_no_state() -> None:
    join = Attribution()
    state = join.new()
    assert join.on_event("", state, did(T0)) is None
    assert state == join.new()


def test_the_clock_closes_what_no_event_closes_as_long_after_it_was_taken() -> None:
    """An old list out of a backlog has as much time as one of this moment."""
    join = Attribution(WINDOW, LATE)
    state = join.new()
    join.on_event("", state, shown(at=T0 - 100 * HOUR))
    assert join.on_timer("", state, T0) == []
    assert join.due("", state, T0) == T0 + BEYOND
    assert join.on_timer("", state, T0 + BEYOND - 1) == []
    state = join.decode("", join.encode("", state))
    assert [e.item_id for e in join.on_timer("", state, T0 + BEYOND)] == ["i1", "i2"]
    assert join.due("", state, T0 + BEYOND) is None
    assert join.on_timer("", state, T0 + 2 * BEYOND) == []


def test_who_has_just_begun_to_listen_closes_nothing_by_the_clock() -> None:
    before = Attribution(WINDOW, LATE)
    state = before.new()
    before.on_event("", state, shown())
    before.on_timer("", state, T0)
    blob = before.encode("", state)
    resumed = T0 + 2 * HOUR
    join = Attribution(WINDOW, LATE, resumed)
    state = join.decode("", blob)
    assert join.on_timer("", state, resumed + 10) == []
    assert join.due("", state, resumed + 10) == resumed + LATE
    join.on_event("", state, did(T0 + 20 * MINUTE))  # it waited in Kafka
    assert [e.labels for e in join.on_timer("", state, resumed + LATE)] == [{"click": 1}, {}]


@pytest.mark.parametrize("at", [END, 2**63 - 1])
def test_the_end_of_a_log_closes_what_the_clock_has_never_seen(at: int) -> None:
    join = Attribution(WINDOW, LATE)
    state = join.new()
    join.on_event("", state, did(T0, request_id="lost"))
    join.on_event("", state, shown())
    assert [e.item_id for e in join.on_timer("", state, at)] == ["i1", "i2"]
    assert join.over("", state, at)


def test_beyond_so_many_items_the_oldest_list_is_closed_before_its_time_and_says_so() -> None:
    join = Attribution()
    state = join.new()
    many = tuple(f"i{n}" for n in range(MOST_ITEMS // 2))
    for n in range(3):
        join.on_event("", state, shown(f"r{n}", T0 + n, many))
    found = join.on_timer("", state, T0 + 10)
    assert {(e.request_id, e.complete) for e in found} == {("r0", False)}
    assert len(state.pending) == 2


def test_two_of_the_largest_pages_stay_open() -> None:
    most = {each.name: each.most for each in PAGE if isinstance(each, Whole)}
    join = Attribution()
    state = join.new()
    row = tuple(f"i{n}" for n in range(most["per_row"]))
    for page in range(2):
        for number in range(most["rows"]):
            join.on_event("", state, shown(f"r{page}-{number}", T0 + page, row))
    assert join.on_timer("", state, T0 + 10) == []


def test_beyond_so_many_bytes_of_inputs_too() -> None:
    join = Attribution()
    state = join.new()
    inputs = bytes(MOST_BYTES // 2)
    join.on_event("", state, shown("r0", model_version="v1"))
    for n in range(1, 4):
        join.on_event("", state, shown(f"r{n}", T0 + n, model_version="v1", features=inputs))
    found = join.on_timer("", state, T0 + 10)
    assert [(e.request_id, e.complete) for e in found] == [("r0", False)] * 2 + [("r1", False)] * 2
    assert [each.shown.request_id for each in state.pending] == ["r2", "r3"]


def test_the_largest_list_that_kafka_brings_stays_open() -> None:
    join = Attribution()
    state = join.new()
    join.on_event("", state, shown(model_version="v1", features=bytes(MAX_MESSAGE_BYTES)))
    assert join.on_timer("", state, T0) == []


def test_what_was_watched_stays_finite() -> None:
    """Interactions that were taken before one had a limit may say as much as a float can."""
    join = Attribution(WINDOW, LATE)
    state = join.new()
    join.on_event("", state, shown())
    for n in range(3):
        watched = {"watch_seconds": 1.7e308}
        join.on_event("", state, Record(Interaction(f"e{n}", "play", "u1", T0 + n, "i1", properties=watched)))
    join.on_timer("", state, T0)
    found = join.on_timer("", join.decode("", join.encode("", state)), T0 + BEYOND)
    assert [example.watch_seconds for example in found] == [MOST_WATCHED_S, None]


def test_interactions_whose_list_never_comes_are_few_and_go() -> None:
    join = Attribution(WINDOW, LATE)
    state = join.new()
    for n in range(2 * MOST_EARLY):
        join.on_event("", state, did(T0 + n, request_id="lost"))
    assert len(state.early) == MOST_EARLY
    join.on_timer("", state, T0 + 1000)
    assert join.due("", state, T0 + 1000) == T0 + 1000 + BEYOND
    assert join.on_timer("", state, T0 + 1000 + BEYOND) == []
    assert state.early == []
