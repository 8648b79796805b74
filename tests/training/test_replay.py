"""The replay driver: event time, timers, dead letters and signals to the item operator."""

from __future__ import annotations

import random
from typing import Any

import pytest

from feature_repo import builders, views
from feature_repo.repository import Repository
from operators.contract import Record, Row, owner
from operators.features import Count, session
from operators.stepping import step
from operators.time import DAY, HOUR, minutes
from schemas.errors import Duplicate, TooLate
from schemas.events import Impression, Interaction, Item, User
from training.replay import KnownItems, Replay

T0 = 1_767_225_600_000
ITEMS = [Item(f"i{k}", categories=[f"c{k % 3}"]) for k in range(6)]
Rows = list[tuple[Row, int]]


def click(user: str, item: str, at: int, id: str = "") -> Record:
    return Record(Interaction(id or f"{user}-{item}-{at}", "click", user, at, item, properties={"region": "DE"}))


def replay(rows: Rows | None = None, coalesce: bool = False) -> Replay:
    world = KnownItems(ITEMS)
    emit = None if rows is None else lambda row, at: rows.append((row, at))
    return Replay(builders.user_operator(world), builders.item_operator(world), emit, coalesce)


def value(row: Row, name: str) -> Any:
    view = {v.name: v for v in (views.user, views.item, views.item_region)}[row.view]
    return row.values[[f.name for f in view.fields].index(name)]


def random_log(n: int = 300, seed: int = 1) -> list[Record]:
    chance = random.Random(seed)
    return [
        click(f"u{chance.randrange(4)}", f"i{chance.randrange(6)}", T0 + chance.randrange(3 * DAY), f"e{k % 280}")
        for k in range(n)
    ]


def test_a_click_reaches_the_user_the_item_and_the_region() -> None:
    rows: Rows = []
    replay(rows).feed(click("u1", "i1", T0))
    assert [(row.view, row.key, at) for row, at in rows] == [
        ("user_activity", ("u1",), T0),
        ("item_activity", ("i1",), T0),
        ("item_region_activity", ("i1", "DE"), T0),
    ]


def test_the_session_ends_at_its_timer_before_the_next_event_is_applied() -> None:
    rows: Rows = []
    driver = replay(rows)
    driver.feed(click("u1", "i1", T0))
    driver.feed(click("u1", "i2", T0 + 2 * HOUR))
    ended = [(at, value(row, "recent_items")) for row, at in rows if row.view == "user_activity"]
    assert (T0 + minutes(30) + 1, ["i1"]) in ended
    assert ended[-1] == (T0 + 2 * HOUR, ["i2", "i1"])
    assert [at for at, _ in ended] == sorted(at for at, _ in ended)


def test_finish_fires_what_is_left() -> None:
    rows: Rows = []
    driver = replay(rows)
    driver.feed(click("u1", "i1", T0))
    driver.finish()
    last = {row.view: row for row, _ in rows}
    assert value(last["user_activity"], "session_id") == ""
    assert not any(value(last["user_activity"], "events_7d"))
    assert not any(value(last["item_activity"], "events_7d"))


def test_a_rejected_record_changes_and_emits_nothing() -> None:
    rows: Rows = []
    driver = replay(rows)
    driver.feed(click("u1", "i1", T0 + 3 * DAY, "a"))
    seen = len(rows)
    state = driver.user_operator.encode("", driver.users["u1", ""])
    assert driver.feed(click("u1", "i2", T0, "late")) is None
    assert driver.feed(click("u1", "i1", T0 + 3 * DAY + HOUR, "a")) is None
    assert len(rows) == seen
    assert driver.user_operator.encode("", driver.users["u1", ""]) == state
    assert [type(d.error) for d in driver.dead] == [TooLate, Duplicate]
    assert driver.dead[0].record.event.event_id == "late"  # type: ignore[union-attr]


def test_of_a_stranger_whose_only_record_was_rejected_nothing_is_there_but_its_place() -> None:
    rows: Rows = []
    driver = replay(rows)
    rejected = click("u9", "i1", T0)._replace(arrived=T0 - DAY, partition=1, offset=7)
    assert driver.feed(rejected) is None
    assert rows == []
    row = driver.user_row("u9", T0)
    defaults = driver.user_row("nobody", T0)
    assert {name for name in row if row[name] != defaults[name]} == {"read_partition", "read_offset", "state"}
    assert (row["read_partition"], row["read_offset"]) == (1, 7)


def test_profiles_catalogue_entries_and_impressions() -> None:
    rows: Rows = []
    driver = replay(rows)
    driver.feed(Record(User("u1", interests=["comedy"])))
    driver.feed(Record(Item("i1", title="Heat")))
    driver.feed(Record(Impression("r1", "u1", T0, ["i1", "i2"])))
    assert value(rows[0][0], "interests") == ["comedy"]
    assert value(rows[1][0], "title") == "Heat"
    assert [row.key for row, _ in rows[2:] if row.view == "item_activity"] == [("i1",), ("i2",)]


def test_what_is_over_is_dropped_after_its_last_row() -> None:
    declared = Repository({session: (Count("depth", entity=session),)})
    emitted: list[tuple[str, int, Any]] = []
    world = KnownItems(ITEMS)
    driver = Replay(
        builders.user_operator(world, declared=declared), builders.item_operator(world, declared),
        lambda row, at: emitted.append((row.key[0], at, row.values[0])), emits=lambda part: owner(part) == "session",
    )  # fmt: skip

    def view(n: int, at: int, of: str) -> None:
        driver.feed(Record(Interaction(f"e{n}", "view", "u1", at, "i1", of)))

    life = session.life or 0
    view(1, T0, "a")
    view(2, T0 + HOUR, "b")
    driver.forget(T0 + life)
    assert {key for key, part in driver.items if part} == {"b"}
    view(3, T0 + HOUR + life, "b")
    assert emitted == [
        ("a", T0, 1), ("b", T0 + HOUR, 1), ("a", T0 + life, 0),
        ("b", T0 + HOUR + life, 0), ("b", T0 + HOUR + life, 1),
    ]  # fmt: skip


def test_coalescing_ends_with_the_same_store() -> None:
    every: Rows = []
    few: Rows = []
    for rows, coalesce in ((every, False), (few, True)):
        driver = replay(rows, coalesce)
        for record in random_log():
            driver.feed(record)
        driver.finish()
    assert {(r.view, r.key): r.values for r, _ in every} == {(r.view, r.key): r.values for r, _ in few}
    assert len(few) < len(every) / 10


def test_rows_equal_a_step_by_step_run() -> None:
    """The driver adds nothing to `step` but the keys."""
    rows: Rows = []
    driver = replay(rows)
    operator = builders.user_operator(KnownItems(ITEMS))
    state = operator.new()
    by_hand: Rows = []
    for k in range(60):
        record = click("u1", f"i{k % 6}", T0 + k * minutes(50))
        driver.feed(record)
        by_hand += step(operator, "u1", "", state, record).emissions
    assert [r for r in rows if r[0].view == "user_activity"] == by_hand


def test_user_row_has_each_field() -> None:
    driver = replay()
    assert driver.user_row("nobody", T0)["recent_items"] == []
    driver.feed(click("u1", "i1", T0))
    row = driver.user_row("u1", T0)
    assert list(row) == [f.name for f in views.user.fields]
    assert row["session_items"] == 1
    assert driver.user_row("u1", T0 + DAY)["session_items"] == 0


@pytest.mark.parametrize("seed", range(3))
def test_each_event_is_counted_once(seed: int) -> None:
    driver = replay()
    log = random_log(seed=seed)
    for record in log + log:
        driver.feed(record)
    total = sum(len(ids) for state in driver.users.values() for ids in state.did.hours.values())
    taken = 2 * len(log) - len(driver.dead)
    assert total <= taken <= 300
