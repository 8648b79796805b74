"""Flink with the PyFlink job: `python -m streams.job` is a client, and the JVM that it starts is a mini cluster.

The job runs in thread mode, that is, Python inside that JVM. `stop` takes a savepoint and the next start resumes from
it; after a crash the next start resumes from the newest complete checkpoint.
"""

import shutil
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from freshet.errors import ComponentError
from freshet.features import declared
from freshet.features.refill import Refill
from freshet.local import components, mini_cluster
from freshet.local.checkpoints import newest, prune
from freshet.local.components import Launch, Reporter
from freshet.settings import Settings

_SAVEPOINT_DEADLINE = 90.0


class Flink:
    name = "flink"
    grace = 15.0

    def __init__(self, module: str = "streams.job", *, restore: bool = True, refill: Refill | None = None) -> None:
        """`refill` has read most of the archive already, for features that are new."""
        self.module = module
        self.restore = restore
        self._refill = refill
        self._backfilled: list[int] = []

    def ports(self, settings: Settings) -> Mapping[str, int]:
        return {"flink_port": settings.flink_port}

    def prepare(self, settings: Settings, report: Reporter) -> Launch:
        for folder in (settings.checkpoints, settings.savepoints, settings.bundles, settings.run):
            folder.mkdir(parents=True, exist_ok=True)
        # A killed JVM leaves its unpacked jars behind, 100 MB each time: kept in our own folder and emptied here.
        scratch = settings.root / "tmp"
        shutil.rmtree(scratch, ignore_errors=True)
        origin = newest(settings.savepoints, settings.checkpoints) if self.restore else None
        if origin:
            self._take_up_changes(settings, origin, report)
            report(f"resuming from {origin.relative_to(settings.root)}")
        else:
            _start_over(settings, report)
        env = mini_cluster.environment(settings, scratch, report) | {
            "FRESHET_HOST": settings.host,
            "FRESHET_FEATURE_STORE": str(settings.feature_store),
            "FRESHET_CHECKPOINTS": settings.checkpoints.as_uri(),
            "FRESHET_SAVEPOINT": origin.as_uri() if origin else "",
            "FRESHET_ARCHIVE": (settings.archive / "events").as_uri(),
            "FRESHET_BACKFILLED": str(settings.backfilled),
            "FRESHET_FLINK_PORT": str(settings.flink_port),
        }
        return Launch([sys.executable, "-m", self.module], env)

    def _take_up_changes(self, settings: Settings, origin: Path, report: Reporter) -> None:
        """Backfills features that were declared since the job last started. Raises ComponentError where the archive may
        be incomplete."""
        found = declared.changes(settings)
        for change in found:
            report(f"feature {change.feature}: {change.kind}")
        if not any(change.rewrites for change in found):
            self._refill = None
            self._backfilled = (declared.applied(settings) or {}).get("backfilled", [])
            return
        if not origin.is_relative_to(settings.savepoints):
            raise ComponentError(
                "the job ended without a savepoint and features are new: the archive may lack what it took last; start "
                "it as it was declared and then `freshet features apply`, or read all anew with `--no-restore`"
            )
        self._refill = self._refill or Refill(settings)
        self._refill.finish(report)

    def is_ready(self, settings: Settings) -> bool:
        """Whether a job runs with all its tasks: a job whose tasks still start reads no event."""
        try:
            return any(
                job["state"] == "RUNNING" and 0 < job["tasks"]["total"] == job["tasks"]["running"]
                for job in _get(settings, "/jobs/overview", components.ANSWER_S)["jobs"]
            )
        except httpx.TimeoutException as late:
            raise TimeoutError from late
        except (httpx.HTTPError, ValueError, KeyError):
            return False

    def started(self, settings: Settings, report: Reporter) -> None:
        if self._refill:
            self._refill.refresh()  # before it is remembered, so that it is made up for where it fails
        declared.remember(settings, self._refill.states if self._refill else self._backfilled)

    def kept(self, settings: Settings, report: Reporter) -> None:
        return None

    def before_stop(self, settings: Settings, report: Reporter) -> None:
        """Stops the job with a savepoint. Where that fails, reports it: the next start then uses the last
        checkpoint."""
        asked = time.time()
        try:
            problem = _stop_with_savepoint(settings)
        except httpx.TransportError:
            problem = ""  # the mini cluster ends with its job, perhaps before we ask how the savepoint went
        except (httpx.HTTPError, ValueError, KeyError) as error:
            problem = str(error)
        savepoint = newest(settings.savepoints)
        if savepoint and (savepoint / "_metadata").stat().st_mtime >= asked:
            (settings.run / "flink-savepoint").write_text(f"{savepoint}\n")
            prune(savepoint, settings.savepoints, settings.checkpoints)
            report(f"savepoint {savepoint.relative_to(settings.root)}")
        else:
            reason = f" ({problem})" if problem else ""
            report(f"no savepoint could be taken{reason}: the next start resumes from the last checkpoint")


def _start_over(settings: Settings, report: Reporter) -> None:
    """Removes the archive, savepoints and backfilled states of earlier runs: the log is read and archived from its
    beginning, so that an old archive would count twice and old savepoints would belong to another one."""
    settings.backfilled.unlink(missing_ok=True)
    for folder in (settings.savepoints, settings.checkpoints):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for kept in (settings.archive / "events", settings.archive / "examples"):
        if kept.exists():
            aside = kept.with_name(f"{kept.name}-until-{datetime.now():%Y%m%dT%H%M%S}")
            kept.rename(aside)
            report(
                f"the log is read from its beginning; what was archived is kept in {aside.relative_to(settings.root)}"
            )


def _stop_with_savepoint(settings: Settings) -> str:
    """Stops every running job with a savepoint, and waits for it; returns the error, or ""."""
    problems = []
    for job in _get(settings, "/jobs/overview")["jobs"]:
        if job["state"] != "RUNNING":
            continue
        path = f"/jobs/{job['jid']}"
        body = {"targetDirectory": settings.savepoints.as_uri(), "drain": False}
        answer = httpx.post(f"{settings.flink_url}{path}/stop", json=body, timeout=10, trust_env=False)
        trigger = answer.raise_for_status().json()["request-id"]
        deadline = time.monotonic() + _SAVEPOINT_DEADLINE
        while (state := _get(settings, f"{path}/savepoints/{trigger}"))["status"]["id"] != "COMPLETED":
            if time.monotonic() > deadline:
                return f"not finished after {_SAVEPOINT_DEADLINE:.0f} s"
            time.sleep(0.1)
        failure = state["operation"].get("failure-cause")
        if failure:
            problems.append(str(failure.get("class", failure)))
    return ", ".join(problems)


def _get(settings: Settings, path: str, timeout: float = 5) -> dict[str, Any]:
    answer = httpx.get(f"{settings.flink_url}{path}", timeout=timeout, trust_env=False)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found
