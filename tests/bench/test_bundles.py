"""Windows of latency, answers that are mixed of two bundles, and what makes a bench of bundles unsound."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import bundles_report, catalogues, checked, marked, second
from bench.bundles import run
from bench.bundles_report import MeasuredBundles, Memory, Published
from bench.checked import CANDIDATE, AskedFeed, CheckedAnswers, Rules
from bench.clients import SHOWN
from bench.errors import BadArgument
from bench.expected import ExpectedModel, LabelledSpace, decode, expect, mixed
from bench.marked import FIRST, SECOND, THIRD
from bench.windows import p99_of_windows, slow_s
from feature_repo import views
from operators.contract import Record
from operators.keyed import UserOperator
from recommend.onnx_ranker import OnnxRanker
from schemas import bundle, traffic
from schemas.clock import now_ms
from schemas.events import Interaction
from schemas.traffic import DEFAULT, Share
from training.ranker import HEAD, OUTPUT, prior
from training.replay import KnownItems

N = 5000
USERS = [f"u{k}" for k in range(12)]
HALF = {CANDIDATE: Share(SECOND.version, 0.5)}
RULES = {DEFAULT: (FIRST.version, THIRD.version), CANDIDATE: (SECOND.version,)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("bundles")
    plain = prior().SerializeToString()
    for mark in (THIRD, SECOND, FIRST):
        marked.make(mark, N, plain, found)
    return found


def rows_of(space: LabelledSpace) -> dict[str, dict[str, Any]]:
    """Rows of the people, whose vectors are in `space`."""
    operator = UserOperator(views.user, KnownItems(space=space))
    found = {}
    now = now_ms()
    names = [f.name for f in views.user.fields]
    for u, user in enumerate(USERS):
        state = operator.new()
        for k in range(20):
            event = Interaction(f"e{u}-{k}", "click", user, now - 60_000 + k, f"i{(u * 131 + k * 17) % N}")
            operator.on_event("", state, Record(event, "interactions", 0, k))
        found[user] = dict(zip(names, operator.row(user, "", state, now).values, strict=True))
    return found


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, ExpectedModel]:
    stored = bundle.load(folder / FIRST.version).space()
    rows = rows_of(LabelledSpace(stored.part.id, stored.vectors))
    return {mark.version: expect(folder / mark.version, mark.raised, rows) for mark in (FIRST, SECOND, THIRD)}


def answer(
    user: str,
    searched: ExpectedModel,
    read: ExpectedModel,
    ranked: ExpectedModel,
    version: str,
    variant: str,
    **changes: Any,
) -> bytes:
    """A feed whose items the search of one model found, whose vectors another one has, and which a third one ranked."""
    person, items = searched.person(user), []
    of_person = read.person(user)
    for label in person.nearest[:SHOWN].tolist():
        features = {
            "similarity": round(float(read.vectors[label] @ of_person.vector), 5),
            "recent_max": round(float((of_person.recent @ read.vectors[label]).max()), 5),
        }
        score = ranked.raised + 8 * features["similarity"]
        items.append({"item_id": f"i{label}", "score": score, "detail": {"sources": ["nearest"], "features": features}})
    whole = {"user_id": user, "items": items, "model_version": version, "variant": variant, "degraded": [], **changes}
    return json.dumps(whole).encode()


# -- mixed answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [FIRST, SECOND, THIRD])
def test_an_answer_of_one_bundle_alone_is_not_mixed(models: dict[str, ExpectedModel], mark: marked.Mark) -> None:
    one = models[mark.version]
    for user in USERS:
        assert mixed(decode(answer(user, one, one, one, mark.version, DEFAULT)), one) == []


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ("baa", "this bundle's index does not lead to"),
        ("aba", "the person's or the item's vector is of another space"),
        ("aab", "another bundle's ranker"),
        ("bbb", "another bundle's ranker"),
    ],
)
def test_a_part_of_another_bundle_is_found_in_everybodys_answer(
    models: dict[str, ExpectedModel], user: str, parts: str, said: str
) -> None:
    of = {"a": models[FIRST.version], "b": models[SECOND.version]}
    searched, read, ranked = (of[part] for part in parts)
    found = mixed(decode(answer(user, searched, read, ranked, FIRST.version, DEFAULT)), of["a"])
    assert any(said in reason for reason in found)


def test_a_persons_vector_of_one_space_with_items_of_another_is_found(models: dict[str, ExpectedModel]) -> None:
    first, other = models[FIRST.version], models[SECOND.version]
    half = replace(first, users=other.users)
    half.__dict__["vectors"] = first.vectors
    assert mixed(decode(answer(USERS[0], first, half, first, FIRST.version, DEFAULT)), first) == [
        "the person's or the item's vector is of another space"
    ]


def test_recent_items_of_another_space_are_found(models: dict[str, ExpectedModel]) -> None:
    first = models[FIRST.version]
    document = json.loads(answer(USERS[0], first, first, first, FIRST.version, DEFAULT))
    document["items"][3]["detail"]["features"]["recent_max"] += 0.2
    assert mixed(decode(json.dumps(document).encode()), first) == ["the vectors of recent items are of another space"]


def test_neighbours_of_one_bundle_are_not_those_of_another(models: dict[str, ExpectedModel]) -> None:
    def shown(model: ExpectedModel, user: str) -> set[int]:
        return set(np.argsort(-(model.vectors @ model.person(user).vector))[:SHOWN].tolist())

    for user in USERS:
        assert len(shown(models[FIRST.version], user) & shown(models[SECOND.version], user)) <= 2


def test_the_marked_ranker_adds_the_cosine_and_its_mark() -> None:
    from feature_repo.inputs import NAMES

    plain = prior().SerializeToString()
    inputs = np.random.default_rng(0).normal(size=(5, len(NAMES))).astype(np.float32)
    inputs[:, NAMES.index("similarity")] = 0.0
    before = OnnxRanker(plain, heads={HEAD: OUTPUT}).run(inputs)
    ranker = OnnxRanker(marked.marked(plain, SECOND.raised), heads={HEAD: OUTPUT})
    assert np.allclose(ranker.run(inputs), before + SECOND.raised, atol=1e-4)
    inputs[:, NAMES.index("similarity")] = 0.5
    moved = OnnxRanker(plain, heads={HEAD: OUTPUT}).run(inputs) + SECOND.raised + marked.COSINE * 0.5
    assert np.allclose(ranker.run(inputs), moved, atol=1e-4)


def test_a_copy_is_published_as_it_is(folder: Path, tmp_path: Path) -> None:
    began, in_force = marked.publish_copy(folder / THIRD.version, tmp_path, "copy")
    assert began < in_force
    one, other = bundle.load(folder / THIRD.version), bundle.current(tmp_path)
    assert other is not None
    assert other.version == "copy"
    assert other.manifest.spaces == one.manifest.spaces
    assert other.manifest.rankers == one.manifest.rankers
    assert marked.arrays_bytes(other) == marked.arrays_bytes(one) > N * catalogues.DIM * 4 * 2


# -- checked answers -------------------------------------------------------------------------------


Reply = Callable[..., AskedFeed]


@pytest.fixture
def reply(models: dict[str, ExpectedModel]) -> Reply:
    def make(version: str, at: float = 0.0, status: int = 200, variant: str | None = None, **changes: Any) -> AskedFeed:
        of = CANDIDATE if version == SECOND.version else DEFAULT
        user = changes.get("user_id") or next(u for u in USERS if traffic.assign(u, HALF) == of)
        one = models[version]
        body = answer(user, one, one, one, version, **{"variant": of, **changes})
        return AskedFeed(user, variant, at, at + 0.001, at + 0.01, status, body)

    return make


def rules(models: Mapping[str, ExpectedModel]) -> Rules:
    return Rules(models, RULES, HALF)


def test_sound_answers_of_all_bundles(models: dict[str, ExpectedModel], reply: Reply) -> None:
    asked = [reply(FIRST.version), reply(SECOND.version, 1), reply(SECOND.version, 2, variant=CANDIDATE),
             reply(FIRST.version, 3, variant=DEFAULT), reply(THIRD.version, 4)]  # fmt: skip
    found = checked.check(asked, rules(models))
    assert not found.wrong
    assert found.variants == [DEFAULT, CANDIDATE, CANDIDATE, DEFAULT, DEFAULT]
    assert found.versions == [FIRST.version, SECOND.version, SECOND.version, FIRST.version, THIRD.version]
    assert found.ms == pytest.approx([10.0] * 5)
    assert found.first_of(THIRD.version) == 4.01
    overlap = found.overlap(FIRST.version, THIRD.version)
    assert overlap is not None
    assert overlap <= 0.1
    assert found.nearest == found.items == 5 * SHOWN


def wrong(asked: list[AskedFeed], models: dict[str, ExpectedModel]) -> Counter[str]:
    return checked.check(asked, rules(models)).wrong


def test_what_is_wrong_is_counted_by_reason(models: dict[str, ExpectedModel], reply: Reply) -> None:
    assert wrong([reply(FIRST.version, status=503)], models) == {"status 503": 1}
    assert wrong([reply(FIRST.version, variant=CANDIDATE)], models).keys() >= {
        "another variant or person than asked for", "the version is not one of the variant's"
    }  # fmt: skip
    assert wrong([reply(FIRST.version)._replace(user_id=USERS[-1])], models)
    assert wrong([reply(FIRST.version, items=[])], models) == {"incomplete": 1}
    assert next(iter(wrong([reply(FIRST.version)._replace(body=b"{")], models))).startswith("unreadable")
    mislabelled = json.loads(reply(FIRST.version).body)
    mislabelled["model_version"] = THIRD.version
    found = wrong([reply(FIRST.version)._replace(body=json.dumps(mislabelled).encode())], models)
    assert set(found) >= {"mixed: scored by another bundle's ranker"}


def test_an_older_bundle_that_answers_again_is_wrong(models: dict[str, ExpectedModel], reply: Reply) -> None:
    asked = [reply(FIRST.version, 1), reply(THIRD.version, 2), reply(FIRST.version, 2.005), reply(FIRST.version, 3)]
    assert wrong(asked, models) == {"an older bundle answers again": 1}, "2.005 was asked before 2 was answered"


def test_a_degraded_answer_is_checked_for_its_version_alone(models: dict[str, ExpectedModel], reply: Reply) -> None:
    found = checked.check([reply(FIRST.version, degraded=["rank"])], rules(models))
    assert found.degraded == [True]
    assert found.steps == {"rank": 1}
    assert not found.wrong
    assert wrong([reply(FIRST.version, degraded=["rank"], model_version="other")], models) == {
        "the version is not one of the variant's": 1
    }


# -- windows ---------------------------------------------------------------------------------------


def test_windows_slide_by_a_step() -> None:
    due = np.arange(0, 10, 0.01)
    ms = np.where((due >= 5) & (due < 5.5), 100.0, 2.0)
    found = p99_of_windows(due, ms, 4.0, 8.0)
    assert [round(at, 2) for at, _ in found] == [round(4 + 0.25 * k, 2) for k in range(1, 17)]
    assert [at for at, p99 in found if p99 > 50] == [5.25, 5.5, 5.75, 6.0, 6.25]
    assert slow_s(found, 50.0) == 1.25
    assert slow_s(found, 100.0) == 0.0


def test_the_order_of_answers_does_not_matter_and_empty_windows_are_left_out() -> None:
    due, ms = np.array([3.1, 0.1, 3.2]), np.array([30.0, 1.0, 20.0])
    found = p99_of_windows(due, ms, 0.0, 4.0, width=1.0, step=1.0)
    assert [at for at, _ in found] == [1.0, 4.0]
    assert found[0][1] == 1.0
    assert 29 < found[1][1] <= 30.0


# -- memory ----------------------------------------------------------------------------------------


def test_a_reading_is_settled_once_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second, "READ_EVERY_S", 0.0)
    readings = iter([10_000, 9_000, 8_000, 8_001, 8_000, 7_000])
    assert second.settled(lambda: next(readings)) == 8_000


def test_the_bare_parts_of_a_bundle_are_measured(folder: Path) -> None:
    assert second.bare_growth(folder / SECOND.version) > N * catalogues.DIM * 4


# -- the report ------------------------------------------------------------------------------------


def measured(**changes: Any) -> MeasuredBundles:
    """40 s of load at 100/s: steady to 20 s, then slow for half a second."""
    due = np.arange(0, 40, 0.01)
    slow = (due >= 21) & (due < 21.5)
    took = np.where(slow, 0.3, 0.004 + 0.001 * (np.arange(len(due)) % 2))
    second_s = np.arange(len(due)) % 2 == 1
    versions = np.where(second_s, SECOND.version, np.where(due < 22, FIRST.version, THIRD.version)).tolist()
    load = CheckedAnswers(
        due.tolist(), due.tolist(), (due + took).tolist(), np.where(second_s, CANDIDATE, DEFAULT).tolist(), versions,
        [False] * len(due),
    )  # fmt: skip
    memory = Memory(first=300 << 20, both=370 << 20, third=371 << 20, bare=66 << 20, arrays=64 << 20)
    found = MeasuredBundles(N, 12, 100.0, load, Published(0.0, 20.0, 20.5, 40.0), memory, Counter(), 4000)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


def test_figures_of_a_sound_run() -> None:
    found = bundles_report.report(measured(), None)
    document = found.document()
    assert document["feed_ms"] == {"p50": 4.5, "p99": 5.0, "n": 2000}
    assert document["feed_ms_second"]["p50"] == 5.0
    assert document["publish_slow_s"] == 1.25
    assert document["steady_slow_s"] == 0.0
    assert document["publish_longest_ms"] == document["publish_worst_p99_ms"] == 300.0
    assert document["publish_to_answer_s"] == 1.5
    assert document["publish_writing_s"] == 0.5
    assert document["second_memory_ratio"] == 1.09
    assert document["bare_memory_ratio"] == 1.03
    assert document["degraded_publishing"] == 0.0
    assert found.status == 0
    assert all(found.value(target.name) <= target.bound for target in found.targets)


def test_one_wrong_answer_fails_the_run() -> None:
    found = bundles_report.report(measured(wrong=Counter({"mixed: scored by another bundle's ranker": 1})), None)
    assert found.status == 1
    assert found.value("wrong_answers") == 1
    assert "of 4000 answers, 1: mixed" in found.failures[0]


def test_a_bundle_that_never_answers_fails_the_run() -> None:
    without = measured()
    without.load.versions = [FIRST.version if v == THIRD.version else v for v in without.load.versions]
    found = bundles_report.report(without, None)
    assert found.failures == [f"nothing was answered by {THIRD.version}"]
    assert found.document()["publish_to_answer_s"] is None


def test_steady_answers_that_fell_back_fail_the_run_and_later_ones_are_reported() -> None:
    late, early = measured(), measured()
    late.load.degraded[2500:2900] = [True] * 400
    assert bundles_report.report(late, None).status == 0
    assert bundles_report.report(late, None).value("degraded_publishing") == 0.2
    early.load.degraded[100:200] = [True] * 100
    assert "fell back in 5.0% of the steady answers" in bundles_report.report(early, None).failures[0]


def test_a_catalogue_in_which_everything_is_near_is_refused() -> None:
    with pytest.raises(BadArgument, match="--items 100: at least 4801"):
        run(100, 5, 75.0, 1.0, 1, print)
