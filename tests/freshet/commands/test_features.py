"""The life of a feature at the command line, and on a running stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from follow import to_end
from freshet.cli import main
from freshet.commands import features as command
from freshet.data.dead_letters import SentPlaces, wait_for_job
from freshet.errors import ComponentError
from freshet.features import declared, feast
from freshet.local.ports import free_ports
from freshet.local.stack import Stack, Status
from freshet.settings import Settings
from schemas.topics import INTERACTIONS

BEFORE, AFTER = "tests.freshet.commands.declared_before", "tests.freshet.commands.declared_after"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path))
    monkeypatch.setenv("FRESHET_DEFINITIONS", AFTER)
    monkeypatch.setenv("COLUMNS", "200")
    return Settings()


def test_list_says_what_is_declared(home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["features", "list"]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["stars", "user", "Mean", "lifetime", "float64"] in shown
    assert ["met", "user_category", "Count", "lifetime", "int64"] in shown
    assert ["beloved", "ItemFeature(item_features:people)"] in shown


def test_show_says_where_a_feature_comes_from_and_goes(home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["features", "show", "stars"]) == 0
    shown = capsys.readouterr().out
    facts = "declared_after/shop.py:9", "event.user_id", "properties.rating", "user_features, by user_id", "bytes a"
    assert [fact for fact in facts if fact not in shown] == []


def test_show_says_what_a_cross_reads(home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["features", "show", "beloved"]) == 0
    shown = capsys.readouterr().out
    facts = "declared_after/shop.py:13", "ItemFeature(item_features:people)", "crosses:beloved, on demand"
    assert [fact for fact in facts if fact not in shown] == []
    assert main(["features", "show", "people"]) == 0
    assert "crosses   beloved" in capsys.readouterr().out


def test_a_name_that_is_not_there_gets_those_that_are(home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["features", "show", "star"]) == 1
    assert "no feature is called star; there are last, stars" in capsys.readouterr().err


def test_examples_are_played(home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["features", "test"]) == 0
    shown = capsys.readouterr().out
    assert "1 of 1 examples hold" in shown
    assert "without an example: stars, people, busy, met, beloved" in shown


def test_the_examples_of_this_repository_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRESHET_DEFINITIONS", raising=False)
    assert main(["features", "test"]) == 0


def test_a_plan_is_against_what_the_job_was_started_with(
    home: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["features", "plan"]) == 0
    assert "no job was started yet" in capsys.readouterr().out
    monkeypatch.setenv("FRESHET_DEFINITIONS", BEFORE)
    declared.remember(home)
    monkeypatch.setenv("FRESHET_DEFINITIONS", AFTER)
    assert main(["features", "plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    kinds = {" ".join(name): kind for kind, *name in (line.split(":")[0].split() for line in lines)}
    assert kinds == {
        "cross beloved": "new",
        "user.stars": "new", "item.people": "new", "category.busy": "new", "user_category.met": "new",
        "user.views_1h": "removed",
    }  # fmt: skip
    declared.remember(home)
    assert main(["features", "plan"]) == 0
    assert capsys.readouterr().out == "nothing would change\n"


def test_a_feature_is_in_the_shadow_of_another_until_it_is_promoted(
    home: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from feast import FeatureStore

    from feature_repo.store import config

    def given() -> list[str]:
        store = FeatureStore(config=config(home.feature_store))
        (projection,) = store.get_feature_service("user_features").feature_view_projections
        return [feature.name for feature in projection.features]

    monkeypatch.setenv("FRESHET_DEFINITIONS", "tests.freshet.commands.declared_shadow")
    assert main(["features", "promote", "weekly"]) == 1
    assert "the job does not compute user.weekly yet" in capsys.readouterr().err
    declared.remember(home)
    feast.apply(home, report=print)
    assert given() == ["daily", "busy"]
    assert main(["features", "list"]) == 0
    assert "weekly (shadow)" in capsys.readouterr().out

    assert main(["features", "promote", "weekly"]) == 0
    assert "the service user_features has weekly instead of daily" in capsys.readouterr().out
    assert given() == ["weekly", "busy"]
    assert main(["features", "promote", "daily"]) == 0
    assert given() == ["daily", "busy"]


def test_up_says_what_has_been_edited_since_the_job_was_started(
    home: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Stack, "up", lambda *_: None)
    monkeypatch.setattr(Stack, "status", lambda _: [Status("flink", "running", 1, "", None)])

    def said() -> list[str]:
        assert main(["up"]) == 0
        return capsys.readouterr().out.splitlines()[1:]

    assert said() == []
    monkeypatch.setenv("FRESHET_DEFINITIONS", BEFORE)
    declared.remember(home)
    monkeypatch.setenv("FRESHET_DEFINITIONS", AFTER)
    (line,) = said()
    assert "user.stars (new), " in line
    assert "user.views_1h (removed) and 1 more" in line
    assert line.endswith("`freshet features apply` applies them")
    declared.remember(home)
    assert said() == []
    found = json.loads(home.declared.read_text())
    found["views"]["user_activity"] += 1
    home.declared.write_text(json.dumps(found))
    (line,) = said()
    assert "another user_activity" in line
    assert "`freshet down; freshet up --no-restore`" in line


@pytest.mark.parametrize(
    ("crosses", "server", "restarted"),
    [
        ({}, "running", ["feast", "server"]),
        ({}, "busy", ["feast", "server"]),
        ({}, "stopped", ["feast"]),
        ({"gone": "Weekday()"}, "running", ["feast", "server"]),
    ],
)
def test_a_new_cross_alone_starts_the_server_anew_and_not_the_job(
    crosses: dict[str, str], server: str, restarted: list[str], home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    class Running:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def status(self) -> list[Status]:
            return [Status(name, state, 1, "", None) for name, state in (("flink", "running"), ("server", server))]

        def restart(self, name: str) -> None:
            done.append(name)

    monkeypatch.setattr(command, "Stack", Running)
    monkeypatch.setattr(command.feast, "apply", lambda *_, **__: done.append("feast"))
    declared.remember(home)
    now = json.loads(home.declared.read_text())
    home.declared.write_text(json.dumps(now | {"crosses": crosses}))
    assert main(["features", "apply"]) == 0
    assert done == restarted
    assert json.loads(home.declared.read_text()) == now
    assert main(["features", "apply"]) == 0
    assert done == restarted, "nothing is left to apply"


def test_a_main_view_that_changed_is_refused(home: Settings) -> None:
    declared.remember(home)
    found = json.loads(home.declared.read_text())
    found["views"]["user_activity"] += 1
    home.declared.write_text(json.dumps(found))
    with pytest.raises(ComponentError, match=r"another user_activity.*--no-restore"):
        declared.changes(home)


def test_without_an_archive_there_is_nothing_to_backfill(home: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["features", "backfill"]) == 1
    assert "no archived events" in capsys.readouterr().err


# -- on a running stack ----------------------------------------------------------------------------


def freshet(*words: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "freshet.cli", *words],
        env={**os.environ, **env}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def until_taken(settings: Settings) -> None:
    """Waits until a checkpoint of the job covers all interactions that are in Kafka now."""
    sent = SentPlaces()
    for message in to_end.read(settings.connection, [INTERACTIONS]):
        sent.add(message)
    assert wait_for_job(settings.connection, sent, lambda left: None, patience_s=120)


@pytest.mark.proof
def test_a_repository_is_applied_under_load(tmp_path: Path) -> None:
    """Nothing is lost, what stays is as it was, and what is new has all of history; every value beside its oracle."""
    from feast import FeatureStore

    from bench.stacks import send
    from feature_repo import registry
    from feature_repo.store import close
    from streams import world
    from training import archive
    from training.backfill import Backfill
    from training.datasets import movielens

    chosen = free_ports()
    ports = {f"FRESHET_{name.upper()}": str(port) for name, port in chosen.items()}
    env = {**ports, "FRESHET_HOME": str(tmp_path)}
    settings = Settings(home=tmp_path, **chosen)
    data = movielens()
    events = data.interactions[:12_000]
    with ExitStack() as opened:
        opened.callback(freshet, "down", **env)
        freshet("up", "--only", "kafka,redis,flink", **env, FRESHET_DEFINITIONS=BEFORE)
        send(settings, data.items)
        send(settings, events[:6000])
        until_taken(settings)
        loading = [sys.executable, "-W", "ignore", "-c", LOAD]
        with subprocess.Popen(loading, env={**os.environ, **env}, stdout=subprocess.DEVNULL) as load:
            said = freshet("features", "apply", "--quiet", **env, FRESHET_DEFINITIONS=AFTER)
            assert "removed  user.views_1h" in said
            assert load.wait(timeout=120) == 0
        deadline = time.monotonic() + 120  # the archive's files appear with the checkpoint that they are of
        while sum(1 for _ in archive.read(archive.finished(settings.archive / "events"))) < len(events):
            assert time.monotonic() < deadline
            time.sleep(2)

        repository = registry.load(AFTER)
        known = world.shared(settings.connection, settings.bundles)
        opened.callback(known.close)
        filled = Backfill(repository, known)
        filled.feed(archive.read(archive.finished(settings.archive / "events")))
        assert filled.events == len(events) == sum(1 for _ in to_end.read(settings.connection, [INTERACTIONS]))
        store = FeatureStore("feature_repo", fs_yaml_file=settings.feature_store)
        opened.callback(close, store)
        assert different(store, filled, repository.views) == []


LOAD = """
from bench.stacks import send
from freshet.settings import Settings
from training.datasets import movielens
import time
events = movielens().interactions[6000:12000]
for start in range(0, 6000, 100):
    send(Settings(), events[start:start + 100])
    time.sleep(0.8)
"""


def different(store: Any, filled: Any, views: dict[str, Any]) -> list[Any]:
    """(view, key, feature, stored, oracle's) wherever they are not the same; a distinct count may be 5 % off."""
    now = time.time_ns() // 1_000_000
    rows = defaultdict(list)
    replay = filled._replay
    for operator, states in ((replay.user_operator, replay.users), (replay.item_operator, replay.items)):
        for (key, part), state in states.items():
            row = operator.row(key, part, state, now)
            if row.view in views:
                rows[row.view].append(row)
    assert set(rows) == set(views)
    wrong = []
    for name, own in rows.items():
        view = views[name]
        names = [field.name for field in view.fields]
        keys = [dict(zip((f"{entity}_id" for entity in view.entities), row.key, strict=True)) for row in own]
        found = store.get_online_features(features=[f"{name}:{n}" for n in names], entity_rows=keys).to_dict()
        for k, row in enumerate(own):
            for n, value in zip(names, row.values, strict=True):
                stored = found[n][k]
                allowed = max(1e-6, 0.05 * value if n == "people" else 0) if isinstance(value, (int, float)) else None
                same = stored == value if allowed is None or stored is None else abs(stored - value) <= allowed
                if not same:
                    wrong.append((name, row.key, n, stored, value))
    return wrong
