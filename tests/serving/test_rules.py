"""Rules over HTTP: put, read, changed against their version, deleted, tried; in force with the next answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from operators.aggregator import ATTRIBUTES
from operators.shown import VISIT
from schemas import codec, rules
from schemas.clock import now_ms
from schemas.errors import InvalidEvent
from schemas.events import Impression, Item
from schemas.rules import HISTORY, RuleChange
from schemas.topics import RULES
from serving.producer import KafkaAway
from tests.serving.made import Api, person, popular

ITEMS = [
    Item(f"i{k}", categories=["a"], brand="AB"[k % 2], price=float(k), attributes={"year": 1990 + k}) for k in range(30)
]
HIDE = {"kind": "hide", "where": 'item.brand == "A"'}
PATHS = ["/v1/users/u1/feed", "/v1/items/i3/similar", "/v1/trending", "/v1/items/i3/bought-together"]


@pytest.fixture(autouse=True)
def _stocked(api: Api) -> None:
    api.stock(ITEMS, {f"i{k}": [1, k / 4, 0, 0] for k in range(30)})
    popular(api.services.catalogue, {f"i{k}": float(k) for k in range(30)})


def put(api: Api, name: str, rule: Any, version: str | None = None, by: str = "anna") -> Any:
    headers = {"If-Match": version} if version else {}
    return api.ask("PUT", f"/v1/rules/{name}", json=rule, params={"by": by}, headers=headers)


def shown(api: Api, path: str = "/v1/trending", **query: Any) -> list[str]:
    answer = api.get(path, n=30, **query)
    assert answer.status_code == 200, answer.text
    return [entry["item_id"] for entry in answer.json()["items"]]


def problem(answer: Any, status: int) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.json()


@pytest.mark.parametrize("path", PATHS)
def test_a_rule_is_in_force_with_the_next_answer_and_gone_with_the_next(api: Api, path: str) -> None:
    assert "i2" in shown(api, path)
    answer = put(api, "no-a", HIDE)
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"1"')
    assert {int(item[1:]) % 2 for item in shown(api, path)} == {1}
    assert api.ask("DELETE", "/v1/rules/no-a?by=ben", headers={"If-Match": '"1"'}).status_code == 204
    assert "i2" in shown(api, path)


def test_the_cart_of_a_person_obeys_too(api: Api) -> None:
    put(api, "no-a", HIDE)
    found = api.post("/v1/cart", {"items": ["i3"], "user_id": "u1"}).json()["items"]
    assert found
    assert {int(entry["item_id"][1:]) % 2 for entry in found} == {1}


def test_what_is_there_can_be_read_with_its_history(api: Api) -> None:
    assert api.get("/v1/rules").json() == {"rules": []}
    put(api, "sale", {**HIDE, "from": "2026-01-01T00:00:00Z"})
    answer = put(api, "sale", {**HIDE, "until": 5, "note": "over"}, '"1"', by="ben")
    assert answer.headers["ETag"] == '"2"'
    one = api.get("/v1/rules/sale")
    assert one.headers["ETag"] == '"2"'
    found = one.json()
    assert (found["version"], found["by"], found["state"]) == (2, "ben", "over")
    assert found["rule"] == {**HIDE, "until": 5, "note": "over"}
    (before,) = found["history"]
    assert (before["version"], before["by"], before["rule"]["from"]) == (1, "anna", 1_767_225_600_000)
    (listed,) = api.get("/v1/rules").json()["rules"]
    assert listed == {name: value for name, value in found.items() if name != "history"}
    for rule, state in (({**HIDE, "from": 2**52}, "not_yet"), ({**HIDE, "enabled": False}, "off"), (HIDE, "in_force")):
        assert put(api, "sale", rule, "*").json()["state"] == state


def test_two_merchandisers_do_not_overwrite_each_other(api: Api) -> None:
    put(api, "sale", HIDE)
    found = problem(put(api, "sale", HIDE), 428)
    assert 'is now "1"' in found["detail"]
    assert put(api, "sale", {**HIDE, "note": "b"}, '"1"', by="ben").status_code == 200
    found = problem(put(api, "sale", {**HIDE, "note": "c"}, '"1"'), 412)
    assert "changed by ben, and is version 2" in found["detail"]
    problem(api.ask("DELETE", "/v1/rules/sale?by=anna"), 428)
    problem(api.ask("DELETE", "/v1/rules/sale?by=anna", headers={"If-Match": '"1"'}), 412)
    assert api.get("/v1/rules/sale").json()["rule"]["note"] == "b"
    problem(put(api, "new", HIDE, '"1"'), 412)


def test_versions_go_on_counting_after_a_rule_was_deleted(api: Api) -> None:
    put(api, "sale", HIDE)
    api.ask("DELETE", "/v1/rules/sale?by=ben", headers={"If-Match": '"1"'})
    problem(api.get("/v1/rules/sale"), 404)
    problem(api.ask("DELETE", "/v1/rules/sale?by=ben"), 404)
    found = put(api, "sale", HIDE).json()
    assert found["version"] == 3
    history = api.get("/v1/rules/sale").json()["history"]
    assert [(each["version"], each["by"], each["rule"] is None) for each in history] == [
        (2, "ben", True),
        (1, "anna", False),
    ]


def test_of_changes_at_once_on_two_servers_the_first_in_the_topic_is_in_force(api: Api, tmp_path: Path) -> None:
    put(api, "sale", HIDE)
    current = api.services.rules.latest("sale")
    other = rules.change(current, "sale", rules.parse({**HIDE, "note": "other"}), "ben", 7)
    append = api.log.append

    async def after_the_other(events: Any) -> Any:
        if events[0].by == "anna":
            await append([other])
        return await append(events)

    api.log.append = after_the_other  # type: ignore[method-assign]
    found = problem(put(api, "sale", {**HIDE, "note": "late"}, '"1"'), 412)
    assert "changed by ben" in found["detail"]
    assert api.get("/v1/rules/sale").json()["rule"]["note"] == "other"
    stored = [event for _, event in api.log.stored if isinstance(event, RuleChange)]
    assert stored[-1] == other, "the last one is what compaction keeps"
    assert len(stored) == 4


def test_a_third_change_that_comes_before_the_first_is_written_again_is_the_last_one(api: Api) -> None:
    put(api, "sale", HIDE)
    current = api.services.rules.latest("sale")
    other = rules.change(current, "sale", rules.parse({**HIDE, "note": "other"}), "ben", 7)
    third = rules.change(other, "sale", rules.parse({**HIDE, "note": "third"}), "eve", 8)
    append = api.log.append
    before = {"anna": other, "ben": third}

    async def after_the_others(events: Any) -> Any:
        if (first := before.pop(events[0].by, None)) is not None:
            await append([first])
        return await append(events)

    api.log.append = after_the_others  # type: ignore[method-assign]
    assert "changed by eve" in problem(put(api, "sale", {**HIDE, "note": "late"}, '"1"'), 412)["detail"]
    assert api.get("/v1/rules/sale").json()["rule"]["note"] == "third"
    stored = [event for _, event in api.log.stored if isinstance(event, RuleChange)]
    assert [event.version for event in stored] == [1, 2, 2, 3, 2, 3]
    assert stored[-1] == third, "the last one is what compaction keeps: a server that starts later reads no other"


@pytest.mark.parametrize("fault", [KafkaAway("away"), RuntimeError("boom")], ids=["away", "a fault"])
def test_where_kafka_goes_away_before_the_first_is_written_again_it_is_written_in_the_background(
    api: Api, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    monkeypatch.setattr("serving.rule_writer.FIRST_RETRY_S", 0.01)
    put(api, "sale", HIDE)
    other = rules.change(api.services.rules.latest("sale"), "sale", rules.parse({**HIDE, "note": "other"}), "ben", 7)
    append, fails, writer = api.log.append, [fault, KafkaAway("away")], api.services.rule_writer

    async def failing(events: Any) -> Any:
        if events[0].by == "anna":
            await append([other])
        elif fails:
            raise fails.pop()
        return await append(events)

    async def settled() -> None:
        async with asyncio.timeout(10):
            while not writer.health.up:
                await asyncio.sleep(0.01)

    api.log.append = failing  # type: ignore[method-assign]
    assert "changed by ben" in problem(put(api, "sale", {**HIDE, "note": "late"}, '"1"'), 412)["detail"]
    assert not writer.health.up, "which the health of the server says"
    api.run(settled())
    assert (writer.health.errors, not fails) == (2, True)
    stored = [event for _, event in api.log.stored if isinstance(event, RuleChange)]
    assert [event.by for event in stored] == ["anna", "ben", "anna", "ben"]
    assert stored[-1] == other, "the last one is what compaction keeps"
    assert api.get("/v1/rules/sale").json()["rule"]["note"] == "other"


def test_a_change_whose_fate_is_unknown_does_not_stay_behind_the_one_in_force(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.rule_writer.FIRST_RETRY_S", 0.01)
    put(api, "sale", HIDE)
    other = rules.change(api.services.rules.latest("sale"), "sale", rules.parse({**HIDE, "note": "other"}), "ben", 7)
    append = api.log.append

    async def stored_without_an_answer(events: Any) -> Any:
        if events[0].by == "anna":
            await append([other, *events])
            raise KafkaAway("no report in time")
        return await append(events)

    async def settled() -> None:
        async with asyncio.timeout(10):
            while not api.services.rule_writer.health.up:
                await asyncio.sleep(0.01)

    api.log.append = stored_without_an_answer  # type: ignore[method-assign]
    problem(put(api, "sale", {**HIDE, "note": "late"}, '"1"'), 503)
    api.run(settled())
    assert [event for _, event in api.log.stored if isinstance(event, RuleChange)][-1] == other


@pytest.mark.parametrize(
    ("name", "rule", "field"),
    [
        ("a", {"kind": "hide"}, "where"),
        ("a", {"kind": "hid", "items": ["i1"]}, "kind"),
        ("a", {"kind": "hide", "where": "item.yaer > 3"}, "where"),
        ("a", {"kind": "hide", "items": ["i1"], "segment": "item.year > 1"}, "segment"),
        ("a", {"kind": "hide", "items": ["i1"], "colour": 1}, "colour"),
        ("a", {"kind": "pin", "item_id": "i1", "position": 200}, "position"),
        ("a", {"kind": "cap", "by": "maker", "most": 1}, "by"),
        ("a", {"kind": "promote", "items": ["i1"], "share": 2}, "share"),
        ("a", {"kind": "hide", "items": ["i1"], "from": 9, "until": 9}, "until"),
        ("a", {"kind": "hide", "items": ["i1"], "from": "soon"}, "from"),
        ("a", [], "body"),
        ("A b", HIDE, "name"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_by_its_field(api: Api, name: str, rule: Any, field: str) -> None:
    found = problem(put(api, name, rule), 422)
    assert [error["name"] for error in found["errors"]] == [field]
    assert api.get("/v1/rules").json() == {"rules": []}


def test_who_is_needed_and_the_key_where_one_is_set(api: Api, tmp_path: Path) -> None:
    found = problem(api.ask("PUT", "/v1/rules/a", json=HIDE), 422)
    assert "?by=anna" in found["detail"]
    guarded = Api(tmp_path / "other", api_key="secret")
    problem(guarded.ask("PUT", "/v1/rules/a?by=anna", json=HIDE), 401)
    guarded.close()


def test_without_kafka_nothing_is_changed(api: Api) -> None:
    api.log.away = True
    assert "has not acknowledged" in problem(put(api, "a", HIDE), 503)["detail"]
    assert api.get("/v1/rules").json() == {"rules": []}


def test_a_change_that_is_not_read_back_is_not_called_in_force(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.rule_writer.READ_BACK_S", 0.01)
    api.log.readers.clear()
    assert "not in force on this server yet" in problem(put(api, "a", HIDE), 503)["detail"]


def test_a_rule_for_a_segment_reads_the_profile(api: Api) -> None:
    packed = msgspec.msgpack.encode({"country": "DE"})
    api.rows.of = {"u1": person(**{ATTRIBUTES: packed}), "u2": person(**{ATTRIBUTES: msgspec.msgpack.encode({})})}
    put(api, "de", {**HIDE, "segment": 'user.country == "DE"'})
    assert "i2" not in shown(api, "/v1/users/u1/feed")
    assert "i2" in shown(api, "/v1/users/u2/feed")


def test_sponsored_positions_are_marked_in_answers(api: Api) -> None:
    put(api, "ad", {"kind": "sponsor", "items": ["i5"], "positions": [1], "label": "Ad"})
    for path in PATHS:
        entries = api.get(path).json()["items"]
        assert [(entry["item_id"], entry.get("sponsored")) for entry in entries][1] == ("i5", "Ad")
        assert [entry for entry in entries if "sponsored" in entry] == [entries[1]]


def test_a_sponsored_item_to_buy_again_is_marked(api: Api) -> None:
    day, now = 86_400_000, now_ms()
    bought = person([("purchase", "i5"), ("purchase", "i7")])
    api.rows.of = {"u1": bought | {"recent_times": [now - 30 * day, now - 31 * day]}}
    put(api, "ad", {"kind": "sponsor", "items": ["i7"], "positions": [0], "label": "Ad"})
    entries = api.get("/v1/users/u1/again").json()["items"]
    assert [(entry["item_id"], entry.get("sponsored")) for entry in entries] == [("i7", "Ad"), ("i5", None)]


def test_the_trace_says_which_rule_did_what_to_which_item(api: Api) -> None:
    put(api, "no-i9", {"kind": "hide", "items": ["i9"]})
    put(api, "first", {"kind": "pin", "item_id": "i1", "position": 0})
    trace = api.get("/v1/trending", explain="full").json()["trace"]
    found = {each["rule"]: each for stage in trace for each in stage.get("rules", [])}
    assert found["first"] == {"rule": "first", "kind": "pin", "effect": "pinned", "n": 1, "items": ["i1"]}
    assert "rules" not in api.get("/v1/trending").json()


def test_a_rule_that_fails_at_a_request_is_skipped_counted_and_shown(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    put(api, "broken", {**HIDE, "segment": 'request.region != "FR"'})
    (rule,) = api.services.rules.in_force.rules

    def fail(*arguments: Any) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(type(rule.segment), "holds", fail)
    answer = api.get("/v1/trending", explain="full").json()
    assert answer["degraded"] == []
    assert len(answer["items"]) == 20
    effects = [each for stage in answer["trace"] for each in stage.get("rules", [])]
    assert effects == [{"rule": "broken", "kind": "hide", "effect": "skipped", "failed": "ZeroDivisionError"}]
    api.get("/v1/trending")
    assert 'freshet_rule_failures_total{rule="broken"} 2.0' in api.get("/metrics").text


def test_a_rule_waits_for_the_attribute_that_it_reads(api: Api) -> None:
    change = rules.change(None, "later", rules.parse({"kind": "hide", "where": "item.colour == 'red'"}), "anna", 1)
    api.services.rules.on_record(RULES, b"later", codec.encode(change))
    api.services.rules.refresh()
    (found,) = api.get("/v1/rules").json()["rules"]
    assert found["state"] == "unfit"
    assert "item.colour is not known" in found["problem"]
    assert "freshet_rules_unfit 1.0" in api.get("/metrics").text
    api.services.catalogue.put_item(msgspec.structs.replace(ITEMS[29], attributes={"colour": "red"}))
    api.services.rules.refresh()
    assert "i29" not in shown(api)
    assert api.get("/v1/rules").json()["rules"][0]["state"] == "in_force"


def test_records_that_are_no_rules_are_refused_and_tombstones_delete(api: Api) -> None:
    book = api.services.rules
    change = rules.change(None, "a", rules.parse(HIDE), "anna", 1)
    with pytest.raises(InvalidEvent, match="must be the name"):
        book.on_record(RULES, b"b", codec.encode(change))
    with pytest.raises(InvalidEvent):
        book.on_record(RULES, b"a", codec.encode(msgspec.structs.replace(change, rule='{"kind": "none"}')))
    assert book.changes == {}
    book.on_record(RULES, b"a", codec.encode(change))
    assert list(book.changes) == ["a"]
    book.on_record(RULES, b"a", None)
    assert book.changes == {}


def test_the_history_has_a_limit() -> None:
    change = rules.change(None, "a", rules.parse(HIDE), "anna", 1)
    for _ in range(HISTORY + 5):
        change = rules.change(change, "a", rules.parse(HIDE), "anna", 1)
    assert [each.version for each in change.past] == list(range(HISTORY + 5, 5, -1))
    large = rules.parse({"kind": "hide", "items": [f"{k}".zfill(80) for k in range(500)]})
    for _ in range(5):
        change = rules.change(change, "a", large, "anna", 1)
    assert len(change.past) == 3
    assert len(codec.encode(change)) < 200_000


def test_rules_are_tried_without_being_put(api: Api) -> None:
    put(api, "no-a", HIDE)
    body = {"rules": {"top": {"kind": "pin", "item_id": "i1", "position": 0}}, "requests": [{"user_id": "u1", "n": 3}]}
    found = api.post("/v1/rules/try", body).json()
    assert found["changed"] == 1
    (answer,) = found["answers"]
    assert answer["after"][0] == "i1"
    assert answer["before"] == shown(api, "/v1/users/u1/feed")[:3]
    assert [effect["effect"] for effect in answer["effects"]] == ["pinned"]
    without = api.post("/v1/rules/try", {**body, "rules": {"no-a": None}}).json()
    assert {int(item[1:]) % 2 for item in without["answers"][0]["after"]} == {0, 1}
    assert [each["name"] for each in api.get("/v1/rules").json()["rules"]] == ["no-a"]
    assert not [event for _, event in api.log.stored if not isinstance(event, RuleChange) and event.user_id == "u2"]


def of_feed(api: Api, surface: str) -> list[str]:
    items = api.get("/v1/users/u1/feed", surface=surface, n=5, dry_run=True).json()["items"]
    return [each["item_id"] for each in items]


def tried(api: Api, surface: str) -> list[str]:
    """What a trial of a rule that changes nothing answers as it is."""
    rules = {"none": {"kind": "hide", "items": ["none"]}}
    asked = {"user_id": "u1", "surface": surface, "n": 5}
    (found,) = api.post("/v1/rules/try", {"rules": rules, "requests": [asked]}).json()["answers"]
    assert found["before"] == found["after"]
    return found["before"]  # type: ignore[no-any-return]


def test_a_trial_answers_as_the_surface_does_from_other_people(api: Api) -> None:
    api.rows.of["ann"] = person([("like", "i4")], recent_times=[now_ms()])
    follows = {"follow_ids": ["ann"], "follow_times": [now_ms()], "follow_ended": [False]}
    api.rows.of["u1"] = person() | follows
    feed = of_feed(api, "friends")
    assert feed[0] == "i4"
    assert tried(api, "friends") == feed


def test_a_trial_answers_as_the_surface_does_after_what_was_shown(api: Api) -> None:
    first = of_feed(api, "push")
    api.services.shown.add(Impression("r1", "u1", now_ms() - 2 * VISIT, first, "push"))
    second = of_feed(api, "push")
    assert len(second) == 5
    assert not set(first) & set(second)
    assert tried(api, "push") == second


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"rules": {"a": {"kind": "hide"}}, "requests": [{"user_id": "u1"}]}, "rules.a.where"),
        ({"rules": {"a": {"kind": "hide", "where": "item.x"}}, "requests": [{"user_id": "u1"}]}, "rules.a"),
        ({"rules": {"a": None}, "requests": []}, "requests"),
        ({"rules": {"a": None}, "requests": [{"user_id": "u1", "surface": "similar"}]}, "requests[0].surface"),
        ({"rules": {"a": None}}, "requests"),
    ],
)
def test_a_trial_that_cannot_be_is_refused(api: Api, body: Any, field: str) -> None:
    found = problem(api.post("/v1/rules/try", body), 422)
    assert [error["name"] for error in found["errors"]] == [field]


def test_a_server_is_not_ready_before_it_has_read_the_rules(api: Api) -> None:
    services = api.services
    services.catalogue.set_complete()
    assert api.get("/readyz").status_code == 200
    services.rules.complete = False
    found = api.get("/readyz")
    assert (found.status_code, found.json()["degraded"]) == (503, ["rules"])
    services.rules.set_complete()
    assert api.get("/readyz").status_code == 503, "what was read is not compiled yet"
    services.rules.refresh()
    assert api.get("/readyz").status_code == 200
