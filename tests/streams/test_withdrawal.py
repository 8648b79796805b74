"""The job drops what it has of a person who withdraws consent, whatever the order of events and crashes."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from feature_repo.builders import item_operator, user_operator
from feature_repo.repository import Repository
from feature_repo.views import user
from operators.attribution import Attribution
from operators.contract import Record, Row
from operators.features import Count, LastK, event, session, user_category
from operators.features import user as user_entity
from operators.time import DAY, HOUR, MINUTE
from schemas import codec
from schemas.events import Impression, Interaction, User
from schemas.topics import IMPRESSIONS, INTERACTIONS, REFRESH, USERS
from streams import archive, wire
from tests.operators.records import World
from tests.operators.signals import ITEMS
from tests.streams.mini_flink import MiniFlink, Store
from training.replay import Replay

DECLARED = Repository(
    {
        entity: (Count("n", entity=entity), LastK("last", entity=entity, of=event.item_id, k=3))
        for entity in (user_entity, user_category, session)
    }
)
PEOPLE = ("u1", "u2")
TOPICS = {Interaction: INTERACTIONS, Impression: IMPRESSIONS, User: USERS}


def message(said: Any, offset: int, arrived: int) -> tuple[Any, ...]:
    return said.user_id, codec.encode(said), TOPICS[type(said)], 0, offset, arrived


def step(what: str, who: str, n: int, at: int) -> Any:
    if what == "event":
        return Interaction(f"e{n}", "click", who, at, ITEMS[n % 5 + 2], f"s{n % 3}-{who}")
    if what == "impression":
        return Impression(f"r{n}", who, at, [ITEMS[3]])
    return User(who, {} if what == "delete" else {"country": "DE"}, [], {"grant": True, "withdraw": False}.get(what))


def downstream(out: list[Any]) -> list[tuple[Any, ...]]:
    return [row[1] for row in out if isinstance(row[0], str)]


def archived(out: list[Any]) -> list[dict[str, Any]]:
    lines = [line for row in out if row[0] is archive.ACCEPTED for line in row[1][0].split(archive.ROW)]
    return [json.loads(line.split(archive.COLUMN)[10]) for line in lines]


def letters(out: list[Any]) -> list[Any]:
    return [row[1] for row in out if row[0] is wire.DEAD]


@pytest.mark.parametrize("seed", range(25))
def test_rows_and_states_are_those_of_a_replay_after_any_crash(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    store, items = Store(), Store()
    opt_in = seed % 3 == 0
    settings = {"cached_keys": rng.choice([1, 100]), "consent": "opt_in" if opt_in else "opt_out"}
    flink = MiniFlink("user", World(), store, monkeypatch, DECLARED, **settings)
    saved, read, log = flink.checkpoint(), 0, list[tuple[Any, Record]]()
    for n in range(rng.randrange(60)):
        flink.advance(rng.choice([0, 5, 3_000, 20 * MINUTE]))
        what = rng.choice(["checkpoint", "crash", "grant", "withdraw", "delete", *["event"] * 4, "impression"])
        if what == "checkpoint":
            saved, read = flink.checkpoint(), len(log)
        elif what == "crash":
            flink.restore(saved)
            for again, _ in log[read:]:
                flink.send(again)
        else:
            said = step(what, rng.choice(PEOPLE), n, flink.now)
            late = rng.choice([0, 0, 10_000])
            sent = message(said, len(log), flink.now - late)
            log.append((sent, Record(said, sent[2], 0, len(log), sent[5])))
            flink.send(sent)
    flink.advance(5_000)

    expected: dict[tuple[str, ...], Row] = {}

    def write(row: Row, at: int) -> None:
        expected.pop((row.view, *row.key), None)
        if row.values:
            expected[row.view, *row.key] = row

    users = user_operator(World(), DAY, DECLARED, Attribution(), opt_in)
    replay = Replay(users, item_operator(World(), DECLARED), write)
    for _, record in log:
        replay.feed(record)
    assert letters(flink.out) == []
    assert store.rows.keys() == {
        (row.view, *row.key)
        for (key, part), state in replay.users.items()
        if (row := users.row(key, part, state, flink.now)).view
    }
    of_users = {place for place in expected if place[1] in PEOPLE}
    assert {place for place in store.rows if place[0] != user.name} == {p for p in of_users if p[0] != user.name}
    names = [field.name for field in user.fields]
    for who in PEOPLE:
        parts = {part for key, part in replay.users if key == who}
        of_key = {name.partition("\x1f")[2] for name in flink._maps[who]}
        if users.withholds({part: replay.users[who, part] for part in parts}):
            assert of_key <= {""}, "nothing is left in Flink's state but what was said of consent"
        if (user.name, who) in store.rows:
            row = dict(zip(names, store.rows[user.name, who].values, strict=True))
            same = dict(zip(names, users.row(who, "", replay.users[who, ""], flink.now).values, strict=True))
            kept = {"recent_items", "seen_0", "seen", "consent", "consent_given", "read_offset", "profile_offset"}
            assert {name: row[name] for name in kept} == {name: same[name] for name in kept}

    flink_items = MiniFlink("item", World(), items, monkeypatch, DECLARED, **settings)
    for sent in downstream(flink.out):
        flink_items.send(sent)
    flink_items.advance(HOUR)
    sessions = {place for place in items.rows if place[0] == "session_features"}
    assert sessions == {place for place in expected if place[0] == "session_features"}


def test_what_is_archived_of_a_withdrawal_is_the_withdrawal(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"archive": "file:///a/events", "checkpoints": "file:///c"}
    flink = MiniFlink("user", World(), Store(), monkeypatch, **settings)
    said = [
        step("event", "u1", 0, flink.now),
        User("u1", {"age": 7}, ["drama"], consent=False),
        step("event", "u1", 1, flink.now),
        step("impression", "u1", 2, flink.now),
        User("u1", {"age": 8}),
    ]
    for n, each in enumerate(said):
        flink.send(message(each, n, flink.now))
    found = archived(flink.out)
    assert [(each.get("event_id"), each.get("consent"), each.get("attributes")) for each in found] == [
        ("e0", None, None), (None, False, {}), (None, None, {}),
    ]  # fmt: skip
    assert len(downstream(flink.out)) == 1
    assert letters(flink.out) == []


@pytest.mark.parametrize("consent", [True, False])
def test_a_broken_message_of_a_person_without_consent_leaves_its_place_alone(
    consent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    flink = MiniFlink("user", World(), Store(), monkeypatch)
    flink.send(message(User("u1", consent=consent), 0, flink.now))
    flink.send(("u1", b"secret", INTERACTIONS, 3, 7, flink.now))
    (letter,) = letters(flink.out)
    body = json.loads(letter[1])
    assert (body["partition"], body["offset"], body["reason"]) == (3, 7, "undecodable")
    assert (letter[0], bool(body["payload"]), body["payload_bytes"]) == (("u1", True, 6) if consent else ("", False, 0))


def test_after_a_change_to_opt_in_a_refresh_drops_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    flink = MiniFlink("user", World(), store, monkeypatch, DECLARED)
    flink.send(message(step("event", "u1", 1, flink.now), 0, flink.now))
    assert {place[0] for place in store.rows} == {user.name, "user_features", "user_category_features"}
    flink._settings = flink._settings.model_copy(update={"consent": "opt_in"})
    flink.restore(flink.checkpoint())
    flink.send(("u1", b"", REFRESH["user"], 0, 0, flink.now))
    flink.advance(1_000)
    assert {place[0] for place in store.rows} == {user.name}
    assert {name.partition("\x1f")[2] for name in flink._maps["u1"]} == {""}
    row = dict(zip([f.name for f in user.fields], store.rows[user.name, "u1"].values, strict=True))
    assert (row["consent"], row["recent_items"], row["applied_offset"]) == (False, [], -1)
