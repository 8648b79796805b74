"""`freshet jars fetch` downloads jars to the cache (for offline use); `freshet jars lock` is for maintainers."""

from typing import Literal

from cyclopts import App

from freshet.local import jars
from freshet.settings import Settings

app = App(name="jars")


@app.command
def fetch(*groups: Literal["kafka", "flink"]) -> int:
    """Download the jars of the groups, or of all, and check them."""
    for group in groups or jars.ROOTS:
        found = jars.fetch(group, Settings().cache, report=print)
        print(f"{group}: {len(found)} jars, all with the checksums of the lock")
    return 0


@app.command
def lock() -> int:
    """Resolve the wanted versions again and write freshet/local/jars.lock with the checksums found."""
    print(f"{jars.write_lock()} jars pinned in {jars.LOCK.name}")
    return 0
