"""Events whose clock is ahead of the job's count from when they are taken, and leave each window with their tile."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo import builders, views
from feature_repo.repository import Repository
from operators.contract import Record, Row, Signal, read_time
from operators.driver import Driver
from operators.features import Count, EntityOperator, event, session, user
from operators.features.declared import part_of
from operators.stepping import timers
from operators.time import DAY, HOUR, MINUTE, SECOND
from operators.windows import Counts
from schemas.events import EVENT_TYPES, Impression, Interaction
from schemas.topics import INTERACTIONS
from tests.operators import oracles as main_path
from tests.operators.features import oracles
from tests.operators.features.made import FAMILIES, SCOPES, SENSELESS, declare, signals_of, world
from tests.operators.features.test_entity_operator import by_feature, same
from tests.operators.records import LATENESS
from tests.operators.signals import T0

START = T0 + DAY - 2 * MINUTE
"""an hour, a day and a tile of every decay end two minutes later"""
EDGE = MINUTE
"""from START to the next tile's edge, of windows of an hour; a multiple of the tiles of 15 s"""
SKEWS = {
    "on_time": 0,
    "90s": 90 * SECOND,
    "4m": 4 * MINUTE,
    "edge": EDGE,
    "before_edge": EDGE - 1,
    "after_edge": EDGE + 1,
}
MOST_TIMERS = 300


def log(skew: int) -> list[Record]:
    """Nine events in two minutes, every second of which has a clock that is `skew` ahead."""
    found = []
    for n, kind in enumerate(("click", "view", "purchase", "view", "click", "like", "view", "click", "view")):
        taken = START + n * 15 * SECOND
        at = taken + (skew if n % 2 == 0 else 0)
        properties: dict[str, Any] = {"price": 1.5 * (n + 1), "region": "DE"}
        found.append(
            Record(
                Interaction(f"e{n}", kind, "u1", at, f"i{n % 4 + 3}", properties=properties), INTERACTIONS, 0, n, taken
            )
        )
    return found


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("skew", SKEWS.values(), ids=SKEWS)
def test_every_family_equals_its_oracle_at_once_and_after_each_expiry(scope: str, skew: int) -> None:
    features = [declare(family, scope) for family in FAMILIES if (family, scope) not in SENSELESS]
    operator = EntityOperator(user, features, world())
    state, taken, now = operator.new(), list[Signal](), START

    def wrong(row: Row, at: int) -> dict[str, Any]:
        """The features whose value in the row is not the oracle's as of then."""
        found = by_feature(operator, row)
        expected = {f.name: oracles.values(f, taken, at) for f in features}
        return {name: (at - T0, found[name], value) for name, value in expected.items() if not same(found[name], value)}

    for record in log(skew):
        now = record.arrived
        (signal,) = signals_of([record])
        taken.append(signal)
        operator.on_event("", state, record._replace(event=signal))
        assert wrong(operator.row("u1", "", state, now), max(now, *(s.timestamp for s in taken))) == {}
    for n, due in enumerate(timers(operator, "", state, now)):
        before = read_time(state.watermark, due - 1)
        assert wrong(operator.row("u1", "", state, due - 1), before) == {}
        assert wrong(operator.row("u1", "", state, due), due) == {}
        if n > MOST_TIMERS:
            break
    else:
        forever = now + 400 * DAY
        if scope != "lifetime":
            assert wrong(operator.row("u1", "", state, forever), forever) == {}


@pytest.mark.parametrize("skew", SKEWS.values(), ids=SKEWS)
def test_the_main_path_reads_like_declared_windows(skew: int) -> None:
    """A count of an hour is the same number in `user_activity` and as a declared feature, at any time."""
    declared = Repository({user: (Count("n", entity=user, events=event.event_type == "view", window=HOUR),)})
    operator = builders.user_operator(world(), LATENESS, declared)
    driver = Driver(operator)
    names = [f.name for f in views.user.fields]
    own, views_at = part_of(user.name), EVENT_TYPES.index("view")
    taken: list[Signal] = []
    for record in log(skew):
        taken += driver.take("u1", record)
        for at in (record.arrived, record.arrived + skew, record.arrived + HOUR, record.arrived + HOUR + skew):
            main = operator.row("u1", "", driver.states["u1", ""], at).values[names.index("events_1h")]
            (counted,) = operator.row("u1", own, driver.states["u1", own], at).values
            assert counted == main[views_at]
            counts = next(a for a in views.user.aggregations if isinstance(a, Counts))
            latest = max(at, *(s.timestamp for s in taken))
            of_hour = list(counts.windows).index(HOUR) * (1 + len(counts.ratios))
            assert main == main_path.counts(counts, taken, latest)[of_hour]


@given(st.lists(st.tuples(st.integers(0, 2 * MINUTE), st.integers(0, 5 * MINUTE)), min_size=1, max_size=8), st.data())
def test_no_operator_reads_a_part_before_its_latest_event(steps: list[tuple[int, int]], data: Any) -> None:
    """Every part of both operators: row and due of a clock that is behind are those as of the latest event."""
    features = {user: (Count("n", entity=user, window=HOUR),), session: (Count("depth", entity=session),)}
    declared = Repository(features)
    users, items = builders.user_operator(world(), LATENESS, declared), builders.item_operator(world(), declared)
    drivers, now = {users: Driver(users), items: Driver(items)}, T0
    for n, (gap, skew) in enumerate(steps):
        now += gap
        did: Any = Interaction(f"e{n}", "view", "u1", now + skew, "i3", "s1", properties={"region": "DE"})
        record = Record(Impression(f"r{n}", "u1", now + skew, ["i3"]) if n % 3 == 2 else did, "", 0, n, now)
        for signal in drivers[users].take("u1", record):
            for key in users.listeners(signal):
                drivers[items].take(key, record._replace(event=signal))
    at = now - data.draw(st.integers(0, HOUR))
    for operator, driver in drivers.items():
        assert driver.states
        for (key, part), state in driver.states.items():
            latest = read_time(operator.watermark(state), at)
            assert operator.row(key, part, state, at) == operator.row(key, part, state, latest)
            assert operator.due(part, state, at) == operator.due(part, state, latest)


def test_read_time() -> None:
    assert [read_time(T0, at) for at in (T0 - 1, T0, T0 + 1)] == [T0, T0, T0 + 1]
    assert read_time(0, T0) == T0


def test_a_replayed_row_holds_from_when_its_event_was_taken() -> None:
    """
    clock      0   30 s       90 s   2 m        an event of 90 s is taken at 30 s, another of 2 m at 2 m
    rows           1 ──────────────── 2 ─
    """
    found: list[tuple[int, int]] = []
    operator = EntityOperator(user, [Count("n", entity=user, window=HOUR)], world())
    driver = Driver(operator, lambda row, at: found.append((at - T0, row.values[0])))
    for n, (at, taken) in enumerate([(90, 30), (120, 120)]):
        signal = Signal("view", T0 + at * SECOND, user_id="u1")
        driver.take("u1", Record(signal, offset=n, taken=T0 + taken * SECOND))
    driver.finish()
    assert found == [
        (30 * SECOND, 1), (120 * SECOND, 2), (HOUR + MINUTE, 1), (HOUR + 2 * MINUTE, 0),
    ]  # fmt: skip


def test_a_replayed_row_of_a_backlog_is_of_the_events_own_time() -> None:
    found: list[int] = []
    driver = Driver(EntityOperator(user, [Count("n", entity=user)], world()), lambda row, at: found.append(at))
    driver.take("u1", Record(Signal("view", T0, user_id="u1"), taken=T0 + DAY))
    assert found == [T0]


@given(st.lists(st.tuples(st.integers(0, 3 * MINUTE), st.integers(-4 * MINUTE, 4 * MINUTE)), max_size=12))
def test_replayed_rows_are_those_of_a_reader_at_any_time(steps: list[tuple[int, int]]) -> None:
    """What the online store held at a moment is the last row of the replay that holds from then or before, as far as no
    event was taken later than it happened."""
    operator = EntityOperator(user, [declare("count", scope) for scope in ("5m", "1h", "session", "decay_1h")], world())
    emitted: list[tuple[int, Row]] = []
    driver = Driver(operator, lambda row, at: emitted.append((at, row)))
    live, now = operator.new(), T0
    held: list[tuple[int, Row]] = []
    """as the job writes: at each event, and at each timer in between"""
    for gap, skew in steps:
        held += [(due, operator.row("u1", "", live, due)) for due in timers(operator, "", live, now, now + gap)]
        now += gap
        signal = Signal("view", now + abs(skew), user_id="u1", item_id="i3")
        record = Record(signal, taken=now)
        driver.take("u1", record)
        operator.on_event("", live, record)
        held.append((now, operator.row("u1", "", live, now)))
    driver.finish(now)

    def at(rows: list[tuple[int, Row]], moment: int) -> Row | None:
        return next((row for since, row in reversed(rows) if since <= moment), None)

    assert [since for since, _ in emitted] == sorted(since for since, _ in emitted)
    moments = {since + more for rows in (emitted, held) for since, _ in rows for more in (-1, 0)} | {now}
    assert {m: at(emitted, m) for m in moments if m <= now} == {m: at(held, m) for m in moments if m <= now}
