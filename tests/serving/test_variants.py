"""Two models at once: who is served by which, over one set of columns, without mixing their spaces."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from follow import bundles as watching
from recommend.item_space import ItemSpace
from schemas import bundle, traffic
from schemas.events import Item
from schemas.manifest import Use
from schemas.publish import BundleWriter
from schemas.traffic import Share
from tests.bundles import write_bundle
from tests.serving.made import NOW, Api, click
from tests.serving.test_hydrate import record, row_of

KEY = {"X-API-Key": "secret"}
IDS = [f"i{k}" for k in range(40)]


def split(bundles: Path, **shares: tuple[str, float]) -> None:
    """Writes the traffic file: variant → bundle and share."""
    found = {name: {"bundle": version, "share": share} for name, (version, share) in shares.items()}
    (bundles / "traffic.json").write_text(json.dumps(found))


@pytest.fixture
def bundles(tmp_path: Path) -> Path:
    """`other`, of another dimension and with other items, and `one` in force."""
    write_bundle(tmp_path, [*IDS[10:], "only-other"], dim=6, seed=2, version="other", served=True)
    write_bundle(tmp_path, IDS, dim=8, seed=1, version="one", served=True)
    return tmp_path


@pytest.fixture
def api(bundles: Path) -> Iterator[Api]:
    made = Api(bundles, bundle_poll_s=3600, api_key="secret")
    yield made
    made.close()


def refresh(api: Api) -> None:
    api.run(api.services.refresh_model())


def feed(api: Api, user_id: str = "u1", **query: Any) -> dict[str, Any]:
    answer = api.ask("GET", f"/v1/users/{user_id}/feed", params=query, headers=KEY)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_variant_is_chosen_by_name_and_by_share(api: Api, bundles: Path) -> None:
    assert (feed(api)["variant"], feed(api)["model_version"]) == ("default", "one")
    split(bundles, candidate=("other", 0.5), dark=("other", 0.0))
    refresh(api)
    versions = {"default": "one", "candidate": "other"}
    met = set()
    for n in range(40):
        expected = traffic.assign(f"u{n}", {"candidate": Share("other", 0.5)})
        found = feed(api, f"u{n}")
        assert (found["variant"], found["model_version"]) == (expected, versions[expected])
        assert found["degraded"] == []
        met.add(expected)
    assert met == {"default", "candidate"}
    for name, version in (("default", "one"), ("candidate", "other"), ("dark", "other")):
        found = feed(api, variant=name)
        assert (found["variant"], found["model_version"]) == (name, version)
        for path in ("/v1/items/i20/similar", "/v1/trending"):
            related = api.ask("GET", path, params={"variant": name}, headers=KEY).json()
            assert (related["variant"], related["model_version"], related["degraded"]) == (name, version, [])
    split(bundles)
    refresh(api)
    assert {feed(api, f"u{n}")["variant"] for n in range(10)} == {"default"}


def test_the_impression_says_which(api: Api, bundles: Path) -> None:
    split(bundles, candidate=("other", 1.0))
    refresh(api)
    feed(api)
    for _ in range(100):
        shown = [event for place, event in api.log.stored if place.topic == "impressions"]
        if shown:
            break
        api.run(asyncio.sleep(0.02))
    assert (shown[0].variant, shown[0].model_version) == ("candidate", "other")  # type: ignore[union-attr]


def test_an_unknown_variant_names_those_that_there_are(api: Api, bundles: Path) -> None:
    split(bundles, candidate=("other", 0.0))
    refresh(api)
    answer = api.ask("GET", "/v1/users/u1/feed", params={"variant": "canidate"}, headers=KEY)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"name": "variant", "detail": "is 'canidate'; known are: default, candidate"}]


def test_without_a_key_nobody_chooses(bundles: Path) -> None:
    api = Api(bundles, bundle_poll_s=3600)
    try:
        for path in ("/v1/users/u1/feed", "/v1/items/i1/similar", "/v1/trending"):
            answer = api.get(path, variant="default")
            assert answer.status_code == 403
            assert "FRESHET_API_KEY" in answer.json()["detail"]
            assert api.get(path).status_code == 200
    finally:
        api.close()


def test_a_persons_vector_is_in_the_space_of_their_variant(api: Api, bundles: Path) -> None:
    """The row is of the space in force; the candidate's vector is made of the last items, as operators would."""
    split(bundles, candidate=("other", 0.0))
    refresh(api)
    services = api.services
    seen: list[tuple[str, int, str]] = []
    records = [record(click(f"e{n}", item_id=f"i{10 + n}", at=NOW + n), n) for n in range(5)]
    api.rows.of["u1"] = row_of(records, NOW + 10, services.catalogue)
    assert api.rows.of["u1"]["vector_space"] == "space-1"
    for name, space_id, dim in (("default", "space-1", 8), ("candidate", "space-2", 6), ("default", "space-1", 8)):
        variant = services.variants.chosen(name, "u1", True)
        person = api.run(services.hydrator.person("u1", None, variant.space("home")))
        seen.append((person.features["vector_space"], len(person.features["vector"]), name))
        assert seen[-1] == (space_id, dim, name)
        space = variant.space("home")
        assert isinstance(space, ItemSpace)
        operator = services.hydrator._operator
        state = operator.of_row(api.rows.of["u1"])
        operator.embed(state, space)
        np.testing.assert_allclose(person.features["vector"], operator.vector(state)["vector"], atol=1e-6)
        found = feed(api, variant=name)
        assert found["degraded"] == []


def test_rows_stay_and_both_models_follow_the_catalogue(api: Api, bundles: Path) -> None:
    of = api.services.catalogue
    rows = dict(of.columns.row_of)
    split(bundles, candidate=("other", 0.0))
    refresh(api)
    assert rows.items() <= of.columns.row_of.items()
    of.put_item(Item("new", "", ["c1"]))
    row = np.array([of.columns.row_of["new"]])
    one, other = (api.services.variants.chosen(name, "", True).space("home") for name in ("default", "candidate"))
    assert isinstance(one, ItemSpace)
    assert isinstance(other, ItemSpace)
    for space in (one, other):
        expected = space.content.bag(["category:c1"])
        np.testing.assert_array_equal(space.vectors_of(row)[0], expected)
        assert space.nearest(space.vectors_of(row), 1)[0, 0] == row[0]
    write_bundle(bundles, [*IDS, "new"], dim=4, seed=3, version="two", served=True, origins={"new": 5})
    refresh(api)
    assert feed(api)["model_version"] == "two"
    assert api.services.variants.default.space("home").dim == 4
    assert rows.items() <= of.columns.row_of.items()
    of.put_item(Item("newer", "", ["c1"]))
    assert not one.has(np.array([of.columns.row_of["newer"]]))[0], "a model that serves nobody is let go"
    assert other.has(np.array([of.columns.row_of["newer"]]))[0]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("noise", "traffic"), ('{"candidate": {"bundle": "gone"}}', "variant candidate"),
        ('{"candidate": {"bundle": "torn", "share": 1.0}}', "variant candidate"),
    ],
)  # fmt: skip
def test_what_cannot_serve_is_named_and_the_model_in_force_serves(
    api: Api, bundles: Path, content: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_bundle(bundles, IDS, version="torn", served=True)
    (bundles / "torn" / "spaces" / "items" / "ids.jsonl").write_text("noise")
    (bundles / "current").write_text("one\n")
    (bundles / "traffic.json").write_text(content)
    for _ in range(3):
        refresh(api)
    assert len([r for r in caplog.records if r.levelname == "WARNING" and r.name == "follow.loop"]) == 1
    assert {fault, "bundles"} <= set(api.get("/readyz").json()["degraded"])
    assert (feed(api)["variant"], feed(api)["degraded"]) == ("default", [])
    split(bundles, candidate=("other", 1.0))
    refresh(api)
    assert api.get("/readyz").json()["degraded"] == ["catalogue"]
    assert feed(api)["variant"] == "candidate"


def test_a_bundle_that_is_copied_later_is_taken_up(api: Api, bundles: Path) -> None:
    split(bundles, candidate=("later", 1.0))
    refresh(api)
    assert feed(api)["variant"] == "default"
    write_bundle(bundles / "elsewhere", IDS, version="later", served=True)
    (bundles / "elsewhere" / "later").rename(bundles / "later")
    refresh(api)
    assert (feed(api)["variant"], feed(api)["model_version"]) == ("candidate", "later")


def test_a_bundle_that_is_copied_in_place_is_taken_up(api: Api, bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(watching.time, "monotonic", lambda: now)
    write_bundle(bundles / "elsewhere", IDS, version="later", served=True)
    copied = bundles / "later"
    copied.mkdir()
    shutil.copy2(bundles / "elsewhere" / "later" / "manifest.json", copied)
    split(bundles, candidate=("later", 1.0))
    assert not api.services.models.check()
    shutil.copytree(bundles / "elsewhere" / "later", copied, dirs_exist_ok=True, copy_function=shutil.copy2)
    now += watching.LAST_RETRY_S
    assert api.services.models.check()
    assert [each.version for each in api.services.variants.others.values()] == ["later"]


def test_a_bundle_whose_folder_is_called_otherwise_is_loaded_once(
    api: Api, bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = bundle.load
    monkeypatch.setattr(bundle, "load", lambda folder: (loaded.append(folder.name), load(folder))[1])
    shutil.copytree(bundles / "one", bundles / "copy")
    split(bundles, candidate=("copy", 0.5))
    before = api.services.variants.default.model
    for _ in range(3):
        refresh(api)
    assert loaded == ["copy"]
    assert api.services.variants.default.model is before
    assert api.services.variants.others["candidate"].model is not before


def test_a_load_that_fails_leaves_nothing_behind_and_is_tried_after_growing_pauses(
    api: Api, bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spaces of models that serve nobody would grow, and could fail with each item that comes."""
    catalogue, models = api.services.catalogue, api.services.models
    catalogue.put_item(Item("new", "", ["c1"]))
    spaces, now, tries = catalogue._spaces, time.monotonic(), []
    monkeypatch.setattr(watching.time, "monotonic", lambda: now)

    def broken(*_: Any) -> None:
        tries.append(now)
        raise MemoryError

    monkeypatch.setattr(ItemSpace, "put_item", broken)
    split(bundles, candidate=("other", 0.5))
    began = now
    for _ in range(10):
        assert not models.check()
        now += 1.0
    assert [at - began for at in tries] == pytest.approx([0, 1, 3, 7])
    assert catalogue._spaces == spaces
    monkeypatch.undo()
    catalogue.put_item(Item("newer", "", ["c1"]))
    monkeypatch.setattr(watching.time, "monotonic", lambda: now + 60)
    assert models.check()


def test_an_error_that_nobody_thought_of_ends_nothing(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(bundles, bundle_poll_s=0.01, api_key="secret")

    def broken(*_: Any) -> None:
        raise RuntimeError("something that nobody thought of")

    def wait(until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not until():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    try:
        with monkeypatch.context() as patched:
            patched.setattr(api.services.catalogue, "load", broken)
            write_bundle(bundles, IDS, version="next", served=True)
            wait(lambda: not api.services.models.health.up)
            assert "bundles" in api.get("/readyz").json()["degraded"]
            assert feed(api)["model_version"] == "one"
        wait(lambda: feed(api)["model_version"] == "next")
        wait(lambda: api.services.models.health.up)
    finally:
        api.close()


def test_a_request_goes_on_with_the_model_that_it_began_with(api: Api, bundles: Path) -> None:
    """A bundle that comes while the person's row is awaited changes neither space nor version of the answer."""
    services = api.services
    hydrated = services.hydrator.person
    spaces: list[str] = []

    async def slow(user_id: str, after: Any, space: Any, *others: Any) -> Any:
        write_bundle(bundles, IDS, dim=4, seed=9, version="three", served=True)
        await services.refresh_model()
        spaces.append(space.id)
        return await hydrated(user_id, after, space, *others)

    services.hydrator.person = slow  # type: ignore[method-assign]
    records = [record(click("e1", item_id="i12", at=NOW), 0)]
    api.rows.of["u1"] = row_of(records, NOW + 10, services.catalogue)
    found = feed(api)
    assert (found["model_version"], spaces, found["degraded"]) == ("one", ["space-1"], [])
    services.hydrator.person = hydrated  # type: ignore[method-assign]
    assert feed(api)["model_version"] == "three"


def test_a_surface_without_parts_in_a_variant_says_so(api: Api, bundles: Path) -> None:
    def less(writer: BundleWriter) -> None:
        writer.surfaces = {"home": Use(space="items")}

    write_bundle(bundles, IDS, version="unranked", served=True, more=less)
    (bundles / "current").write_text("one\n")
    split(bundles, candidate=("unranked", 0.0))
    refresh(api)
    assert feed(api, variant="candidate")["degraded"] == ["rank"]
    assert feed(api)["degraded"] == []
