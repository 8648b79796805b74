"""`freshet features`: list, show, test, plan, apply, promote and backfill declared features."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App
from rich.console import Console
from rich.table import Table

from freshet.commands.backfill import backfill
from freshet.commands.consistency import consistency
from freshet.errors import FeaturesError
from freshet.features import declared, feast, rewrite
from freshet.features.refill import Refill
from freshet.local.flink import Flink
from freshet.local.kafka import Kafka
from freshet.local.redis import Redis
from freshet.local.server import Server
from freshet.local.stack import Stack
from freshet.settings import Settings

if TYPE_CHECKING:
    from feature_repo.plan import Change
    from feature_repo.repository import Repository

app = App(name="features", help="Features that are declared in `feature_repo/definitions`: see docs/features.md.")
app.command(consistency)
app.command(backfill)
console = Console(highlight=False)


@app.command(name="list")
def show_all() -> int:
    """List every declared feature, by entity, and every cross. A feature that is not promoted is not in the service."""
    from feature_repo import promotions

    table = Table("feature", "entity", "what", "over", "dtype", box=None, pad_edge=False, header_style="bold")
    repository, promoted = _repository(), promotions.promoted(Settings().root)
    served = {feature for entity in repository.features for feature in repository.in_service(entity, promoted)}
    for entity, feature in declared.features(repository):
        dtypes = ", ".join(field.dtype for field in feature.fields)
        shown = feature.name if feature in served else f"{feature.name} (shadow)"
        table.add_row(shown, entity.name, type(feature).__name__, str(feature.scope), dtypes)
    console.print(table)
    crosses = _repository().crosses
    if crosses:
        console.print()
        table = Table("cross", "what the ranker reads", box=None, pad_edge=False, header_style="bold")
        for cross in crosses:
            table.add_row(cross.name, repr(cross))
        console.print(table)
    return 0


@app.command
def show(name: str) -> int:
    """Show a feature's event fields, operator, view, services and state size; of a cross, its inputs.

    Parameters
    ----------
    name
        The feature's or cross's name, or entity.name where two entities have one of that name.
    """
    repository = _repository()
    crosses = [cross for cross in repository.crosses if cross.name == name]
    for cross in crosses:
        _say({
            "declared": _short(cross.where),
            "what": repr(cross),
            "reads": ", ".join(value.key for value in cross.values) or "no declared feature",
            "Feast": f"crosses:{cross.name}, on demand" if cross.on_demand else "cannot compute it",
        })  # fmt: skip
    if crosses and not any(name == feature.name for _, feature in declared.features(repository)):
        return 0
    entity, feature = declared.named(repository, name)
    operator = "user operator" if entity.of_user else "item operator"
    sharing = [
        other.name
        for other in repository.features[entity]
        if other is not feature and other.state_key == feature.state_key
    ]
    facts = {
        "declared": _short(feature.where),
        "what": f"{type(feature).__name__} over {feature.scope}",
        "events": str(feature.events),
        "reads": ", ".join(dict.fromkeys((*feature.events.fields, *feature.reads.fields))) or "no field",
        "key": " × ".join(str(key) for key in entity.keys),
        "runs in": f"the {operator}, part {entity.name}"
        + (f"; shares its state with {', '.join(sharing)}" if sharing else ""),
        "state": f"at most {feature.state_bytes():,} bytes a key",
        "view": f"{entity.view}, by {', '.join(f'{join}_id' for join in entity.joins)}",
        "crosses": ", ".join(c.name for c in repository.crosses if feature in {v.feature for v in c.values}) or "none",
        "services": ", ".join(_services(entity.view)) or "none",
        "freshness": ("milliseconds" if entity.of_user else "up to 3 s")
        + " after an event; also when a tile, session or half-life ends",
    }
    _say(facts)
    for field in feature.fields:
        unknown = f"{field.default!r} without events, None for a key without a row"
        console.print(f"[bold]{'field':<10}[/]{field.name}: {field.dtype}, {unknown}", soft_wrap=True)
    return 0


@app.command
def test() -> int:
    """Run the examples of the definitions. Exit status 1 where one fails."""
    from feature_repo import examples, registry

    outcomes = [examples.check(each) for each in examples.within(*registry.modules(registry.package_name()))]
    for outcome in outcomes:
        if outcome.problem:
            console.print(f"[red]{outcome.example.feature.name}[/] {outcome.problem} ({_short(outcome.example.where)})")
    failed = sum(1 for outcome in outcomes if outcome.problem)
    console.print(f"{len(outcomes) - failed} of {len(outcomes)} examples hold")
    tried = {outcome.example.feature for outcome in outcomes}
    repository = _repository()
    untried = [feature.name for _, feature in declared.features(repository) if feature not in tried]
    untried += [cross.name for cross in repository.crosses if cross not in tried]
    if untried:
        console.print(f"without an example: {', '.join(untried)}", style="dim")
    return 1 if failed else 0


@app.command
def plan() -> int:
    """Show what `freshet features apply` would change in the job as it was last started."""
    settings = Settings()
    if declared.applied(settings) is None:
        console.print("no job was started yet: `freshet up` starts one with the current declarations")
        return 0
    if not any(_changes(settings)):
        console.print("nothing would change")
    return 0


@app.command
def apply(*, flink: bool = False, quiet: bool = False) -> int:
    """Restart the running job with the current declarations: it stops with a savepoint, new features are backfilled
    from the archive, and it resumes. No event is lost, and unchanged features keep their states. The server is
    restarted where crosses are new; `freshet train` makes a model that reads them.

    Parameters
    ----------
    flink
        Backfill with a batch job of Flink, for archives that are too large for one process.
    quiet
        No progress.
    """
    settings = Settings()
    found, inputs = _changes(settings)
    if not found and not inputs:
        console.print("nothing to apply")
        return 0
    refill = Refill(settings, quiet, flink) if any(change.rewrites for change in found) else None
    stack = Stack(
        settings,
        report=lambda message: console.print(message, soft_wrap=True),
        components=(Kafka(), Redis(), Flink(refill=refill), Server()),
    )
    states = {status.name: status.state for status in stack.status()}
    if states["flink"] not in ("running", "busy"):
        raise FeaturesError("the job does not run: `freshet up` starts it with the current declarations")
    if refill:
        refill.ahead()
    if found:
        stack.restart("flink")
    else:
        feast.apply(settings, report=lambda message: None)
    # A server that has more inputs than its model reads goes on with it; one that lacks some would refuse it.
    if states["server"] != "stopped" and any(change.kind != "removed" for change in inputs):
        stack.restart("server")
        if any(change.kind != "new" for change in inputs):
            console.print(
                "the model in force may read what is gone: feeds are of what is popular until `freshet train`"
            )
    declared.remember(settings, (declared.applied(settings) or {}).get("backfilled", ()))
    return 0


@app.command(name="rewrite")
def rewrite_rows() -> int:
    """Have the running job write every row of the online store again, from its own state: after Redis has lost data.

    The job keeps running. Rows are written over the following seconds or minutes; writes are idempotent.
    """
    settings = Settings()
    if not any(status.name == "flink" and status.state in ("running", "busy") for status in Stack(settings).status()):
        raise FeaturesError("the job does not run: `freshet up` starts it")
    with console.status("reading the keys from Kafka"):
        found = rewrite.known(settings)
    rewrite.send(settings, found)
    console.print(f"the job writes the rows of {len(found['user']):,} people and {len(found['item']):,} other keys")
    return 0


@app.command
def promote(name: str) -> int:
    """Put this feature into the entity's service, instead of the one that it replaces or that replaces it.

    Both are already computed: Feast's registry is written once, and readers of the service see the one or the other.

    Parameters
    ----------
    name
        The feature's name, or entity.name where two entities have one of that name.
    """
    from feature_repo import promotions
    from feature_repo.repository import full_name

    settings, repository = Settings(), _repository()
    entity, feature = declared.named(repository, name)
    full = full_name(feature)
    if full not in (declared.applied(settings) or {"features": ()})["features"]:
        raise FeaturesError(f"the job does not compute {full} yet: `freshet features apply`")
    before = promotions.promoted(settings.root)
    after = promotions.promote(repository, feature, before)
    old, new = ([f.name for f in repository.in_service(entity, promoted)] for promoted in (before, after))
    promotions.keep_promoted(settings.root, after)
    feast.apply(settings, report=lambda message: None)
    if old == new:
        console.print(f"{full} is already in the service")
        return 0
    gone = ", ".join(name for name in old if name not in new)
    console.print(f"the service {entity.view} has {feature.name} instead of {gone}")
    return 0


def _say(facts: Mapping[str, str]) -> None:
    for title, fact in facts.items():
        console.print(f"[bold]{title:<10}[/]{fact}", soft_wrap=True)


def _changes(settings: Settings) -> tuple[list[Change], list[Change]]:
    """Prints the changes of features and of crosses."""
    found, inputs = declared.changes(settings), declared.inputs(settings)
    for change in found:
        console.print(f"[bold]{change.kind:<8}[/] {change.feature}: {change.detail}")
    for change in inputs:
        console.print(f"[bold]{change.kind:<8}[/] cross {change.feature}: {change.detail}")
    return found, inputs


def _repository() -> Repository:
    from feature_repo import registry

    return registry.declared()


def _services(view: str) -> list[str]:
    from feast import FeatureService

    from feature_repo import features

    services = [value for value in vars(features).values() if isinstance(value, FeatureService)]
    return sorted(s.name for s in services if view in {p.name for p in s.feature_view_projections})


def _short(where: str) -> str:
    path = Path(where)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else where
