"""`freshet train`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from follow.connection import Connection
from freshet.features import declared
from freshet.settings import Settings
from schemas.errors import FreshetError
from schemas.manifest import Manifest, RankerPart, SpacePart

if TYPE_CHECKING:
    from training.log import EventLog

NEEDED = ("implicit", "lightgbm", "onnx", "onnxmltools", "scipy", "sklearn")


class ExtraMissing(FreshetError):
    """What only training needs is not installed."""


class BadArguments(FreshetError):
    """The arguments contradict one another."""


def train(
    *,
    kafka: str | None = None,
    interactions: list[Path] | None = None,
    items: list[Path] | None = None,
    impressions: list[Path] | None = None,
    users: list[Path] | None = None,
    bundles: Path | None = None,
    dim: int = 64,
    seed: int = 0,
    quiet: bool = False,
) -> int:
    """Fit a model to the event log and write a bundle.

    Reads the whole log from Kafka, or files of JSON lines (plain or gzip) where --interactions or --items is given.

    Parameters
    ----------
    kafka
        Kafka's address, host:port; that of the local stack where nothing is said.
    interactions
        Files of interactions, instead of Kafka.
    items
        Files of items, instead of Kafka.
    impressions
        Files of impressions, beside those: click-through rates need them.
    users
        Files of people, beside those: features of profiles need them.
    bundles
        Folder of bundles, that of the local stack where nothing is said; the new one becomes the one in force.
    dim
        Dimensions of the embedding space, 2 to 1024.
    seed
        Seed of everything random: the same log and seed make the same model.
    quiet
        No progress bar.
    """
    if not 2 <= dim <= 1024:
        raise BadArguments(f"--dim {dim}: must be from 2 to 1024")
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        raise ExtraMissing(
            f"training needs {', '.join(absent)}: run `make setup`, or install the extra `freshet[train]`"
        )
    from feature_repo import registry
    from feature_repo.lateness import LatenessSettings
    from training import train as training

    console = Console(stderr=True, quiet=quiet)
    settings = Settings()
    bundles = bundles or settings.bundles
    connection = Connection(kafka, settings.kafka_security) if kafka else settings.connection
    log = _read(connection, interactions or [], items or [], impressions or [], users or [], console)
    note = f", {log.invalid:,} invalid ones skipped" if log.invalid else ""
    console.print(f"{len(log.interactions):,} interactions, {len(log.items):,} items{note}")
    manifest = training.train(
        log.interactions,
        log.items.values(),
        bundles,
        impressions=log.impressions,
        users=log.users.values(),
        lateness=LatenessSettings().lateness,
        declared=registry.declared(),
        dim=dim,
        seed=seed,
        show_progress=not quiet,
    )
    print(summary(manifest, bundles))
    if declared.applied(settings) is not None and declared.inputs(settings):
        console.print("a running server lacks some of these inputs yet: `freshet features apply`", style="yellow")
    return 0


def _read(
    connection: Connection,
    interactions: list[Path],
    items: list[Path],
    impressions: list[Path],
    users: list[Path],
    console: Console,
) -> EventLog:
    from training.log import from_files, from_kafka

    if interactions or items:
        return from_files(interactions, items, users, impressions)
    console.print(f"reading the log from Kafka at {connection}")
    return from_kafka(connection)


def summary(manifest: Manifest, bundles: Path) -> str:
    """The manifest for people, one fact a line."""
    facts = {
        "bundle": bundles / manifest.version,
        **{f"space {name}": _space(part) for name, part in manifest.spaces.items()},
        **{f"ranker {name}": _ranker(part, manifest.metrics) for name, part in manifest.rankers.items()},
        "events": f"{manifest.metrics.get('events', 0):,.0f}",
        "time": f"{manifest.metrics.get('seconds', 0):.1f} s",
    }
    width = max(map(len, facts)) + 2
    return "\n".join(f"{name:<{width}}{value}" for name, value in facts.items())


def _space(part: SpacePart) -> str:
    return f"{part.id}, {part.items:,} items of {part.dim} dimensions"


def _ranker(part: RankerPart, metrics: Mapping[str, float]) -> str:
    examples = metrics.get("examples", 0)
    learned = f"learned from {examples:,.0f} moments" if examples else "prior (too little data to learn one)"
    return f"{len(part.inputs)} inputs, {learned}"
