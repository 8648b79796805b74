"""Without consent nothing of a person is kept: the operators, in Flink's place a replay of any order of events."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import views
from feature_repo.builders import declared_alone, item_operator, user_operator
from feature_repo.repository import Repository
from operators.aggregator import STATE
from operators.attribution import Attribution
from operators.contract import Record, Row
from operators.features import Count, Entity, LastK, event, item, session, user, user_category
from operators.features.entity import SHORT_LIFE
from operators.features.short_lived import MOST_IDS, ShortLivedIds
from operators.keyed import UserOperator
from operators.time import MINUTE
from schemas.errors import EventError, NoConsent
from schemas.events import Impression, Interaction, User
from tests.operators.records import LATENESS, World
from tests.operators.signals import T0, MadeSpace
from training.replay import Replay

session_category = Entity("session_category", (event.session_id, event.item.categories), "one session and a category")
DECLARED = Repository(
    {
        entity: (
            Count(f"{entity.name}_n", entity=entity),
            LastK(f"{entity.name}_last", entity=entity, of=event.item_id, k=5),
        )
        for entity in (user, user_category, item, session, session_category)
    }
)
NAMES = [field.name for field in views.user.fields]
KEPT = {"consent", "consent_given", "profile_partition", "profile_offset", "profile_arrived", "read_partition",
        "read_offset", STATE}  # fmt: skip
"""fields of a row that say something without consent"""
DEFAULTS = {field.name: field.default for field in views.user.fields if field.name not in KEPT}


def world() -> World:
    return World(MadeSpace("one"))


class Said(NamedTuple):
    """One step of a log; `sent` is how many minutes before its processing the broker had it."""

    what: str
    sent: int = 0


WHATS = ("grant", "withdraw", "delete", "profile", "event", "event", "event", "impression")
steps = st.lists(st.builds(Said, st.sampled_from(WHATS), st.sampled_from([0, 0, 0, 1, 3])), max_size=25)


def records(said: list[Said]) -> list[Record]:
    """The records in the order in which they are processed, one a minute, each of another item and session."""
    found = []
    for n, (what, sent) in enumerate(said):
        arrived = T0 + (n - sent) * MINUTE
        topic = {"event": "interactions", "impression": "impressions"}.get(what, "users")
        made: Any = {
            "event": lambda n=n: Interaction(f"e{n}", "click", "u1", T0 + n, f"i{n % 5}", f"s{n % 3}"),
            "impression": lambda n=n: Impression(f"r{n}", "u1", T0 + n, [f"i{n % 5}"]),
        }.get(what)
        consent = {"grant": True, "withdraw": False}.get(what)
        event = made() if made else User("u1", {} if what == "delete" else {"country": "DE"}, ["comedy"], consent)
        found.append(Record(event, topic, 0, n, arrived))
    return found


def counted(log: list[Record], opt_in: bool) -> tuple[bool, list[Record]]:
    """The plainest reading: whether the person consents at the end, and the events that count for them then. An event
    counts where consent was there when it was processed and when the broker had it, and never ceased afterwards."""
    consent, since, stated, kept = not opt_in, 0, 0, list[Record]()
    for record in log:
        event = record.event
        if not isinstance(event, User):
            if consent and record.arrived >= since:
                kept.append(record)
        elif event.consent is not None and record.arrived >= stated:
            stated = record.arrived
            if event.consent and not consent:
                since = record.arrived
            if not event.consent:
                kept = []
            consent = event.consent
    return consent, kept


class Run:
    """A log through both operators, and what the store has afterwards."""

    def __init__(self, log: list[Record], opt_in: bool = False) -> None:
        self.store: dict[tuple[str, tuple[str, ...]], tuple[Any, ...]] = {}
        self.examples: list[Any] = []
        users = user_operator(world(), LATENESS, DECLARED, Attribution(), opt_in)
        self.replay = Replay(users, item_operator(world(), DECLARED), self._write, on_example=self.examples.append)
        self.refused = Counter[str]()
        for record in log:
            if self.replay.feed(record) is None:
                self.refused["refused"] += 1

    def _write(self, row: Row, at: int) -> None:
        if row.values:
            self.store[row.view, row.key] = row.values
        else:
            self.store.pop((row.view, row.key), None)

    @property
    def row(self) -> dict[str, Any]:
        return dict(zip(NAMES, self.store["user_activity", ("u1",)], strict=True))

    def of_person(self) -> dict[tuple[str, tuple[str, ...]], tuple[Any, ...]]:
        """Rows under the person's id, or the id of one of their sessions."""
        return {
            place: row for place, row in self.store.items() if place[1][0] == "u1" or place[0].startswith("session")
        }


@pytest.mark.parametrize("opt_in", [False, True])
@settings(max_examples=300)
@given(steps)
def test_only_events_under_consent_that_has_not_ceased_count(opt_in: bool, said: list[Said]) -> None:
    log = records(said)
    consents, kept = counted(log, opt_in)
    found = Run(log, opt_in)
    assert not found.replay.dead or all(not isinstance(dead.error, NoConsent) for dead in found.replay.dead)
    if not log or ("user_activity", ("u1",)) not in found.store:
        return
    assert found.row["consent"] is consents
    if not consents:
        assert {name: value for name, value in found.row.items() if name in DEFAULTS} == DEFAULTS
        assert list(found.of_person()) == [("user_activity", ("u1",))]
        assert [part for key, part in found.replay.users if key == "u1"] == [""]
        return
    fresh = Run(kept)  # as somebody new, of whom there are these events alone
    own = {place: row for place, row in found.of_person().items() if place[0] != "user_activity"}
    assert own == {place: row for place, row in fresh.of_person().items() if place[0] != "user_activity"}
    if any(isinstance(record.event, Interaction) for record in kept):
        other = KEPT | {"interests", "country", "profile_attributes"}
        assert {n: v for n, v in found.row.items() if n not in other} == {
            n: v for n, v in fresh.row.items() if n not in other
        }
    assert found.replay.user_row("u1", T0)["read_offset"] == max(
        (record.offset for record in log if isinstance(record.event, Interaction)), default=-1
    )


@given(steps)
def test_no_example_is_made_of_an_impression_before_a_withdrawal(said: list[Said]) -> None:
    log = [*records(said), Record(User("u1", consent=False), "users", 0, 99, T0 + 99 * MINUTE)]
    found = Run(log)
    before = len(found.examples)
    found.replay.finish()
    assert len(found.examples) == before


def test_a_deleted_profile_grants_nothing() -> None:
    found = Run(records([Said("event"), Said("withdraw"), Said("delete"), Said("event"), Said("impression")]))
    assert found.row["consent"] is False
    assert found.row["recent_items"] == []
    assert found.replay.user_row("u1", T0)["read_offset"] == 3  # a token of the second click has caught up


def test_a_profile_that_the_broker_had_earlier_does_not_override_a_later_withdrawal() -> None:
    found = Run(records([Said("event"), Said("withdraw"), Said("grant", sent=2)]))
    assert found.row["consent"] is False


def test_nor_does_it_drop_the_features_of_sessions() -> None:
    found = Run(records([Said("grant"), Said("event"), Said("withdraw", sent=3)]))
    assert ("session_features", ("s1",)) in found.store


@pytest.mark.parametrize("what", ["event", "impression"])
def test_events_without_consent_are_refused_and_leave_no_dead_letter(what: str) -> None:
    found = Run(records([Said("withdraw"), Said(what)]))
    assert found.refused["refused"] == 1
    assert not found.replay.dead
    assert not [key for key, _ in found.replay.items]  # nor do items get anything of it


def test_with_opt_in_a_stranger_is_kept_out_until_a_profile_gives_consent() -> None:
    asked = [Said("event"), Said("profile"), Said("event")]
    found = Run(records(asked), opt_in=True)
    assert (found.row["consent"], found.row["country"], found.row["recent_items"]) == (False, "", [])
    found = Run(records([*asked, Said("grant"), Said("event")]), opt_in=True)
    assert (found.row["consent"], found.row["country"], found.row["recent_items"]) == (True, "DE", ["i4"])


def test_after_a_change_to_opt_in_a_saved_state_is_emptied_as_it_is_read() -> None:
    before = user_operator(world(), LATENESS, DECLARED)
    state = before.new()
    before.on_event("", state, records([Said("event")])[0])
    after = user_operator(world(), LATENESS, DECLARED, opt_in=True)
    found = after.decode("", before.encode("", state))
    assert after.encode("", found) != before.encode("", state)
    assert dict(zip(NAMES, after.row("u1", "", found, T0).values, strict=True))["recent_items"] == []
    assert after.dropped("u1", {"": found, "\0user\0": object()}) == ["\0user\0"]
    assert before.dropped("u1", {"": state, "\0user\0": object()}) == ()


@given(steps)
def test_an_archive_gives_the_same_declared_features(said: list[Said]) -> None:
    """A backfill takes what was accepted, with profiles, and has no time of the broker's."""
    log, live, accepted = records(said), Run([]), []
    for n, record in enumerate(log):
        if live.replay.feed(record) is not None:
            accepted.append(record._replace(arrived=2**53, taken=T0 + n * MINUTE))
    replay = Replay(*declared_alone(world(), DECLARED))
    for record in accepted:
        assert replay.feed(record) is not None
    parts = {place for place in live.replay.users if place[1].startswith("\0user")}
    assert {place for place in replay.users if place[1].startswith("\0user")} == parts


def test_a_state_saved_and_read_again_has_the_same_consent() -> None:
    operator = UserOperator(views.user, world(), LATENESS)
    state = operator.new()
    for record in records([Said("event"), Said("withdraw"), Said("grant"), Said("event"), Said("event", sent=3)]):
        with suppress(EventError):
            operator.on_event("", state, record)
        assert operator.decode("", operator.encode("", state)) == state
        row = dict(zip(NAMES, operator.row("u1", "", state, T0).values, strict=True))
        of_row = operator.of_row(row)
        assert (of_row.consent, of_row.stated, of_row.since) == (state.consent, state.stated, state.since)


def test_ids_of_sessions_are_noted_for_as_long_as_their_features_live() -> None:
    ids, at = ShortLivedIds(["session_id"]), T0
    state = ids.new()

    def click(session_id: str, at: int) -> Any:
        return ids.on_event("", state, Record(Interaction(f"e{at}", "click", "u1", at, "i1", session_id)))

    assert click("s0", at) == []
    assert click("s0", at + 1) is None  # nothing to save
    for n in range(MOST_IDS + 10):
        click(f"s{n}", at + n)
    assert len(state.ids["session_id"]) == MOST_IDS
    click("later", at + 2 * SHORT_LIFE)
    assert list(state.ids["session_id"]) == ["later"]
    assert ids.decode("", ids.encode("", state)) == state
    assert [s.session_id for s in ids.on_event("", state, Record(User("u1", consent=False))) or ()] == ["later"]
    end = ids.due("", state, at)
    assert end is not None
    assert ids.over("", state, end)
    assert not ids.over("", state, end - 1)
