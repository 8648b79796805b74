"""`freshet rules` against the application over fakes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from freshet.cli import main
from freshet.commands import rules as command
from schemas.events import Impression, Item
from tests.serving.made import NOW, Api, popular

HIDE = {"kind": "hide", "items": ["i1"]}


@pytest.fixture(autouse=True)
def _served(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    api.stock([Item(f"i{k}") for k in range(30)], {f"i{k}": [1, k, 0, 0] for k in range(30)})
    popular(api.services.catalogue, {f"i{k}": float(k) for k in range(30)})

    @contextmanager
    def server() -> Iterator[Any]:
        def ask(method: str) -> Any:
            return lambda path, **others: api.ask(method, path, **others)

        yield SimpleNamespace(get=ask("GET"), put=ask("PUT"), delete=ask("DELETE"), post=ask("POST"))

    monkeypatch.setattr(command, "connected", server)
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path / "home"))


def written(tmp_path: Path, found: Any) -> str:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(found))
    return str(file)


def test_rules_are_put_listed_shown_and_deleted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, {"one": HIDE, "two": {**HIDE, "priority": 3}})
    assert main(["rules", "put", file, "--by", "anna"]) == 0
    assert main(["rules", "put", file, "--by", "ben"]) == 0
    assert "one: version 2" in capsys.readouterr().out
    assert main(["rules", "list"]) == 0
    assert capsys.readouterr().out.split()[6:12] == ["one", "hide", "in_force", "0", "2", "ben"]
    assert main(["rules", "delete", "two"]) == 0
    capsys.readouterr()
    assert main(["rules", "show", "one"]) == 0
    assert json.loads(capsys.readouterr().out)["history"][0]["by"] == "anna"
    assert main(["rules", "show", "two"]) == 1
    assert "No rule has the name 'two'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["one#two", "two/../one", "one?x=1", ""])
def test_a_name_that_would_be_another_rules_in_a_url_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["rules", "put", written(tmp_path, {"one": HIDE})]) == 0
    for arguments in (["put", written(tmp_path, {name: HIDE})], ["delete", name], ["show", name]):
        assert main(["rules", *arguments]) != 0
    capsys.readouterr()
    assert main(["rules", "show", "one"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == 1


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([], "a JSON object of rules by name"),
        ({"a": {"kind": "hide"}}, "a: where: is required"),
        ({"a": {"kind": "hide", "where": "item.nothing"}}, "a: where: character 1: item.nothing is not known"),
        ({"a": None}, "use `rules delete`"),
    ],
)
def test_a_file_that_cannot_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], found: Any, message: str
) -> None:
    assert main(["rules", "put", written(tmp_path, found)]) == 1
    assert message in capsys.readouterr().err


def test_a_trial_shows_whose_answers_change_and_how(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    api: Api,
) -> None:
    first = api.get("/v1/users/u1/feed").json()["items"][0]["item_id"]
    file = written(
        tmp_path,
        {"no-first": {"kind": "hide", "items": [first]}, "pin": {"kind": "pin", "item_id": "i1", "position": 3}},
    )
    assert main(["rules", "try", file, "--user", "u1", "--user", "u2"]) == 0
    shown = capsys.readouterr().out
    assert "2 of 2 answers change" in shown
    assert "pin: pinned in 2 of them" in shown
    (line, _) = [each for each in shown.splitlines() if each.startswith(("u1", "u2"))]
    start = next(each.index("gone") for each in shown.splitlines() if "gone" in each)
    assert first in line[start:], "what is gone"
    assert " at " in line[:start], "what is new, and its position"
    assert main(["rules", "try", file]) == 1
    assert "name people with --user" in capsys.readouterr().err


def test_recent_requests_come_from_the_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = [
        Impression("r1", "u1", NOW, ["i1"], "home", "DE", "ios"),
        Impression("r2", "u2", NOW, ["i1"], "cart"),
        Impression("r3", "u3", NOW, ["i1"]),
        Impression("r4", "u3", NOW, ["i1"]),
    ]
    folder = tmp_path / "home" / "archive" / "events" / "topic=impressions" / "day=2026-01-01"
    folder.mkdir(parents=True)
    n = len(events)
    table = {
        "arrived": [NOW] * n, "partition": [0] * n, "offset": list(range(n)), "taken": list(range(n)),
        "event": [msgspec.json.encode(event).decode() for event in events],
    }  # fmt: skip
    pq.write_table(pa.table(table), folder / "part-1")
    assert main(["rules", "try", written(tmp_path, {"no-i1": HIDE}), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [answer["user_id"] for answer in found["answers"]] == ["u3", "u1"]


def test_without_a_server_the_command_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("FRESHET_HTTP_PORT", "1")
    assert main(["rules", "list"]) == 1
    assert "does not answer" in capsys.readouterr().err
