"""A person's features with their own last events in them, whatever the store shows."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.builders import user_operator
from feature_repo.views import user
from operators.contract import Record
from operators.keyed import UserOperator
from operators.seen import seen_hashes
from operators.time import DAY, HOUR
from schemas.errors import Duplicate
from schemas.events import Interaction, Item, User
from schemas.topics import USERS
from serving import hydrate
from serving.hydrate import Hydrator, Person
from serving.own_events import OwnEvents
from serving.store import Store
from serving.tokens import EventPlace, Token
from tests.serving.made import NOW, Rows, catalogue, click, install, model

ITEMS = [Item(f"i{k}", f"Title {k}", ["a"] if k % 2 else ["b"]) for k in range(6)]
VECTORS = {f"i{k}": [1, k, k * k, 1] for k in range(6)}
WORLD = catalogue(ITEMS, VECTORS)


def record(event: Interaction | User, offset: int, topic: str = "interactions") -> Record:
    return Record(event, topic, 0, offset, NOW)


def row_of(records: list[Record], at: int = NOW, world: Any = WORLD) -> dict[str, Any]:
    """The row that the stream writes after these."""
    operator = user_operator(world)
    state = operator.new()
    for each in records:
        operator.on_event("", state, each)
    row = operator.row("u1", "", state, at)
    return dict(zip((f.name for f in user.fields), row.values, strict=True))


class Setting:
    """A hydrator named "me" over a fake store, ten seconds after NOW."""

    def __init__(self, world: Any = WORLD, lateness: int = DAY, opt_in: bool = False) -> None:
        self.rows, self.own = Rows(), OwnEvents(60_000)
        self.store = Store(lambda: self.rows, 100.0)
        self.now = NOW + 10_000
        self.unreadable: list[str] = []
        self.hydrator = Hydrator(
            self.store, self.own, world, "me", 60, 2, lambda: self.now, lateness, opt_in, self.unreadable.append
        )

    def person(self, after: Token | None = None, meanwhile: Callable[[], None] = lambda: None) -> Person:
        """The person u1; `meanwhile` happens 10 ms after the question."""

        async def ask() -> Person:
            if not self.store.healthy:
                await self.store.start()
            asyncio.get_running_loop().call_later(0.01, meanwhile)
            try:
                return await self.hydrator.person("u1", after)
            finally:
                await self.store.stop()

        return asyncio.run(ask())


def token(offset: int, issuer: str = "me", partition: int = 0, user_id: str = "u1") -> Token:
    return Token.of(issuer, [EventPlace("interactions", partition, offset, user_id)])


def test_a_stranger_has_defaults() -> None:
    found = Setting().person()
    assert found.features == {f.name: f.default for f in user.fields}
    assert (found.freshness.last_event_at, found.freshness.applied_offset, found.freshness.lag_ms) == (None, None, 0)
    assert found.freshness.caught_up
    assert not found.degraded


def test_a_row_is_taken_as_it_is() -> None:
    setting = Setting()
    setting.rows.of["u1"] = row_of([record(click("e1", item_id="i1"), 7)])
    found = setting.person()
    assert found.features == setting.rows.of["u1"]
    assert (found.freshness.last_event_at, found.freshness.applied_offset) == (NOW, 7)


@given(st.lists(st.sampled_from(["view", "click", "like", "dislike", "purchase"]), min_size=1, max_size=8), st.data())
def test_own_events_are_applied_as_the_stream_applies_them(kinds: list[Any], data: st.DataObject) -> None:
    records = [
        record(click(f"e{n}", item_id=f"i{n % 6}", at=NOW + n, event_type=kind), n) for n, kind in enumerate(kinds)
    ]
    shown = data.draw(st.integers(0, len(records)))
    setting = Setting()
    if shown:
        setting.rows.of["u1"] = row_of(records[:shown])
    for each in records:
        setting.own.add(each, NOW)
    found = setting.person(token(len(records) - 1))
    assert found.freshness.caught_up
    if shown == len(records):
        assert found.features == setting.rows.of["u1"]
        assert found.freshness.lag_ms == 0
    else:
        expected = row_of(records, NOW + 10_000)
        for each in (found.features, expected):
            vector = each.pop("vector")
            each["vector"] = pytest.approx(vector, abs=1e-6) if each is expected else vector  # a row's is of float32
        served = [f.name for a in user.aggregations for f in a.fields]
        assert {name: found.features[name] for name in served} == {name: expected[name] for name in served}
        assert seen_hashes(found.features).tolist() == seen_hashes(expected).tolist()
        assert found.freshness.lag_ms == 10_000


@pytest.mark.parametrize(("lateness", "shown"), [(HOUR, ["i1"]), (2 * HOUR, ["i1", "i2"]), (DAY, ["i1", "i2"])])
def test_events_are_admitted_by_the_jobs_allowed_lateness(lateness: int, shown: list[str]) -> None:
    setting = Setting(lateness=lateness)
    setting.own.add(record(click("e1", item_id="i1"), 0), NOW)
    setting.own.add(record(click("e2", item_id="i2", at=NOW - 2 * HOUR), 1), NOW)
    assert setting.person().features["recent_items"] == shown


@pytest.mark.parametrize("skew", [90_000, 240_000])
def test_an_own_event_ahead_of_the_servers_clock_counts_at_once(skew: int) -> None:
    setting = Setting()
    setting.own.add(record(click("e1", item_id="i1", at=NOW + 10_000 + skew), 0), NOW)
    features = setting.person().features
    assert [sum(features[name]) for name in ("events_5m", "events_1h", "events_24h", "events_7d")] == [1] * 4
    assert features["session_items"] == 1


def test_a_repeated_event_counts_once_and_is_waited_for_no_longer() -> None:
    setting = Setting()
    setting.own.add(record(click("e1"), 0), NOW)
    setting.own.add(record(click("e1"), 1), NOW)
    assert setting.person().features["recent_items"] == ["i1"]
    assert [r.offset for r in setting.own.pending("u1", None)] == [0]


def test_a_profile_counts_at_once() -> None:
    setting = Setting()
    setting.own.add(record(User("u1", interests=["a"]), 3, "users"), NOW)
    assert setting.person().features["interests"] == ["a"]


def test_who_has_not_agreed_is_a_stranger() -> None:
    setting = Setting()
    setting.rows.of["u1"] = row_of([record(click(), 0), record(User("u1", consent=False), 1, "users")])
    features = setting.person().features
    assert (features["recent_items"], features["vector"], features["consent"]) == ([], [], False)


# -- tokens ----------------------------------------------------------------------------------------


def test_the_store_is_waited_for_where_another_server_wrote_the_event() -> None:
    setting = Setting()
    setting.rows.of["u1"] = row_of([record(click("e1", item_id="i1"), 0)])

    def arrive() -> None:
        setting.rows.of["u1"] = row_of([record(click("e1", item_id="i1"), 0), record(click("e2", item_id="i2"), 1)])

    found = setting.person(token(1, "another"), arrive)
    assert found.features["recent_items"] == ["i2", "i1"]
    assert found.freshness.caught_up


@pytest.mark.parametrize("known", [True, False])
def test_a_wait_in_vain_is_said(known: bool) -> None:
    setting = Setting()
    if known:
        setting.rows.of["u1"] = row_of([record(click(), 0)])
    assert not setting.person(token(1, "another")).freshness.caught_up
    assert setting.rows.reads > 3


@pytest.mark.parametrize(
    "after", [token(0, "another"), token(99, "another", user_id="somebody else"), Token("another", {})]
)
def test_what_the_row_covers_is_not_waited_for(after: Token) -> None:
    setting = Setting()
    setting.rows.of["u1"] = row_of([record(click(), 0)])
    assert setting.person(after).freshness.caught_up
    assert setting.rows.reads == 2, "the probe's and the person's"


def test_a_profile_is_waited_for_like_any_event() -> None:
    setting = Setting()
    setting.rows.of["u1"] = row_of([record(click(), 0)])
    after = Token.of("another", [EventPlace("users", 0, 7, "u1")])
    assert not setting.person(after).freshness.caught_up
    setting.rows.of["u1"] = row_of([record(click(), 0), record(User("u1"), 7, "users")])
    assert setting.person(after).freshness.caught_up


@pytest.mark.parametrize("issuer", ["me", "another"])
def test_each_person_of_a_batch_waits_for_their_own_events(issuer: str) -> None:
    """The last offset of the partition is somebody else's, on the server that wrote the batch and on any other."""
    setting = Setting()
    batch = Token.of(issuer, [EventPlace("interactions", 0, offset, f"u{offset % 4}") for offset in range(8)])
    assert [list(batch.wanted(f"u{n}")) for n in (0, 1, 3)] == [
        [("interactions", 0, 4)], [("interactions", 0, 5)], [("interactions", 0, 7)]
    ]  # fmt: skip
    setting.rows.of["u1"] = row_of([record(click("e1"), 1)])
    assert not setting.person(batch).freshness.caught_up
    setting.rows.of["u1"] = row_of([record(click("e1"), 1), record(click("e5"), 5)])
    assert setting.person(batch).freshness.caught_up


def test_an_event_that_was_refused_is_waited_for_no_longer() -> None:
    """Sent twice, through this server and another: the stream refuses the second, and the row says that it was read."""
    setting = Setting()
    operator = UserOperator(user, WORLD)
    state = operator.new()
    operator.on_event("", state, record(click("e1"), 0))
    with pytest.raises(Duplicate):
        operator.on_event("", state, record(click("e1"), 9))
    assert operator.refuse("", state, record(click("e1"), 9))
    values = operator.row("u1", "", state, NOW).values
    setting.rows.of["u1"] = dict(zip((f.name for f in user.fields), values, strict=True))
    setting.own.add(record(click("e1"), 9), NOW)
    found = setting.person(token(9, "another"))
    assert found.freshness.caught_up
    assert (found.freshness.applied_offset, found.freshness.lag_ms) == (0, 0)
    assert setting.own.pending("u1", setting.rows.of["u1"]) == []


def test_an_older_profile_of_this_server_does_not_return() -> None:
    """Consent is given here and withdrawn through another server before this one has served the person."""
    setting = Setting()
    setting.own.add(record(User("u1", consent=True), 3, "users"), NOW)
    setting.rows.of["u1"] = row_of([record(click(), 0), record(User("u1", consent=False), 4, "users")])
    assert setting.person().features["consent"] is False
    elsewhere = Record(User("u1", consent=False), "users", 5, 0, NOW + 1)
    setting.rows.of["u1"] = row_of([record(click(), 0), elsewhere])
    assert setting.person().features["consent"] is False, "by a producer that chooses partitions in another way"
    earlier = Record(User("u1", consent=False), "users", 5, 0, NOW - 1)
    setting.rows.of["u1"] = row_of([record(click(), 0), earlier])
    assert setting.person().features["consent"] is True


def test_a_row_of_an_older_version_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    setting = Setting()
    setting.rows.of["u1"] = row_of([record(click(), 0)]) | {"state": b"\x96\xce\x00\x12\x34\x56"}
    for _ in range(2):
        found = setting.person()
        assert found.features["recent_items"] == []
        assert (found.degraded, found.consent) == (True, False), "it may say that consent is withdrawn"
    assert [r.message for r in caplog.records if "--no-restore" in r.message] != []
    assert setting.unreadable == ["older_version"] * 2


def test_a_state_of_another_declaration_is_counted_and_the_features_still_hold(
    caplog: pytest.LogCaptureFixture,
) -> None:
    setting = Setting()
    row = row_of([record(click("e1", item_id="i1"), 0)])
    setting.rows.of["u1"] = row | {"state": row["state"][:2]}
    setting.own.add(record(click("e2", item_id="i2"), 1), NOW)
    for _ in range(2):
        assert setting.person().features["recent_items"] == ["i1"]
    assert setting.unreadable == ["other_declaration"] * 2
    kinds = {(r.msg, r.args[:-1]) for r in caplog.records if isinstance(r.args, tuple)}
    assert kinds == {("the state in a row cannot be used: %s", ())}, "one kind, of which one a minute is logged"


# -- the store is away -----------------------------------------------------------------------------


def test_while_the_store_is_away_the_last_row_and_own_events_stand_in() -> None:
    setting = Setting()
    setting.rows.of["u1"] = row_of([record(click("e1", item_id="i1"), 0)])
    setting.person()
    setting.rows.error = ConnectionError("refused")
    setting.own.add(record(click("e2", item_id="i2"), 1), NOW)
    found = setting.person(token(1))
    assert found.degraded
    assert found.features["recent_items"] == ["i2", "i1"]
    assert found.freshness.caught_up
    assert not setting.person(token(2, "another")).freshness.caught_up


def test_a_row_that_was_read_long_ago_stands_in_no_more() -> None:
    setting = Setting()
    setting.rows.of["u1"] = row_of([record(click("e1", item_id="i1"), 0)])
    setting.person()
    setting.rows.error = ConnectionError("refused")
    setting.now += hydrate.ROW_MS
    assert setting.person().features["recent_items"] == ["i1"]
    setting.now += 1
    found = setting.person()
    assert (found.features["recent_items"], found.degraded) == ([], True)
    assert not found.consent, "nobody knows whether what they are shown may be logged"


def test_own_events_alone_say_nothing_of_consent_while_the_store_is_away() -> None:
    setting = Setting()
    setting.rows.error = ConnectionError("refused")
    setting.own.add(record(click("e1", item_id="i1"), 1), NOW)
    found = setting.person()
    assert (found.features["recent_items"], found.degraded) == (["i1"], True)
    assert not found.consent, "it may have been withdrawn through another server"
    setting.own.add(Record(User("u1", consent=True), USERS, 0, 2, NOW), NOW)
    assert setting.person().consent


def test_a_stranger_while_the_store_is_away() -> None:
    setting = Setting()
    setting.rows.error = ConnectionError("refused")
    found = setting.person(token(1, "another"))
    assert found.degraded
    assert found.features["recent_items"] == []
    assert not found.freshness.caught_up


def test_a_store_that_fails_while_it_is_waited_for_is_said() -> None:
    setting = Setting()
    setting.rows.of["u1"] = row_of([record(click("e1", item_id="i1"), 0)])

    def fail() -> None:
        setting.rows.error = ConnectionError("refused")

    found = setting.person(token(1, "another"), fail)
    assert found.degraded
    assert found.features["recent_items"] == ["i1"]
    assert not found.freshness.caught_up


# -- a newer bundle --------------------------------------------------------------------------------


def test_a_row_of_an_older_space_is_embedded_in_the_new_one() -> None:
    world = catalogue(ITEMS, VECTORS)
    setting = Setting(world)
    records = [record(click("e1", item_id="i1"), 0), record(click("e2", item_id="i2", at=NOW + 1), 1)]
    setting.rows.of["u1"] = row_of(records, NOW + 10_000, world)
    turned = {item: vector[::-1] for item, vector in VECTORS.items()}
    install(world, model(world, turned, version="v2"))
    for _ in range(2):
        features = setting.person().features
        assert features["vector_space"] == "space-v2"
        assert features["vector"] == pytest.approx(row_of(records, NOW + 10_000, world)["vector"])
        assert features["recent_items"] == ["i2", "i1"]


# -- declared features -----------------------------------------------------------------------------


def test_declared_features_are_those_of_the_store_beside_own_events() -> None:
    setting = Setting()
    setting.rows.of["u1"] = row_of([record(click("e1", item_id="i1"), 0)]) | {"user_features:n": 5}
    assert setting.person().features["user_features:n"] == 5
    setting.own.add(record(click("e2", item_id="i2"), 1), NOW)
    found = setting.person(token(1)).features
    assert (found["recent_items"], found["user_features:n"]) == (["i2", "i1"], 5)


PAIRS = "user_category_features"


@pytest.mark.parametrize("consent", [True, False])
@pytest.mark.parametrize("prefetched", [True, False])
def test_pairs_are_read_when_they_are_asked_for(consent: bool, prefetched: bool) -> None:
    setting = Setting()
    setting.rows.of["u1"] = row_of([record(User("u1", consent=consent), 0, "users")]) | {"user_features:n": 5}
    setting.rows.pairs["u1", PAIRS, "a"] = {"n": 3}
    setting.rows.pairs["u1", "others", "x"] = {"m": 4}

    async def ask() -> None:
        await setting.store.start()
        person = await setting.hydrator.person("u1")
        assert person.features.get("user_features:n") == (5 if consent else None)
        if prefetched:
            await person.pairs.prefetch({PAIRS: ["a", "b"], "others": ["x"]})
            assert setting.rows.reads_of_pairs == consent, "one round trip for all views"
        for _ in range(2):
            assert person.pairs(PAIRS, ["a", "b"]) == ({"a": {"n": 3}} if consent else {})
            assert person.pairs("others", ["x"]) == ({"x": {"m": 4}} if consent else {})
        assert setting.rows.reads_of_pairs == consent * (1 if prefetched else 2)
        assert not person.pairs.degraded
        setting.rows.error = ConnectionError("refused")
        if prefetched:
            await person.pairs.prefetch({PAIRS: ["c"]})
        assert person.pairs(PAIRS, ["a", "c"]) == ({"a": {"n": 3}} if consent else {})
        assert person.pairs.degraded == consent
        await setting.store.stop()

    asyncio.run(ask())


def test_reading_pairs_does_not_hold_the_event_loop_up() -> None:
    setting = Setting()
    setting.rows.of["u1"] = row_of([record(click(), 0)])
    turns = 0
    waiting = threading.Event()

    async def ask() -> None:
        nonlocal turns
        await setting.store.start()
        person = await setting.hydrator.person("u1")
        setting.rows.read_pairs = lambda *_: (waiting.wait(5), {})[1]  # type: ignore[method-assign, assignment]
        reading = asyncio.create_task(person.pairs.prefetch({PAIRS: ["a"]}))
        while turns < 10:
            await asyncio.sleep(0)
            turns += 1
        assert not reading.done()
        waiting.set()
        await reading
        await setting.store.stop()

    asyncio.run(ask())
    assert turns == 10


# -- consent ---------------------------------------------------------------------------------------

WITHDRAWS = User("u1", {"country": "DE"}, ["comedy"], consent=False)
PERSONAL = {f.name: f.default for f in user.fields} | {"consent": False}


def check_nothing(found: Person) -> None:
    assert found.features == PERSONAL
    assert (found.freshness.last_event_at, found.freshness.applied_offset, found.freshness.lag_ms) == (None, None, 0)
    assert (found.row_offset, found.own_offsets, found.consent) == (-1, [], False)
    assert found.pairs(PAIRS, ["a"]) == {}


def test_a_withdrawal_through_this_server_holds_from_the_next_answer_on() -> None:
    setting = Setting()
    setting.rows.of["u1"] = row_of([record(click("e1"), 0)]) | {"user_features:n": 5}
    setting.rows.pairs["u1", PAIRS, "a"] = {"n": 3}
    setting.own.add(record(click("e2"), 1), NOW)
    assert setting.person().features["recent_items"] == ["i1", "i1"]
    setting.own.add(record(WITHDRAWS, 0, "users"), NOW + 1)
    setting.own.add(record(click("e3"), 2), NOW + 2)
    check_nothing(setting.person())
    setting.rows.error = OSError("away")
    check_nothing(setting.person())
    assert [each.event for each in setting.own.pending("u1", None)] == [User("u1", consent=False)]


def test_a_withdrawal_elsewhere_holds_from_its_row_on_and_own_events_are_dropped() -> None:
    setting = Setting()
    setting.own.add(record(click("e1"), 0), NOW)
    assert setting.person().features["recent_items"] == ["i1"]
    setting.rows.of["u1"] = row_of([record(WITHDRAWS, 4, "users")])
    check_nothing(setting.person())
    assert setting.own.pending("u1", None) == []
    setting.rows.error = OSError("away")
    check_nothing(setting.person())


def test_a_token_of_a_withdrawal_waits_for_its_row() -> None:
    setting = Setting()
    setting.rows.of["u1"] = row_of([record(click(), 0)])

    def written() -> None:
        setting.rows.of["u1"] = row_of([record(click(), 0), record(WITHDRAWS, 4, "users")])

    found = setting.person(Token.of("another", [EventPlace("users", 0, 4, "u1")]), written)
    check_nothing(found)
    assert found.freshness.caught_up


def test_consent_given_again_starts_from_nothing() -> None:
    setting = Setting()
    withdrawn = [record(click("e1"), 0), record(WITHDRAWS, 4, "users")]
    setting.rows.of["u1"] = row_of(withdrawn)
    check_nothing(setting.person())
    setting.own.add(record(User("u1", consent=True), 5, "users"), NOW)
    setting.own.add(record(click("e2", item_id="i2"), 1), NOW)
    found = setting.person()
    assert (found.features["recent_items"], found.consent) == (["i2"], True)


def test_with_opt_in_a_stranger_has_not_consented() -> None:
    setting = Setting(opt_in=True)
    check_nothing(setting.person())
    setting.own.add(record(click("e1"), 0), NOW)
    check_nothing(setting.person())
    setting.rows.of["u1"] = row_of([record(click("e1"), 0)])  # of a job without opt-in
    check_nothing(setting.person())
    setting.own.add(record(User("u1", consent=True), 0, "users"), NOW)
    setting.own.add(record(click("e2", item_id="i2"), 1), NOW)
    found = setting.person()
    assert (found.features["recent_items"], found.consent) == (["i2"], True)


def test_while_the_store_is_away_nobody_unknown_is_taken_to_consent() -> None:
    setting = Setting()
    assert setting.person().consent
    setting.rows.error = OSError("away")
    found = setting.person()
    assert (found.consent, found.degraded) == (False, True)
    setting.rows.error = None


def test_attributes_of_the_profile_are_there_where_asked_for() -> None:
    """Also with own events on top; the row that is kept for when the store is away has none."""
    setting = Setting()
    of_profile = record(User("u1", attributes={"age": 30}), 1, "users")
    setting.rows.of["u1"] = row_of([record(click(), 0), of_profile])
    packed = setting.rows.of["u1"]["profile_attributes"]
    assert packed

    def found(attributes: bool) -> Any:
        async def ask() -> Person:
            return await setting.hydrator.person("u1", attributes=attributes)

        setting.store._rows = setting.rows
        return asyncio.run(ask()).features["profile_attributes"]

    assert (found(False), found(True)) == (b"", packed)
    setting.own.add(record(click("e2"), 2), NOW)
    assert (found(False), found(True)) == (b"", packed)
    assert setting.hydrator._last["u1"][1]["profile_attributes"] == b""
    setting.own.add(record(User("u1", attributes={}), 3, "users"), NOW)
    assert found(True) == b""
