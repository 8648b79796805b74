"""Runs of digests over a server's services with a fake store and a fake Kafka."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freshet.digests import run as runs
from freshet.digests.files import DeferredFile, DigestFile
from freshet.digests.run import DigestRun, RunReport, period_of
from freshet.digests.sent import Sent
from freshet.errors import DigestsError, InputError
from operators.aggregator import ATTRIBUTES
from operators.hashes import hash64
from operators.shown import SEALED, VISIT, pack
from operators.time import DAY, HOUR
from recommend.digest import DigestPlan, MessageCap
from recommend.surface import Paging, Surface
from recommend.surfaces.email import email
from recommend.surfaces.friends import friends
from schemas import codec, digests
from schemas.clock import now_ms
from schemas.events import Impression, Item
from tests.serving.made import Api, met, person
from tests.serving.surfaces import stock

ITEMS = [f"i{k}" for k in range(30)]
MAIL = replace(
    email, digest=DigestPlan(caps=(MessageCap(1, DAY), MessageCap(3, 7 * DAY)), quiet=None), paging=Paging(5)
)


class Outbox:
    """Kafka, which stores whole batches; it fails at the batches numbered in `fails`."""

    def __init__(self, fails: Sequence[int] = ()) -> None:
        self.batches: list[list[tuple[digests.Digest, Impression]]] = []
        self._fails, self._n = set(fails), 0

    def commit(self, batch: Sequence[tuple[digests.Digest, Impression]]) -> None:
        self._n += 1
        if self._n - 1 in self._fails:
            raise DigestsError("Kafka is away")
        self.batches.append(list(batch))

    @property
    def digests(self) -> list[digests.Digest]:
        return [digest for batch in self.batches for digest, _ in batch]


class World:
    """A catalogue, people, and what the topic has; time stands where it is put."""

    def __init__(self, api: Api) -> None:
        self.api, self.outbox, self.now = api, Outbox(), now_ms()
        stock(
            api, [Item(item, f"Title {item}") for item in ITEMS], {item: [1, k, 0, 0] for k, item in enumerate(ITEMS)}
        )

    def add(self, *people: str, **attributes: Any) -> None:
        for user_id in people:
            packed = {ATTRIBUTES: msgspec.msgpack.encode(attributes), **met(["i1"])}
            self.api.rows.of[user_id] = person(
                [("click", "i1")], last_event_at=self.now, profile_offset=1, vector_space="space-v1", **packed
            )

    def run(
        self,
        people: Iterable[str],
        surface: Surface = MAIL,
        *,
        dry_run: bool = False,
        deferred: DeferredFile | None = None,
        **others: Any,
    ) -> RunReport:
        """A run of a new process: all that it has of earlier ones is what the topic has. `report` is this run's, also
        where it ends with an error."""
        sent = Sent()
        for digest in self.outbox.digests:
            sent.add(digest)
        outbox = None if dry_run else self.outbox
        work = DigestRun(self.api.services, surface, sent, outbox, clock=lambda: self.now, **others)
        self.report = work.report
        return self.api.run(work.run(people, deferred))  # type: ignore[no-any-return]


@pytest.fixture
def world(api: Api) -> World:
    found = World(api)
    found.add(*(f"u{n}" for n in range(12)))
    return found


PEOPLE = [f"u{n}" for n in range(12)]


def test_each_person_gets_the_surface_s_answer_and_an_impression_of_it(world: World) -> None:
    report = world.run(PEOPLE)
    assert (report.people, report.sent, report.skipped, report.deferred) == (12, 12, {}, 0)
    assert report.per_second > 0
    digest, shown = world.outbox.batches[0][0]
    assert (digest.user_id, digest.channel, digest.surface) == ("u0", "email", "email")
    assert len(digest.items) == len(digest.titles) == len(digest.scores) == len(digest.reasons) == 5
    assert "i1" not in digest.items
    assert all(digest.reasons)
    assert digest.titles[0] == f"Title {digest.items[0]}"
    assert digest.digest_id == shown.request_id == digests.digest_id("email", period_of(world.now), "u0")
    assert (shown.surface, shown.items, shown.timestamp, shown.user_id) == ("email", digest.items, world.now, "u0")
    assert shown.model_version == digest.model_version == "v1"
    feed = world.api.get("/v1/users/u0/feed", surface="email", n=5, dry_run="true").json()
    assert [each["item_id"] for each in feed["items"]] == digest.items


def test_items_in_sponsored_positions_are_labelled(world: World) -> None:
    world.run(["u0"])
    rule = {"kind": "sponsor", "items": ["i29"], "positions": [1], "label": "Advertisement"}
    assert world.api.ask("PUT", "/v1/rules/ad?by=anna", json=rule).status_code == 200
    world.run(["u1"])
    before, digest = world.outbox.digests
    assert before.sponsored is None
    assert (digest.items[1], digest.sponsored) == ("i29", ["", "Advertisement", "", "", ""])
    assert codec.decode("digests", codec.encode(digest)) == digest


def test_nobody_gets_a_second_one_of_the_period_and_the_next_obeys_the_caps(world: World) -> None:
    world.run(PEOPLE[:3])
    again = world.run(PEOPLE[:4])
    assert (again.sent, again.skipped) == (1, {runs.SENT: 3})
    assert world.run(["u0"], period="another").skipped == {runs.CAPPED: 1}
    assert world.run(["u9", "u9"]).sent == 1, "named twice"
    for day in range(1, 4):
        world.now += DAY
        assert world.run(["u0"]).sent == (1 if day < 3 else 0)
    world.now += 4 * DAY
    assert world.run(["u0"]).sent == 1


@given(st.lists(st.tuples(st.integers(0, 30), st.lists(st.integers(0, 11), max_size=12), st.booleans()), max_size=12))
@settings(max_examples=15)
def test_any_sequence_of_runs_and_crashes_sends_one_a_period_and_none_above_a_cap(script: list[Any]) -> None:
    world = _WORLD[0]
    world.outbox, world.now = Outbox(), 1_800_000_000_000
    for wait, chosen, crashes in script:
        world.now += wait * HOUR
        world.outbox._fails, world.outbox._n = ({1} if crashes else set()), 0
        try:
            world.run([f"u{n}" for n in chosen])
        except DigestsError:
            assert crashes
    sent = world.outbox.digests
    assert len({each.digest_id for each in sent}) == len(sent)
    for user_id in PEOPLE:
        times = [each.timestamp for each in sent if each.user_id == user_id]
        for first in times:
            assert sum(first <= at < first + DAY for at in times) <= 1
            assert sum(first <= at < first + 7 * DAY for at in times) <= 3


_WORLD: list[World] = []


@pytest.fixture(autouse=True)
def _shared(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _WORLD[:] = [world]
    monkeypatch.setattr(runs, "BATCH", 4)


def test_a_run_that_crashed_is_gone_on_with_where_it_stopped(world: World, tmp_path: Path) -> None:
    world.outbox = Outbox(fails=[1])
    path = tmp_path / "digests.jsonl"
    with closing(DigestFile(path)) as file, pytest.raises(DigestsError, match="away"):
        world.run(PEOPLE, file=file)
    assert len(world.outbox.digests) == 4
    with path.open("ab") as torn:
        torn.write(b'{"digest_id":"half')  # the process ended within a line
    with closing(DigestFile(path)) as file:
        for digest in world.outbox.digests:
            file.add(digest)
        report = world.run(PEOPLE, file=file)
    assert (report.sent, report.skipped) == (8, {runs.SENT: 4})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["user_id"] for line in lines] == PEOPLE
    assert len({digest.digest_id for digest in world.outbox.digests}) == 12


def test_who_is_skipped_and_why(world: World) -> None:
    world.api.rows.of["no"] = person(consent=False, profile_offset=1, last_event_at=world.now)
    world.add("out", digests=False)
    world.add("push_only", digests=["push"])
    world.add("listed", digests=["email"])
    world.add("all_met")
    world.api.rows.of["all_met"] |= met(ITEMS[:29])
    report = world.run(["no", "out", "push_only", "listed", "all_met", "stranger"])
    assert report.skipped == {runs.NO_CONSENT: 1, runs.OPTED_OUT: 2, runs.TOO_FEW: 1, runs.UNKNOWN: 1}
    assert [digest.user_id for digest in world.outbox.digests] == ["listed"]


def test_a_row_that_cannot_be_read_is_no_unknown_person(world: World) -> None:
    world.api.rows.of["u1"] |= {"state": b"\x96\xce\x00\x12\x34\x56"}  # of an older version
    assert world.run(["u1", "stranger"]).skipped == {runs.UNAVAILABLE: 1, runs.UNKNOWN: 1}


def test_a_segment_is_of_people(world: World) -> None:
    world.add("u1", country="DE")
    world.add("u2", country="FR")
    report = world.run(PEOPLE[:4], where='user.attributes["country"] == "DE"')
    assert (report.sent, report.skipped) == (1, {runs.OTHERS: 3})
    assert world.outbox.digests[0].user_id == "u1"
    with pytest.raises(InputError, match="--where: character 1"):
        world.run(PEOPLE, where="item.price < 3")
    with pytest.raises(InputError, match="--where: "):
        world.run(PEOPLE, where="user.nothing ==")


def test_quiet_hours_defer_to_the_next_run(world: World, tmp_path: Path) -> None:
    quiet = replace(MAIL, digest=DigestPlan(quiet=(22, 8)))
    world.now = 1_800_054_000_000  # 23:00 UTC
    world.add("berlin", timezone="Europe/Berlin")
    world.add("tokyo", timezone="Asia/Tokyo")
    path = tmp_path / "deferred.jsonl"
    with closing(DeferredFile(path)) as file:
        report = world.run(["berlin", "tokyo", "u0"], quiet, deferred=file)
    assert [digest.user_id for digest in world.outbox.digests] == ["tokyo"]
    assert (report.deferred, report.next_at) == (2, world.now + 8 * HOUR)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"user_id": "berlin", "until": "2027-01-16T07:00:00Z"}, {"user_id": "u0", "until": "2027-01-16T08:00:00Z"},
    ]  # fmt: skip
    world.now += 8 * HOUR
    with closing(DeferredFile(path)) as file:
        assert world.run(["berlin", "tokyo", "u0"], quiet, deferred=file).deferred == 1
        assert "berlin" in path.read_text(), "an earlier run's file stays until it is whole"
    assert [json.loads(line)["user_id"] for line in path.read_text().splitlines()] == ["u0"]


@pytest.mark.parametrize("people", [20_000])
def test_memory_does_not_grow_with_the_people(world: World, tmp_path: Path, people: int) -> None:
    """Not with those who are deferred, nor with the digests in the file."""
    digest = digests.Digest("d", "u", "email", "email", "p", world.now, ["i1"], ["A"], [0.5], [""])
    tracemalloc.start()
    try:
        with (
            closing(DeferredFile(tmp_path / "deferred.jsonl")) as deferred,
            closing(DigestFile(tmp_path / "digests.jsonl")) as file,
        ):
            work = DigestRun(world.api.services, MAIL, Sent(), world.outbox, file=file)
            work._deferred = deferred
            before = tracemalloc.get_traced_memory()[0]
            for n in range(people):
                work._defer(f"u{n}", world.now + n)
                file.add(msgspec.structs.replace(digest, digest_id=f"d{n}"))
            grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert (work.report.deferred, work.report.next_at) == (people, world.now)
    assert grown < 200_000


def test_a_dry_run_sends_nothing_and_leaves_no_trace(world: World, tmp_path: Path) -> None:
    before = len(world.api.log.stored)
    with closing(DigestFile(tmp_path / "d.jsonl", anew=True)) as file:
        assert world.run(PEOPLE, dry_run=True, file=file).sent == 12
    assert len((tmp_path / "d.jsonl").read_text().splitlines()) == 12
    assert world.outbox.digests == []
    assert len(world.api.log.stored) == before
    assert world.run(PEOPLE).sent == 12


def test_what_was_sent_is_not_sent_again_by_mail_or_push_for_a_month(world: World) -> None:
    world.run(["u0"])
    first = world.outbox.digests[0]
    entries = [("email", hash64(item), first.timestamp // VISIT) for item in first.items]
    world.api.rows.of["u0"][SEALED] = pack(entries)
    world.now += 2 * DAY
    world.run(["u0"])
    assert not set(first.items) & set(world.outbox.digests[1].items)
    world.now += 30 * DAY
    world.run(["u0"])
    assert set(first.items) & set(world.outbox.digests[2].items)


def test_a_surface_that_is_made_from_other_people_reads_them(world: World) -> None:
    world.api.rows.of["ann"] = person([("like", "i20")], recent_times=[world.now - 60_000])
    world.add("u1")
    follows = {"follow_ids": ["ann"], "follow_times": [world.now], "follow_ended": [False]}
    world.api.rows.of["u1"] |= follows
    of_friends = replace(friends, digest=MAIL.digest, paging=Paging(5))
    world.run(["u0", "u1"], of_friends)
    of_nobody, of_ann = world.outbox.digests
    assert (of_ann.items[0], of_ann.reasons[0]) == ("i20", "Someone whom you follow liked this")
    assert not any("follow" in reason for reason in of_nobody.reasons)
    assert world.api.rows.reads_of_people == 1
    world.now += DAY
    world.api.rows.read_people = fail  # type: ignore[method-assign]
    assert world.run(["u0", "u1"], of_friends).skipped == {runs.UNAVAILABLE: 1}


def fail(*asked: Any) -> Any:
    raise ValueError("a row that cannot be read")


def test_texts_are_in_the_person_s_language(world: World) -> None:
    world.add("u1", locale="de-AT")
    world.run(["u0", "u1"])
    english, german = world.outbox.digests
    assert (english.locale, german.locale) == ("en", "de")
    assert english.reasons[0] != german.reasons[0]


def test_while_the_store_is_away_the_run_ends_and_what_was_made_is_sent(world: World) -> None:
    def people() -> Any:
        yield from PEOPLE[:2]
        world.api.rows.error = ConnectionError("away")
        yield "u2"
        yield "u3"

    with pytest.raises(DigestsError, match="store is away"):
        world.run(people())
    assert [digest.user_id for digest in world.outbox.digests] == ["u0", "u1"]


def test_what_fails_for_one_person_ends_no_run(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read = world.api.services.hydrator.person

    async def failing(user_id: str, *others: Any) -> Any:
        if user_id in ("u1", "u5"):
            raise ZeroDivisionError("of this person alone")
        return await read(user_id, *others)

    monkeypatch.setattr(world.api.services.hydrator, "person", failing)
    report = world.run(PEOPLE)
    assert (report.people, report.sent, report.skipped) == (12, 10, {runs.UNAVAILABLE: 2})
    assert [digest.user_id for digest in world.outbox.digests] == [each for each in PEOPLE if each not in ("u1", "u5")]
    assert "the digest of u1 cannot be made" in caplog.text
    assert "of this person alone" in caplog.text


def test_people_who_cannot_be_read_on_end_the_run_and_what_was_made_is_sent(world: World) -> None:
    def people() -> Any:
        yield from PEOPLE[:6]
        raise InputError("line 7 is no id")

    with pytest.raises(InputError, match="line 7"):
        world.run(people())
    assert [digest.user_id for digest in world.outbox.digests] == PEOPLE[:6]
    assert (world.report.people, world.report.sent) == (6, 6)


def test_a_surface_that_is_no_message_is_refused(world: World) -> None:
    with pytest.raises(InputError, match="home is not sent as messages"):
        world.run(PEOPLE, replace(MAIL, name="home", digest=None))


def test_a_file_that_has_no_digests_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text("{}\n")
    with pytest.raises(InputError, match="line 1 is no digest"):
        DigestFile(path)
    assert path.read_text() == "{}\n"
