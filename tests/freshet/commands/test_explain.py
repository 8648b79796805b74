"""`freshet explain` over the records of an application over fakes, with a bundle on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freshet.cli import main
from freshet.commands import explain as command
from schemas.events import Item
from serving.record_store import RecordStore
from tests.bundles import write_bundle
from tests.serving.made import Api, person, popular

ITEMS = [Item(f"i{k}", f"Title {k}", [f"c{k % 4}"], "B", float(k), attributes={"year": 1950 + k}) for k in range(50)]
HIDE = {"kind": "hide", "where": "item.year == 1960"}


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    home = tmp_path / "home"
    home.mkdir()
    write_bundle(home / "bundles", [f"i{k}" for k in range(40)], version="v1", served=True)
    api = Api(home / "bundles", record_share=1.0, records=home / "answers.db")
    for item in ITEMS:
        api.services.catalogue.put_item(item)
    popular(api.services.catalogue, {f"i{k}": float(k) for k in range(50)})
    vector = np.ones(8, np.float32) / np.sqrt(np.float32(8))
    api.rows.of["u1"] = person([("click", "i7")], vector=vector, vector_space="space-0")
    monkeypatch.setenv("FRESHET_HOME", str(home))
    monkeypatch.setattr(command, "read_row", lambda settings, declared, user_id: api.rows.of.get(user_id))
    yield api
    api.close()


def asked(api: Api, path: str = "/v1/users/u1/feed", **query: Any) -> Any:
    answer = api.get(path, **query)
    assert answer.json()["degraded"] == []
    api.services.recorder.flush()
    return answer


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/v1/users/u1/feed", {"n": 5}),
        ("/v1/users/u1/feed", {"n": 5, "explain": "full", "filter": "item.price < 45"}),
        ("/v1/users/u1/feed", {"surface": "email"}),
        ("/v1/items/i3/similar", {}),
        ("/v1/trending", {"explain": "full"}),
        ("/v1/users/u1/page", {"explain": "full"}),
        ("/v1/users/u1/again", {}),
    ],
)
def test_the_body_is_the_one_that_was_given(
    api: Api, capsys: pytest.CaptureFixture[str], path: str, query: dict[str, Any]
) -> None:
    api.ask("PUT", "/v1/rules/old", params={"by": "anna"}, json=HIDE)
    answer = asked(api, path, **query)
    assert main(["explain", answer.json()["request_id"], "--json"]) == 0
    assert capsys.readouterr().out == answer.text + "\n"


def test_the_table_says_how_it_came_about(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    answer = asked(api, n=5)
    assert main(["explain", answer.json()["request_id"]]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for said in ("u1, with 1 recent events", "bundle v1", "nearest", "byte for byte", "popularity", "score "):
        assert said in out, said
    for entry in answer.json()["items"]:
        assert entry["item_id"] in out


def test_a_page_is_shown_row_by_row_and_found_by_the_id_of_a_row(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    rows = asked(api, "/v1/users/u1/page", per_row=4).json()["rows"]
    assert len(rows) > 1
    assert main(["explain", rows[1]["request_id"]]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "byte for byte" in out
    for row in rows:
        assert row["title"]["text"] in out
        assert all(entry["item_id"] in out for entry in row["items"])


def missing(request_id: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["explain", request_id]) == command.MISSING
    found = capsys.readouterr()
    assert found.out == ""
    return found.err


def test_what_is_missing_is_named(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    assert "missing: record: nothing is not in" in missing("nothing", capsys)
    api.ask("PUT", "/v1/rules/old", params={"by": "anna"}, json=HIDE)
    request_id = asked(api).json()["request_id"]
    store = RecordStore(api.services.settings.records)
    found = store.find(request_id)
    assert found is not None
    rules = store.rules(found.rules)
    assert rules is not None
    import sqlite3

    with sqlite3.connect(store.path) as db:
        db.execute("DELETE FROM rules")
    db.close()
    assert "missing: rules: " in missing(request_id, capsys)
    store.write([], [(found.rules, rules)])
    assert main(["explain", request_id]) == 0
    capsys.readouterr()
    shutil.rmtree(api.services.settings.bundles / "v1")
    assert "missing: bundle: v1 is not in" in missing(request_id, capsys)


def test_answers_of_a_person_who_withdrew_consent_or_was_deleted_are_not_shown(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    request_id = asked(api).json()["request_id"]
    api.rows.of["u1"]["consent"] = False  # through another server: here the record is still there
    assert "missing: consent: u1 has withdrawn it" in missing(request_id, capsys)
    del api.rows.of["u1"]
    assert "missing: consent: the online store does not have u1" in missing(request_id, capsys)
    stranger = asked(api, "/v1/users/u2/feed").json()["request_id"]
    assert main(["explain", stranger, "--json"]) == 0
    capsys.readouterr()
    api.post("/v1/users", {"user_id": "u2", "consent": False})
    api.services.recorder.flush()
    assert "missing: record" in missing(stranger, capsys)


def test_without_the_store_consent_is_not_known(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from feature_repo import registry
    from freshet.settings import Settings
    from serving.replay import MissingPart
    from serving.settings import ServingSettings

    monkeypatch.undo()
    with pytest.raises((MissingPart, FileNotFoundError)) as error:
        command.read_row(Settings(home=Path("/nowhere")), registry.load(ServingSettings().definitions), "u1")
    assert "consent" in str(error.value) or "nowhere" in str(error.value)


def test_an_answer_that_differs_is_an_error_of_its_own(
    api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = asked(api, n=5)
    monkeypatch.setattr("recommend.explain.LOVED", -1.0)  # another version of a stage
    monkeypatch.setattr("recommend.explain.RELATED", 2.0)
    assert main(["explain", answer.json()["request_id"], "--json"]) == command.DIFFERENT
    found = capsys.readouterr()
    assert json.loads(found.out)["items"] != answer.json()["items"]
    assert "not the same as then: the body of the answer" in found.err
