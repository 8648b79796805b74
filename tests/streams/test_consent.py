"""After a withdrawal nothing of a person is in rows, answers, impressions, examples or the archive, on a running stack.

    steps: grant, withdraw, delete, profile, event, impression, feed
    each through server A, server B, or a Kafka client

CONSENT_ORDERS people (4 where not set) each go through an order of steps of their own, which ends with a withdrawal;
once their row shows it, more steps follow that grant nothing.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
import pytest
import redis
from feast import FeatureStore

from bench.stacks import send
from feature_repo.features import DECLARED as MAIN
from feature_repo.registry import load
from follow import to_end
from freshet.local.ports import free_ports
from freshet.local.processes import base_env
from freshet.local.server import Server
from freshet.local.stack import Stack
from freshet.settings import Settings
from operators.time import SECOND
from schemas import messages
from schemas.clock import now_ms
from schemas.events import Event, Impression, Interaction, Item, LabelledExample, User
from schemas.topics import EXAMPLES, IMPRESSIONS, INTERACTIONS, USERS
from tests.bundles import write_bundle
from tests.live import end
from training import archive

DEFINITIONS = "tests.streams.personal"
ORDERS = int(os.environ.get("CONSENT_ORDERS", "4"))
ITEMS = [Item(f"i{n}", f"Title {n}", [f"c{n % 4}"], f"b{n % 3}", price=1.0 + n) for n in range(24)]
SENDERS = ("A", "B", "kafka")
WINDOW = 6 * SECOND
"""within which what a person does labels what they were shown, lateness included"""
DEADLINE_S = 60.0
STATED = {"consent", "consent_given", "profile_partition", "profile_offset", "profile_arrived", "read_partition",
          "read_offset", "state"}  # fmt: skip
"""fields of a person's row that say that they withdrew, and where in Kafka their last messages lie"""
PATHS = {Interaction: "events", Impression: "impressions", User: "users"}


def until(check: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while not (found := check()):
        assert time.monotonic() < deadline, f"not within {DEADLINE_S:g} s: {what}"
        time.sleep(0.1)
    return found


@contextmanager
def server(settings: Settings) -> Iterator[None]:
    """One more server over the same stack."""
    port = free_ports()["http_port"]
    other = settings.model_copy(update={"http_port": port})
    process = subprocess.Popen(
        [sys.executable, "-m", "serving"], env={**base_env(), **Server().prepare(other, print).env}
    )
    try:
        until(lambda: Server().is_ready(other), "the second server is ready")
        yield other.http_url
    finally:
        end(process, 30)


class World:
    """A stack, two servers, and what is sent to them."""

    def __init__(self, settings: Settings, urls: dict[str, str]) -> None:
        self.settings = settings
        self.http = {sender: httpx.Client(base_url=url, timeout=30, trust_env=False) for sender, url in urls.items()}
        self.rng = random.Random(7)
        self.n = 0
        self.features = FeatureStore(fs_yaml_file=settings.feature_store)

    def said(self, what: str, who: str) -> Event:
        self.n += 1
        item_id = self.rng.choice(ITEMS).item_id
        if what == "event":
            kind = self.rng.choice(["view", "click", "like", "purchase"])
            own = f"{who}-{self.rng.randrange(3)}"
            return Interaction(f"{who}-{self.n}", kind, who, now_ms(), item_id, own, own)  # type: ignore[arg-type]
        if what == "impression":
            return Impression(f"{who}-{self.rng.randrange(3)}", who, now_ms(), [item_id, "i1"])
        about: dict[str, Any] = {} if what == "delete" else {"attributes": {"country": who}, "interests": [who]}
        return User(who, consent={"grant": True, "withdraw": False}.get(what), **about)

    def send(self, what: str, who: str, sender: str) -> str:
        """Does one step; returns the receipt's token. A deletion is a tombstone, which only Kafka takes."""
        if what == "feed":
            self.feed(who, "B" if sender == "kafka" else sender)
            return ""
        event = self.said(what, who)
        if what == "delete" and sender == "kafka":
            send_tombstone(self.settings, who)
        elif sender == "kafka":
            send(self.settings, [event])
        else:
            answer = self.http[sender].post(f"/v1/{PATHS[type(event)]}", json=msgspec.to_builtins(event))
            assert answer.status_code == 202, answer.text
            return str(answer.json()["token"])
        return ""

    def feed(self, who: str, sender: str, **asked: Any) -> dict[str, Any]:
        answer = self.http[sender].get(f"/v1/users/{who}/feed", params={"n": 5, **asked})
        assert answer.status_code == 200, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def person(self, who: str, sender: str) -> dict[str, Any]:
        return self.http[sender].get(f"/v1/users/{who}/features").raise_for_status().json()  # type: ignore[no-any-return]

    def row(self, view: str, names: list[str], keys: dict[str, str]) -> dict[str, Any]:
        """By a stock Feast client."""
        asked = [f"{view}:{name}" for name in names]
        found = self.features.get_online_features(features=asked, entity_rows=[keys]).to_dict()
        return {name: found[name][0] for name in names}

    def last(self, topic: str) -> dict[str, int]:
        """By person, the offset of their last message."""
        found: dict[str, int] = {}
        for message in to_end.read(self.settings.connection, [topic]):
            assert message.key is not None
            found[message.key.decode()] = message.offset
        return found

    def shows(self, who: str, profile: int, event: int) -> bool:
        row = self.row("user_activity", ["consent", "profile_offset", "read_offset"], {"user_id": who})
        return row["consent"] is False and row["profile_offset"] == profile and row["read_offset"] == event

    def settle(self, people: list[str]) -> None:
        """Waits until the rows of all show their last profile and their last interaction."""
        profiles, events = self.last(USERS), self.last(INTERACTIONS)
        for who in people:
            until(lambda who=who: self.shows(who, profiles[who], events.get(who, -1)), f"the row of {who}")  # type: ignore[misc]

    def shown(self) -> dict[str, int]:
        """By person, impressions in Kafka."""
        found: defaultdict[str, int] = defaultdict(int)
        for message in to_end.read(self.settings.connection, [IMPRESSIONS]):
            found[(message.key or b"").decode()] += 1
        return found

    def examples(self) -> list[LabelledExample]:
        found = to_end.read(self.settings.connection, [EXAMPLES])
        return [messages.codec.decode(EXAMPLES, message.value) for message in found]  # type: ignore[arg-type]


def send_tombstone(settings: Settings, who: str) -> None:
    from freshet.data.producer import Producer

    with Producer(settings) as producer:
        producer.send(USERS, who.encode(), None)
        producer.flush()


@pytest.mark.integration
def test_after_a_withdrawal_nothing_of_a_person_is_anywhere(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRESHET_DEFINITIONS", DEFINITIONS)
    monkeypatch.setenv("FRESHET_ATTRIBUTION_MINUTES", str(WINDOW / 2 / 60_000))
    monkeypatch.setenv("FRESHET_ATTRIBUTION_LATE_MINUTES", str(WINDOW / 2 / 60_000))
    monkeypatch.setenv("FRESHET_ITEM_WRITE_MS", "500")
    monkeypatch.setenv("FRESHET_AFTER_WAIT_MS", "5000")
    settings = Settings(home=tmp_path_factory.mktemp("consent"), **free_ports())
    write_bundle(settings.bundles, [each.item_id for each in ITEMS], served=True)
    people = [f"person-{n:04d}" for n in range(ORDERS)]
    with Stack(settings, report=print) as stack:
        stack.up()
        send(settings, ITEMS)
        with server(settings) as second:
            found = World(settings, {"A": settings.http_url, "B": str(second)})
            until(lambda: len(found.feed("stranger", "B")["items"]) == 5, "the catalogue is there")
            withdrawn = withdraw(found, people)
            refuse(found, people)
            no_rows(found, people)
            no_answers(found, people)
            no_examples(found, people, withdrawn)
            starts_from_nothing(found, people[0])
        stack.down(["flink"])  # with a savepoint, which finishes the archive's files
    nothing_archived(settings, people[1:])


def withdraw(found: World, people: list[str]) -> dict[str, int]:
    """Each person's order of steps, and the withdrawal. Returns when the row of each showed it, epoch ms."""
    rng, shown = found.rng, dict[str, int]()
    for who in people:
        for _ in range(rng.randrange(3, 9)):
            what = rng.choice(
                ["grant", "withdraw", "delete", "profile", "event", "event", "event", "impression", "feed"]
            )
            found.send(what, who, rng.choice(SENDERS))
        sender = rng.choice(SENDERS)
        token = found.send("withdraw", who, sender)
        if sender != "kafka":  # at once on the server that took it; on the other once the row is there
            for each, asked in ((sender, {}), ("A" if sender == "B" else "B", {"after": token})):
                check_feed(found.feed(who, each, **asked))
    found.settle(people)
    for who in people:
        shown[who] = now_ms()
    return shown


def refuse(found: World, people: list[str]) -> None:
    """More steps, which grant nothing; each is in its topic, and no list that a server shows is."""
    rng = found.rng
    for who in people:
        for _ in range(4):
            what = rng.choice(["delete", "profile", "event", "event", "impression", "withdraw"])
            found.send(what, who, rng.choice(SENDERS))
    found.settle(people)
    before = found.shown()
    for who in people:
        for sender in ("A", "B"):
            check_feed(found.feed(who, sender, explain="full"))
    found.feed("stranger", "A")
    until(lambda: found.shown()["stranger"] > before["stranger"], "the list of a stranger is logged")
    after = found.shown()
    assert {who: after[who] for who in people} == {who: before[who] for who in people}


def check_feed(feed: dict[str, Any]) -> None:
    assert feed["freshness"] == {"last_event_at": None, "applied_offset": None, "lag_ms": 0, "caught_up": True}
    assert all(each["reason"]["code"] != "similar" and "item_id" not in each["reason"] for each in feed["items"])


def no_rows(found: World, people: list[str]) -> None:
    """Neither by Feast nor in any key or value of Redis, but for the row that says that consent was withdrawn."""
    declared = load(DEFINITIONS)
    user = MAIN["user_activity"]
    for who in people:
        row = found.row("user_activity", [f.name for f in user.fields], {"user_id": who})
        assert row["consent"] is False
        left = {
            f.name: row[f.name]
            for f in user.fields
            if f.name not in STATED and (row[f.name] or None) != (f.default or None)
        }
        assert left == {}
        for entity in declared.features:
            view = declared.view(entity)
            if not entity.of_user:
                continue
            keys = [{"user_id": who, **{f"{name}_id": f"c{n}" for name in view.entities[1:]}} for n in range(4)]
            asked = [f"{view.name}:{f.name}" for f in view.fields]
            read = found.features.get_online_features(features=asked, entity_rows=keys).to_dict()
            assert not any(value for f in view.fields for value in read[f.name])
    client = redis.Redis(port=found.settings.redis_port)

    def holding() -> list[tuple[bytes, bytes]]:
        """(key, field) of all that holds a person's id, or that of a session or event, which begin with it."""
        some = []
        for key in client.scan_iter(count=1000):
            cells = client.hgetall(key) if client.type(key) == b"hash" else {b"": client.dump(key)}
            some += [(key, name) for name, value in cells.items() if b"person-" in key + name + value]
        return some

    # A key of Feast's is of the entity's names and values: of one name, that is the person's own row.
    until(lambda: all(b"session" not in key and b"request" not in key for key, _ in holding()), "rows of sessions go")
    keys = {key for key, _ in holding()}
    assert len(keys) == len(people), keys
    for key in keys:
        assert len(client.hgetall(key)) == len(user.fields) + 1, "of one view, and the time of writing"
        assert not any(b"person-" in value for value in client.hgetall(key).values())


def no_answers(found: World, people: list[str]) -> None:
    for sender in ("A", "B"):
        stranger = found.person("nobody", sender)
        for who in people:
            assert found.person(who, sender) == stranger | {"user_id": who}
        similar = found.http[sender].get("/v1/items/i1/similar").text
        assert "person-" not in similar


def no_examples(found: World, people: list[str], withdrawn: dict[str, int]) -> None:
    """No example leaves the job after the withdrawal; once those of a later list of a stranger have left, all would
    have."""
    at = now_ms()
    found.feed("stranger", "A")
    until(lambda: any(e.user_id == "stranger" and e.shown_at >= at for e in found.examples()), "a stranger's examples")
    late = [e for e in found.examples() if e.user_id in people and e.shown_at + WINDOW > withdrawn[e.user_id]]
    assert late == []


def starts_from_nothing(found: World, who: str) -> None:
    token = found.send("grant", who, "A")
    until(lambda: found.row("user_activity", ["consent"], {"user_id": who})["consent"], "the row shows consent")
    token = found.send("event", who, "A")
    for sender in ("A", "B"):
        feed = found.feed(who, sender, after=token)
        assert feed["freshness"]["caught_up"]
        assert len(found.person(who, sender)["recent"]) == 1


def nothing_archived(settings: Settings, people: list[str]) -> None:
    """After the last withdrawal; what is there of the time before is left out of training by what was said last."""
    of: defaultdict[str, list[Event]] = defaultdict(list)
    for record in archive.read(archive.finished(settings.archive / "events")):
        assert not isinstance(record.event, (Item, type(None)))
        of[record.event.user_id].append(record.event)  # type: ignore[union-attr]
    for who in people:
        stated = [n for n, event in enumerate(of[who]) if isinstance(event, User) and event.consent is False]
        after = of[who][stated[-1] :]
        assert {type(event) for event in after} == {User}
        assert all(not (event.attributes or event.interests or event.consent) for event in after)  # type: ignore[union-attr]
