"""`freshet train` from the outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from feature_repo import registry
from feature_repo.inputs import names
from freshet.commands import train as command
from schemas import bundle
from schemas.events import Interaction, Item
from training import datasets
from training.datasets import Dataset


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


@pytest.mark.parametrize("dim", [1, 4096])
def test_a_dimension_that_cannot_be(dim: int) -> None:
    with pytest.raises(command.BadArguments, match="--dim"):
        command.train(dim=dim)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "lightgbm" else True)
    with pytest.raises(command.ExtraMissing, match=r"lightgbm.*freshet\[train\]"):
        command.train()
