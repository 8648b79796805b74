"""docs/surfaces.md: a section for every surface, calls that are answered, and an example that is served."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from recommend.rotation import Rotation
from recommend.surface import Surface
from recommend.surfaces import PERSONAL, SURFACES, home
from recommend.surfaces.email import email
from recommend.surfaces.push import push
from schemas.errors import SurfaceError
from schemas.events import Item
from serving.services import Services
from serving.settings import ServingSettings
from tests.serving.made import Api
from tests.serving.surfaces import ids, stock

TEXT = (Path(__file__).parents[2] / "docs" / "surfaces.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
EXAMPLE, ROTATION = (
    re.findall(r"```python\n(.*?)```", SECTIONS[section], re.DOTALL)[0] for section in ("Your own", "Rotation")
)
ITEMS = [Item(str(k), f"Title {k}", [f"c{k % 5}"], price=float(k)) for k in (*range(40), 50, 181)]
VECTORS = {item.item_id: [1, float(item.item_id), 0, 0] for item in ITEMS}


@pytest.mark.parametrize("surface", [surface.name for surface in SURFACES])
def test_every_surface_has_a_section_with_a_call_that_is_answered(api: Api, surface: str) -> None:
    stock(api, ITEMS, VECTORS)
    (line,) = (line for line in SECTIONS[surface].splitlines() if line.startswith("curl"))
    words = shlex.split(line)
    path = next(word for word in words if word.startswith("localhost")).removeprefix("localhost:8000")
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    given = {"content": words[words.index("-d") + 1]} if "-d" in words else {}
    answer = api.ask(method, path, headers={"Content-Type": "application/json"}, **given)
    assert ids(answer)
    assert answer.json()["surface"] == surface
    assert answer.json()["unknown_items"] == []


def test_there_is_no_section_of_a_surface_that_there_is_not() -> None:
    assert {*SECTIONS} - {"Rotation", "Your own"} == {surface.name for surface in SURFACES}


def test_the_fields_are_those_of_a_surface() -> None:
    for section, declared in (("Your own", Surface), ("Rotation", Rotation)):
        named = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", SECTIONS[section], re.MULTILINE)
        assert named
        known = {field.name for field in fields(declared)}
        assert {name for each in named for name in re.findall(r"`(\w+)`", each)} <= known


def test_the_rotations_are_those_of_the_surfaces() -> None:
    made: dict[str, object] = {}
    exec(ROTATION, made)
    assert made["of_home"] == home.rotation
    assert made["of_messages"] == email.rotation == push.rotation


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """A server with the example."""
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "documented_shop" / "surfaces"
    folder.mkdir(parents=True)
    (folder / "bargains.py").write_text(EXAMPLE)
    api = Api(tmp_path / "bundles", surfaces="documented_shop.surfaces")
    stock(api, ITEMS, VECTORS)
    yield api
    api.close()


def test_the_example_is_served_documented_and_measured(own: Api) -> None:
    answer = own.get("/v1/users/u1/feed", surface="bargains", explain="full")
    shown = ids(answer)
    assert len(shown) == 10
    assert all(float(item_id) <= 20 for item_id in shown)
    stages = {stage["stage"]: stage for stage in answer.json()["trace"]}
    assert stages["too_dear"]["removed"] > 0
    assert "price_level" in stages
    parameters = own.get("/openapi.json").json()["paths"]["/v1/users/{id}/feed"]["get"]["parameters"]
    by_name = {each["name"]: each for each in parameters}
    assert by_name["surface"]["schema"] == {"type": "string", "enum": [*PERSONAL, "bargains"], "default": "home"}
    assert "Items for a person that cost less than 20" in by_name["surface"]["description"]
    assert "bargains: 10, at most 50" in by_name["n"]["description"]
    assert 'freshet_removed_total{filter="too_dear",surface="bargains"}' in own.get("/metrics").text


def test_each_surface_has_its_own_largest_number_of_items(own: Api) -> None:
    refused = own.get("/v1/users/u1/feed", surface="bargains", n=51)
    assert refused.status_code == 422
    assert refused.json()["errors"] == [
        {"name": "n", "detail": "must be a whole number from 1 to 50 on the surface bargains"}
    ]
    assert own.get("/v1/users/u1/feed", surface="bargains", n=50).status_code == 200
    assert own.get("/v1/users/u1/feed", n=51).status_code == 200
    assert len(ids(own.get("/v1/users/u1/feed"))) == 20, "the default is the surface's own"


def test_other_servers_do_not_have_it(api: Api) -> None:
    answer = api.get("/v1/users/u1/feed", surface="bargains")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"name": "surface", "detail": f"must be one of: {', '.join(PERSONAL)}"}]


def test_a_server_does_not_start_with_a_surface_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(SurfaceError, match="there is no such module: correct FRESHET_SURFACES"):
        Services.of(ServingSettings(bundles=tmp_path, surfaces="not_there"))


@pytest.mark.parametrize("surface", ["email", "push"])
def test_what_is_sent_is_never_what_the_person_has_met(api: Api, surface: str) -> None:
    stock(api, ITEMS[:6], {item.item_id: VECTORS[item.item_id] for item in ITEMS[:6]})
    met = [item.item_id for item in ITEMS[:5]]
    for k, item_id in enumerate(met):
        event = {"event_id": f"e{k}", "event_type": "click", "user_id": "u1", "item_id": item_id}
        assert api.post("/v1/events", {**event, "timestamp": "2026-01-01T10:00:00Z"}).status_code == 202
    found = api.get("/v1/users/u1/feed", surface=surface, n=20).json()["items"]
    assert {entry["item_id"] for entry in found} == {"5", "anchor"}, "fewer rather than filler"
    rest = api.get("/v1/users/u1/feed", surface=surface, n=20, exclude="5,anchor")
    assert rest.status_code == 200
    assert rest.json()["items"] == [], "and none at all rather than one that is known"
    assert api.get("/v1/users/u1/feed", n=20).json()["items"]


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_the_call_of_every_surface_is_one_of_the_servers(api: Api, surface: Surface) -> None:
    method, _, path = surface.call.partition(" ")
    assert method.lower() in api.get("/openapi.json").json()["paths"][path]
