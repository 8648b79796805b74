"""`freshet surfaces` against the application over fakes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from freshet.cli import main
from freshet.commands import surfaces as command
from recommend.surfaces import SURFACES
from recommend.trace import StageTrace
from schemas.events import Impression, Item
from tests.serving.made import Api
from tests.serving.surfaces import ANCHOR, stock

ABOUT = {
    "similar": ["--item", ANCHOR], "bought_together": ["--item", ANCHOR], "cart": ["--item", ANCHOR, "--item", "i3"],
    "rank": ["--item", "i1", "--item", "i2"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _served(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    stock(api, [Item(f"i{k}", f"Title {k}") for k in range(30)], {f"i{k}": [1, k, 0, 0] for k in range(30)})

    @contextmanager
    def server() -> Iterator[Any]:
        def ask(method: str) -> Any:
            return lambda path, **others: api.ask(method, path, **others)

        yield SimpleNamespace(get=ask("GET"), post=ask("POST"))

    monkeypatch.setattr(command, "connected", server)
    monkeypatch.setattr(command, "console", Console(highlight=False, width=220))
    monkeypatch.delenv("FRESHET_SURFACES", raising=False)


def test_list_names_every_surface_with_its_call_and_stages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["surfaces", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line[:1] != " "}
    for surface in SURFACES:
        assert surface.call in lines[surface.name]
    assert "yes" in lines["email"]
    assert main(["surfaces", "list", "--json"]) == 0
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert list(found) == [surface.name for surface in SURFACES]
    assert found["push"]["call"] == "GET /v1/users/{id}/feed?surface=push"
    assert found["similar"]["stages"] == [
        "neighbours",
        "together",
        "unavailable",
        "itself",
        "blended",
        "mmr",
        "similar_reasons",
    ]


def test_show_says_what_a_surface_is_made_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["surfaces", "show", "email", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["objective"] == {"click": 1.0, "watch": 1.0, "buy": 3.0}
    stages = {each["stage"]: each for each in found["stages"]}
    assert stages["similar"]["parameters"] == {"quota": 20, "recents": 5}
    assert stages["unavailable"]["where_it_fails"] == "none stays"
    assert stages["model"]["where_it_fails"] == "by_popularity → the order of retrieval"
    assert stages["seen"]["doc"] == "Removes items that the person has met."
    assert "new_slots" not in stages
    assert main(["surfaces", "show", "home"]) == 0
    shown = capsys.readouterr().out
    assert [fact for fact in ("that of the bundle", "share=0.05", "any_available", "5 ms") if fact not in shown] == []


@pytest.mark.parametrize("name", [surface.name for surface in SURFACES])
def test_every_surface_can_be_shown_and_previewed(
    api: Api,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    assert main(["surfaces", "show", name]) == 0
    capsys.readouterr()
    assert main(["surfaces", "preview", name, "--user", "u1", *ABOUT.get(name, ())]) == 0
    shown = capsys.readouterr().out
    surface = next(each for each in SURFACES if each.name == name)
    assert surface.doc in shown
    assert surface.ranker.name in shown
    assert "Title 1" in shown
    api.run(api.services.impressions.stop())
    assert [event for _, event in api.log.stored if isinstance(event, Impression)] == []


def test_a_preview_says_what_every_stage_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["surfaces", "preview", "similar", "--item", ANCHOR, "-n", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["items"]) == 4
    assert main(["surfaces", "preview", "similar", "--item", ANCHOR, "-n", "4"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    trace = [each["stage"] for each in found["trace"]]
    assert [
        row[1] for row in rows if len(row) > 2 and row[0] in {"retrieve", "filter", "rank", "rerank", "explain"}
    ] == trace
    (itself,) = (row for row in rows if row[:2] == ["filter", "itself"])
    assert itself[-1] == "1", "the item itself is removed"


def test_a_stage_that_fails_is_an_exit_status_of_1(
    api: Api,
    capsys: pytest.CaptureFixture[str],
) -> None:
    api.services.catalogue.put_item(Item("bare"))
    assert main(["surfaces", "preview", "similar", "--item", "bare"]) == 1
    shown = capsys.readouterr().out
    assert "no model has a vector of the item; instead: popular" in shown
    assert "stages failed in: retrieve" in shown


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["show", "hom"], "no surface is called hom; there are bought_together, cart, email, friends, home"),
        (["preview", "home"], "home is for a person: name one with --user"),
        (["preview", "similar"], "similar is about one item: name it with --item"),
        (["preview", "cart", "--user", "u1"], "cart is about items: name them with --item"),
        (["preview", "similar", "--item", "nothing"], "similar: No item has the id 'nothing'"),
        (["preview", "home", "--user", "u1", "-n", "900"], "home: n: must be a whole number from 1 to 200"),
    ],
)
def test_what_cannot_be_is_said_with_the_fix(capsys: pytest.CaptureFixture[str], line: list[str], message: str) -> None:
    assert main(["surfaces", *line]) == 1
    assert message in capsys.readouterr().err


def test_a_trace_has_the_fields_that_are_printed() -> None:
    assert {"candidates_in", "candidates_out", "removed", "moved", "failed", "fell_back", "over_budget"} <= {
        *StageTrace.__struct_fields__
    }
