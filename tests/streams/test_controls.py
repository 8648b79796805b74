"""Controls through the adapter: the store ends as a replay of the log has it, whatever order, repetition or crash there
was, and as a plain reading of the events says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo import views
from feature_repo.builders import item_operator, user_operator
from operators.contract import Record, Row
from operators.controls import FIELDS, entries_of, in_force
from operators.time import HOUR
from schemas import codec, controls
from schemas.events import Interaction, User
from schemas.topics import INTERACTIONS, USERS
from tests.operators.records import World
from tests.operators.signals import ITEMS
from tests.streams.mini_flink import MiniFlink, Store
from training.replay import Replay

START = 1_767_225_600_000
PEOPLE = ("u1", "u2", "u3")
NAMES = [field.name for field in FIELDS]

kinds = st.sampled_from([*controls.TAKES, "click", "click"])
behind = st.sampled_from([0, 0, 3_000, 100_000])
steps = st.one_of(
    st.tuples(st.just("did"), st.sampled_from(PEOPLE), kinds, st.integers(0, 20), st.integers(0, 8), behind),
    st.tuples(st.just("did"), st.sampled_from(PEOPLE), kinds, st.integers(0, 20), st.integers(0, 8), behind),
    st.tuples(st.just("consent"), st.sampled_from(PEOPLE), st.sampled_from([True, False, None])),
    st.tuples(st.just("advance"), st.sampled_from([1, 10, 700, 20_000, HOUR])),
    st.tuples(st.just("checkpoint")),
    st.tuples(st.just("crash")),
)


def event_of(who: str, kind: str, n: int, at: int) -> Interaction:
    """The event number n of a person. Of a number there is one: a repetition is the same event."""
    if kind == "click":
        return Interaction(f"k{n}", "click", who, START + at, ITEMS[n % len(ITEMS)])
    takes = controls.TAKES[kind]
    value = {None: "", controls.OF: f"c{at if at != n else n + 1}"}.get(takes, f"x{n % 3}")
    item_id = value if takes == controls.ITEM else None
    named = {} if takes in (None, controls.ITEM) else {takes.removeprefix(controls.PROPERTIES): value}
    return Interaction(f"c{n}", "feedback", who, START + at, item_id, properties={"control": kind, **named})


@given(st.lists(steps, max_size=40))
def test_the_store_has_what_a_replay_has(script: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        store = Store()
        flink = MiniFlink("user", World(), store, patch, cached_keys=1)
        flink.advance(20)
        log: list[tuple[tuple[Any, ...], Record]] = []
        saved, read = flink.checkpoint(), 0
        for step in script:
            event: Any
            late = 0
            match step:
                case ("did", who, kind, n, at, late):
                    event = event_of(who, kind, n, at)
                case ("consent", who, consent):
                    event = User(who, consent=consent)
                case ("advance", ms):
                    flink.advance(ms)
                    continue
                case ("checkpoint",):
                    saved, read = flink.checkpoint(), len(log)
                    continue
                case _:
                    flink.restore(saved)
                    for sent, _ in log[read:]:
                        flink.send(sent)
                    continue
            topic = USERS if isinstance(event, User) else INTERACTIONS
            sent = (event.user_id, codec.encode(event), topic, 0, len(log), flink.now - late)
            log.append((sent, Record(event, topic, 0, len(log), sent[5])))
            flink.send(sent)
        flink.advance(60_000)

        rows: dict[tuple[str, ...], Row] = {}

        def emit(row: Row, at: int) -> None:
            if row.values:
                rows[row.view, *row.key] = row
            else:
                rows.pop((row.view, *row.key), None)

        replay = Replay(user_operator(World()), item_operator(World()), emit)
        for _, record in log:
            replay.feed(record)
        view = views.user_controls.name
        expected = {place: row for place, row in rows.items() if place[0] == view}
        assert {place: row for place, row in store.rows.items() if place[0] == view} == expected


def feedback(n: int, kind: str, at: int, **properties: Any) -> Interaction:
    return Interaction(f"c{n}", "feedback", "u1", at, properties={"control": kind, **properties})


def message(event: Any, offset: int, now: int) -> tuple[Any, ...]:
    topic = USERS if isinstance(event, User) else INTERACTIONS
    return (event.user_id, codec.encode(event), topic, 0, offset, now)


def found(store: Store) -> list[tuple[str, str]]:
    row = store.rows[views.user_controls.name, "u1"]
    return [(each.kind, each.target) for each in in_force(entries_of(dict(zip(NAMES, row.values, strict=True))))]


class Written(Store):
    """A store that notes the views of each write, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.views: list[list[str]] = []

    def write(self, rows: list[Row]) -> None:
        self.views.append([row.view for row in rows])
        super().write(rows)


def test_controls_are_written_when_they_change_and_before_the_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Written()
    flink = MiniFlink("user", World(), store, monkeypatch)
    flink.send(message(Interaction("e1", "click", "u1", flink.now, ITEMS[2]), 0, flink.now))
    flink.send(message(feedback(1, "not_brand", flink.now, brand="Acme"), 1, flink.now))
    flink.send(message(Interaction("e2", "click", "u1", flink.now, ITEMS[3]), 2, flink.now))
    assert store.views == [["user_activity"], ["user_controls", "user_activity"], ["user_activity"]]
    assert found(store) == [("not_brand", "Acme")]


def test_a_restored_job_goes_on_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    flink = MiniFlink("user", World(), store, monkeypatch)
    flink.send(message(feedback(1, "not_brand", flink.now, brand="Acme"), 0, flink.now))
    flink.advance(10)
    flink.restore(flink.checkpoint())
    flink.send(message(feedback(2, "more_category", flink.now, category="comedy"), 1, flink.now))
    assert found(store) == [("more_category", "comedy"), ("not_brand", "Acme")]


def test_a_withdrawal_deletes_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    flink = MiniFlink("user", World(), store, monkeypatch)
    flink.send(message(feedback(1, "explore", flink.now), 0, flink.now))
    assert (views.user_controls.name, "u1") in store.rows
    flink.send(message(User("u1", consent=False), 0, flink.now))
    assert (views.user_controls.name, "u1") not in store.rows
    flink.advance(10)
    assert flink.kept() > 0
    assert not any("controls" in name for cells in flink._maps.values() for name in cells)
