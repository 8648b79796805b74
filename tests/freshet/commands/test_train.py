"""`freshet train` from the outside."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from feature_repo import registry
from feature_repo.inputs import names
from feature_repo.repository import EMPTY
from freshet.commands import train as command
from freshet.settings import Settings
from operators.contract import Record
from operators.time import hours
from schemas import bundle
from schemas.events import Impression, Interaction, Item, LabelledExample, User
from schemas.topics import IMPRESSIONS, USERS
from tests.bundles import write_bundle
from tests.training.test_labelled import write as write_examples
from training import datasets
from training.accepted import Log
from training.datasets import Dataset

T0 = 1_767_225_600_000


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    items = [Item(f"i{k}", f"Film {k}", [f"genre{k % 3}"]) for k in range(60)]
    likes = [Interaction(f"e{k}", "like", f"u{k % 9}", 1_767_225_600_000 + k, f"i{k % 60}") for k in range(100)]
    return datasets.write(Dataset(items, [], likes), tmp_path_factory.mktemp("files"))


def test_train_from_files_prints_what_it_made(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {name: [files[name]] for name in ("interactions", "items", "users")}
    assert command.train(**given, bundles=tmp_path, dim=8) == 0  # type: ignore[arg-type]
    said = capsys.readouterr()
    found = bundle.current(tmp_path)
    assert found is not None
    assert found.space().part.dim == 8
    assert found.manifest.rankers["feed"].inputs == list(names(registry.declared().crosses))
    assert found.version in said.out
    assert "prior" in said.out
    assert "100 interactions, 60 items" in said.err


def test_labelled_impressions_from_before_a_withdrawal_are_left_out_also_when_consent_is_given_again(
    tmp_path: Path,
) -> None:
    """As the impressions and interactions of that time are."""
    inputs = names(EMPTY.crosses)
    version = write_bundle(tmp_path / "bundles", ["i0", "i1"], served=True, inputs=inputs)

    def impression(request_id: str, user_id: str, arrived: int) -> Record:
        return Record(
            Impression(request_id, user_id, T0 + arrived, ["i0", "i1"]), IMPRESSIONS, 0, arrived, T0 + arrived
        )

    def profile(consent: bool, arrived: int) -> Record:
        return Record(User("u1", consent=consent), USERS, 0, arrived, T0 + arrived)

    log = Log.taken(
        [
            impression("before", "u1", 1), impression("before", "u3", 1), impression("other", "u2", 2),
            profile(False, 3), profile(True, 4),
            impression("after", "u1", 5),
        ],
        [],
    )  # fmt: skip
    shown = [
        LabelledExample(
            request, user, f"i{position}", position, T0, model_version=version,
            features=np.full(len(inputs), place, "<f4").tobytes(), labels={"click": 1} if position else {},
        )
        for place, (request, user) in enumerate([("before", "u1"), ("other", "u2"), ("after", "u1")])
        for position in range(2)
    ]  # fmt: skip
    write_examples(tmp_path / "archive" / "examples", shown)
    settings: Any = SimpleNamespace(archive=tmp_path / "archive")
    groups = command._labelled(settings, tmp_path / "bundles", log, EMPTY)
    assert {float(group.features[0, 0]) for group in groups} == {1.0, 2.0}


@pytest.mark.parametrize("dim", [1, 4096])
def test_a_dimension_that_cannot_be(dim: int) -> None:
    with pytest.raises(command.BadArguments, match="--dim"):
        command.train(dim=dim)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "lightgbm" else True)
    with pytest.raises(command.ExtraMissing, match=r"lightgbm.*freshet\[train\]"):
        command.train()


def test_with_opt_in_only_people_who_consented_are_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [Interaction(f"e{n}", "like", f"u{n % 2}", T0 + n, "i1") for n in range(4)]
    files = datasets.write(Dataset([Item("i1")], [User("u0", consent=True)], events), tmp_path)
    for consent, people in (("opt_in", {"u0"}), ("opt_out", {"u0", "u1"})):
        monkeypatch.setenv("FRESHET_CONSENT", consent)
        log, _ = command._from_files([files["interactions"]], [files["items"]], [], [files["users"]])
        assert {event.user_id for event in log.interactions} == people


def test_the_log_of_the_stack_is_read_by_the_jobs_lateness_and_consent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def taken_log(*arguments: Any) -> Any:
        given.extend(arguments)
        return SimpleNamespace(log=Log([], []), invalid=0)

    monkeypatch.setattr("training.taken.TakenLog", taken_log)
    monkeypatch.setenv("FRESHET_CONSENT", "opt_in")
    monkeypatch.setenv("FRESHET_ALLOWED_LATENESS_HOURS", "7")
    command._taken(Settings(home=tmp_path), "nowhere:1", Console(quiet=True))
    assert given[2:] == [hours(7), True]
