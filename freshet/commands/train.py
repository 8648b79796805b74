"""`freshet train`: fits a model and publishes a bundle."""

from __future__ import annotations

from collections import Counter
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
    from feature_repo.repository import Repository
    from training.accepted import Log
    from training.examples import Group

NEEDED = ("implicit", "lightgbm", "onnx", "onnxmltools", "scipy", "sklearn")


class ExtraMissing(FreshetError):
    """The packages of the extra `train` are not installed."""


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

    Reads the archive of accepted events and what Kafka holds beyond it, by the job's rules of acceptance; or files of
    JSON lines (plain or gzip) where --interactions or --items is given. People without consent are left out.

    Parameters
    ----------
    kafka
        Kafka's address, host:port; that of the local stack by default.
    interactions
        Files of interactions, instead of Kafka.
    items
        Files of items, instead of Kafka.
    impressions
        Files of impressions, in addition: click-through rates need them.
    users
        Files of profiles, in addition: features of profiles need them.
    bundles
        Folder of bundles, that of the local stack by default; the new bundle is put in force.
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
    from training import train as training

    console = Console(stderr=True, quiet=quiet)
    settings = Settings()
    bundles = bundles or settings.bundles
    repository = registry.declared()
    labelled: list[Group] = []
    if interactions or items:
        log, invalid = _from_files(interactions or [], items or [], impressions or [], users or [])
    else:
        log, invalid = _taken(settings, kafka, console)
        labelled = _labelled(settings, bundles, log, repository)
    left_out = Counter(log.refused) + Counter({"invalid": invalid})
    note = "".join(f", {n:,} left out ({reason})" for reason, n in left_out.items())
    shown = f", {len(labelled):,} labelled impressions" if labelled else ""
    console.print(f"{len(log.interactions):,} interactions, {len(log.items):,} items{shown}{note}")
    manifest = training.train_log(
        log, bundles, labelled=labelled, declared=repository, dim=dim, seed=seed, show_progress=not quiet
    )
    print(summary(manifest, bundles))
    if declared.applied(settings) is not None and declared.inputs(settings):
        console.print("a running server lacks some of these inputs yet: `freshet features apply`", style="yellow")
    return 0


def _from_files(
    interactions: list[Path], items: list[Path], impressions: list[Path], users: list[Path]
) -> tuple[Log, int]:
    from feature_repo.consent import ConsentSettings
    from schemas.clock import now_ms
    from training.accepted import Log
    from training.log import from_files

    read = from_files(interactions, items, users, impressions)
    opt_in = ConsentSettings().opt_in
    people = read.users.values()
    log = Log.of(read.interactions, read.items.values(), read.impressions, people, now=now_ms(), opt_in=opt_in)
    return log, read.invalid


def _taken(settings: Settings, kafka: str | None, console: Console) -> tuple[Log, int]:
    """The log from the local stack's archive and the later messages in its Kafka; from another Kafka, its topics
    alone."""
    from feature_repo.consent import ConsentSettings
    from feature_repo.lateness import LatenessSettings
    from training import archive
    from training.taken import TakenLog

    connection = Connection(kafka, settings.kafka_security) if kafka else settings.connection
    archived = set() if kafka else archive.finished(settings.archive / "events")
    console.print(f"reading {len(archived)} files of accepted events, and Kafka at {connection}")
    found = TakenLog(connection, archived, LatenessSettings().lateness, ConsentSettings().opt_in)
    return found.log, found.invalid


def _labelled(settings: Settings, bundles: Path, log: Log, repository: Repository) -> list[Group]:
    """Labelled impressions as ranking groups: those in the log, which has what consent covers, of bundles whose ranker
    had the same inputs as now."""
    from feature_repo.inputs import names
    from schemas import bundle
    from training import labelled

    files = labelled.finished(settings.archive / "examples")
    kept = {(shown.user_id, shown.request_id) for shown in log.impressions}
    wanted, found = names(repository.crosses), []
    for version, manifest in bundle.manifests(bundles):
        for part in manifest.rankers.values() if files else ():
            if set(wanted) <= set(part.inputs):
                examples = labelled.read(files, version, len(part.inputs))
                found += labelled.groups(examples, part.inputs, wanted, kept.__contains__)
    return found


def summary(manifest: Manifest, bundles: Path) -> str:
    """The manifest as readable text, one fact a line."""
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
