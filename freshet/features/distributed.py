"""A backfill by Flink (streams/backfill.py): in a separate mini cluster, or on the cluster that the
setting `flink_run` names."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from freshet.errors import ComponentError
from freshet.local import mini_cluster
from freshet.local.processes import base_env
from freshet.settings import Settings

if TYPE_CHECKING:
    from operators.contract import Row


class Filled:
    """The output of a backfill: Parquet files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def rows(self) -> Iterator[tuple[Row, int]]:
        """Every row and its time, epoch ms: in order for each key, keys in no order."""
        from operators.contract import Row

        for view, at, packed in self._read("rows"):
            key, values = msgspec.msgpack.decode(packed)
            yield Row(view, tuple(key), tuple(values)), at

    def states(self) -> Iterator[tuple[str, str, str, bytes]]:
        """(operator's name, key, part, encoded state) after the last event."""
        yield from self._read("states")

    def _read(self, name: str) -> Iterator[tuple[Any, ...]]:
        import pyarrow.parquet as pq

        for file in sorted((self._folder / name).glob("part-*"), key=_place):
            for batch in pq.ParquetFile(file).iter_batches():
                yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _place(file: Path) -> list[int | str]:
    """Sorts the files of one Flink task by their number: `part-…-10` comes after `part-…-2`, unlike in text. A task's
    files hold each key's rows in order."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)]


@contextmanager
def fill(
    settings: Settings, files: Collection[Path], output: Literal["rows", "states"], of: Collection[int], until: int
) -> Iterator[Filled]:
    """Runs the batch job over the archived events in `files`, with timers up to `until`, epoch ms, for the features
    whose state keys are in `of`, or for all. Gives its `output`, which is deleted at the end of the context.

    Raises ComponentError, with the place of the log, where Flink fails.
    """
    settings.archive.mkdir(parents=True, exist_ok=True)  # on its file system, so that files can be linked
    with tempfile.TemporaryDirectory(prefix=".backfill-", dir=settings.archive) as temporary:
        folder = Path(temporary)
        for file in files:  # those and no others, whatever the job finishes meanwhile
            link = folder / "events" / file.relative_to(settings.archive / "events")
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, link)
        _run(
            settings,
            folder / "tmp",
            [
                *("--events", (folder / "events").as_uri(), "--out", folder.as_uri(), "--output", output),
                *("--until", str(until), *(f"--state={key}" for key in sorted(of))),
            ],
        )
        yield Filled(folder)


def _run(settings: Settings, scratch: Path, asked: list[str]) -> None:
    argv = shlex.split(settings.flink_run) if settings.flink_run else [sys.executable, "-m"]
    if shutil.which(argv[0]) is None:
        raise ComponentError(f"there is no program {argv[0]} (setting FRESHET_FLINK_RUN)")
    env = base_env() | mini_cluster.environment(settings, scratch, _quiet)
    settings.logs.mkdir(parents=True, exist_ok=True)
    log = settings.logs / "backfill.log"
    with log.open("wb") as out:
        argv += ["streams.backfill", *asked]
        done = subprocess.run(argv, env=env, stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise ComponentError(f"the backfill failed: {_last(log)}; see {log.relative_to(settings.root)}")


def _quiet(message: str) -> None:
    pass


def _last(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    causes = [line for line in lines if line.startswith(("Caused by", "Exception", "Error")) or "Error: " in line]
    return (causes or lines or ["it said nothing"])[-1].strip()
