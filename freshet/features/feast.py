"""The feature repository: its configuration with this stack's ports, and `feast apply`."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from freshet.errors import ComponentError
from freshet.local.components import Reporter
from freshet.local.processes import base_env
from freshet.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2] / "feature_repo"
_TIMEOUT = 180


def write_config(settings: Settings) -> Path:
    """Copies `feature_repo/feature_store.yaml` into the home with the ports and the registry of this stack."""
    settings.feature_store.parent.mkdir(parents=True, exist_ok=True)
    settings.feature_store.write_text(_config(settings, settings.registry))
    return settings.feature_store


def _config(settings: Settings, file: Path) -> str:
    config = yaml.safe_load((REPOSITORY / "feature_store.yaml").read_text())
    registry = config.get("registry")
    config["registry"] = {**(registry if isinstance(registry, dict) else {}), "path": str(file)}
    # Feast puts the variable's value in; the file holds no secret.
    password = ",password=${FRESHET_REDIS_PASSWORD}" if "FRESHET_REDIS_PASSWORD" in settings.secrets else ""
    config.setdefault("online_store", {})["connection_string"] = settings.redis + password
    return yaml.safe_dump(config, sort_keys=False)


def apply(settings: Settings, report: Reporter) -> None:
    """Registers the feature views, as `feast apply` does. Raises ComponentError with Feast's message."""
    if not (REPOSITORY / "feature_store.yaml").exists():
        report("feast apply is skipped: feature_repo has no feature_store.yaml")
        return
    config = write_config(settings)
    stamp = settings.run / "feast-applied"
    declared = _fingerprint(settings, config)
    if settings.registry.exists() and stamp.exists() and stamp.read_text() == declared:
        return  # it takes seconds, and nothing that it reads has changed
    # Feast writes a registry in place, and readers must see the old one or the new one: another is written, and moved.
    aside, config = settings.run / "registry.db", settings.run / "feature_store.yaml"
    settings.run.mkdir(parents=True, exist_ok=True)
    if settings.registry.exists():
        shutil.copyfile(settings.registry, aside)
    config.write_text(_config(settings, aside))
    command = [sys.executable, "-c", "from feast.cli.cli import cli; cli()", "-c", str(REPOSITORY), "-f", str(config)]
    env = {**base_env(), **settings.secrets, "FEAST_USAGE": "False", "FRESHET_HOME": str(settings.root)}
    done = subprocess.run([*command, "apply"], env=env, capture_output=True, text=True, timeout=_TIMEOUT)
    settings.logs.mkdir(parents=True, exist_ok=True)
    (settings.logs / "feast.log").write_text(done.stdout + done.stderr)
    if done.returncode:
        words = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        last = words[-1] if words else "no output"
        raise ComponentError(f"feast apply failed: {last}; see `freshet logs feast`")
    aside.replace(settings.registry)
    stamp.write_text(declared)
    report("feast apply: feature views registered")


def _fingerprint(settings: Settings, config: Path) -> str:
    """A hash of all that is registered: the sources of the declarations and the list of promoted features."""
    from feature_repo import promotions

    promoted = ",".join(sorted(promotions.promoted(settings.root)))
    found = hashlib.sha256(f"{config.read_text()}{os.environ.get('FRESHET_DEFINITIONS', '')}{promoted}".encode())
    for folder in (REPOSITORY, REPOSITORY.parent / "operators", REPOSITORY.parent / "schemas"):
        for source in sorted(folder.rglob("*.py")):
            found.update(f"{source.name}\0".encode() + source.read_bytes())
    return found.hexdigest()
