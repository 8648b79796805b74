"""`freshet demo`: MovieLens-100K, a model fitted to it, the whole stack, and the page."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from freshet.commands import demo_check
from freshet.commands.load import run as load
from freshet.errors import ComponentError
from freshet.local import background
from freshet.local.processes import base_env
from freshet.local.stack import Stack
from freshet.settings import Settings, setting_name
from schemas import bundle, topics
from schemas.errors import BundleError
from training import datasets

console = Console(highlight=False)
LATER = (
    f"a later `freshet up` lists these people on the page if you `export {setting_name('list_users')}=true` before it: "
    "fit for public data only, as everybody can then read all profiles"
)


def demo(*, check: Annotated[bool, Parameter(negative=())] = False) -> int:
    """Recommend real films to real people: load MovieLens-100K, fit a model, start everything, show the page.

    The stack stays up afterwards; `freshet down` stops it. A second call finds the data loaded and the model fitted.

    Parameters
    ----------
    check
        Do not stop at showing the page: take a real person's feed, click three films, take the feed again and print
        both. Exit status 0 only if the feed changed because of the clicks.
    """
    settings = Settings()
    listed = settings.list_users or settings.api_key is not None
    settings.list_users = True  # the data set's people are public, and the page offers them
    stack = Stack(settings, report=_say)
    stack.up(["kafka", "redis"])
    dataset = datasets.movielens()
    paths = _prepared(dataset, settings.root / "data" / datasets.NAME)
    if load(settings, [(topic, paths[topic]) for topic in (topics.ITEMS, topics.USERS, topics.INTERACTIONS)]):
        raise ComponentError("lines of MovieLens-100K were rejected: the installed data set is another one")
    if not _has_model(settings):
        _train(settings)
    stack.up()
    for line in background.problems(settings, {"server", "flink"}):
        console.print(line, style="yellow", soft_wrap=True, markup=False)
    status = demo_check.check(settings, dataset, console) if check else 0
    console.print(f"\nthe page is at [bold]{settings.http_url}[/bold] (`make down` stops everything)")
    if not listed:
        _say(LATER)
    return status


def _prepared(dataset: datasets.Dataset, folder: Path) -> dict[str, Path]:
    """The data set as files for import. Kept once written, as a rewritten file would be imported again."""
    paths = {name: folder / f"{name}.jsonl.gz" for name in dataset._fields}
    return paths if all(path.exists() for path in paths.values()) else datasets.write(dataset, folder)


def _has_model(settings: Settings) -> bool:
    """Whether a model that can be read is published."""
    try:
        return bundle.current(settings.bundles) is not None
    except BundleError as error:
        _say(f"the published model cannot be used, and another is fitted: {error}")
        return False


def _train(settings: Settings) -> None:
    # A process of its own gives its memory back before Flink and the server start.
    env = {**base_env(), "FRESHET_HOME": str(settings.root)}
    done = subprocess.run([sys.executable, "-m", "freshet.cli", "train"], env=env)
    if done.returncode:
        raise ComponentError("the model could not be fitted: see the lines above")


def _say(message: str) -> None:
    console.print(message, soft_wrap=True)
