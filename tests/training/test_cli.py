"""`freshet train` from the outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas import bundle
from training import cli, datasets
from training.datasets import Dataset
from training.examples import Log


@pytest.fixture(scope="module")
def files(log: Log, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return datasets.write(Dataset([*log.items], [], [*log.interactions[:100]]), tmp_path_factory.mktemp("files"))


def test_train_from_files_prints_what_it_made(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"interactions": [files["interactions"]], "items": [files["items"]]}
    assert cli.train(**given, bundles=tmp_path, dim=8) == 0  # type: ignore[arg-type]
    said = capsys.readouterr()
    found = bundle.current(tmp_path)
    assert found is not None
    assert found.manifest.dim == 8
    assert found.version in said.out
    assert "prior" in said.out
    assert "100 interactions, 60 items" in said.err


@pytest.mark.parametrize("dim", [1, 4096])
def test_a_dimension_that_cannot_be(dim: int) -> None:
    with pytest.raises(cli.BadArguments, match="--dim"):
        cli.train(dim=dim)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == "lightgbm" else True)
    with pytest.raises(cli.ExtraMissing, match=r"lightgbm.*freshet\[train\]"):
        cli.train()
