"""The repository itself: what is tracked, locked and promised in its documents."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from feature_repo.redis_access import RedisAccess
from follow.connection import KafkaSecurity
from freshet.settings import Settings
from serving.settings import ServingSettings
from streams.settings import JobSettings

ROOT = Path(__file__).resolve().parent.parent
CLASSES: tuple[type[BaseSettings], ...] = (Settings, JobSettings, ServingSettings)
DOCUMENTS = ("README.md", "CHANGELOG.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")))

MACHINE_PATH = re.compile(r"(?<![\w.~$}])/(?:root|home|Users|work|mnt|private|tmp/(?!cache\b))[/\w.-]*/")
REGISTRY = re.compile(
    r"(?<!no-emit-)index-url|extra-index|trusted-host|artifactory|pypi\.|/simple/|registry\.npmjs", re.IGNORECASE
)


def tracked() -> list[Path]:
    try:
        said = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a clone")
    return [ROOT / name for name in said.split("\0") if name and (ROOT / name).is_file()]


def texts() -> dict[str, str]:
    found = {}
    for path in tracked():
        try:
            found[str(path.relative_to(ROOT))] = path.read_text()
        except UnicodeDecodeError:
            continue  # a picture
    return found


def matches(pattern: re.Pattern[str], text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if pattern.search(line)]


# -- what is tracked -------------------------------------------------------------------------------


def test_no_lock_file_of_another_tool() -> None:
    unwanted = {"uv.lock", "poetry.lock", "Pipfile.lock", "package.json", "package-lock.json", "yarn.lock", ".env"}
    assert [str(p) for p in tracked() if p.name in unwanted] == []


def test_nothing_that_is_made_is_tracked() -> None:
    made = {".pyc", ".log", ".onnx", ".hnsw", ".npy", ".parquet", ".db", ".jar", ".whl", ".gz"}
    assert [str(p) for p in tracked() if p.suffix in made] == []


@pytest.mark.parametrize(
    ("pattern", "line", "found"),
    [
        (MACHINE_PATH, "see /home/me/x.py", True),
        (MACHINE_PATH, 'open("/root/.cache/x")', True),
        (MACHINE_PATH, "GET /v1/users/1/home/x", False),
        (REGISTRY, "--index-url https://example.org", True),
        (REGISTRY, "uv pip compile --no-emit-index-url --no-header", False),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern: re.Pattern[str], line: str, found: bool) -> None:
    assert bool(matches(pattern, line)) is found


def test_no_path_of_one_machine() -> None:
    here = Path(__file__).name
    found = {name: matches(MACHINE_PATH, text) for name, text in texts().items() if not name.endswith(here)}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_no_registry_is_named() -> None:
    here = Path(__file__).name
    found = {name: matches(REGISTRY, text) for name, text in texts().items() if not name.endswith(here)}
    assert {name: lines for name, lines in found.items() if lines} == {}


# -- locks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda p: p.name)
def test_every_requirement_is_pinned_with_hashes(path: Path) -> None:
    joined = path.read_text().replace("\\\n", " ")
    lines = [line.split("#")[0].strip() for line in joined.splitlines()]
    lines = [line for line in lines if line]
    assert lines
    for line in lines:
        assert re.match(r"[\w.\[\]-]+==\S+", line), line
        assert re.search(r"--hash=sha256:[0-9a-f]{64}(\s|$)", line), line


def test_every_jar_is_pinned_with_its_hash() -> None:
    lines = [
        line for line in (ROOT / "freshet" / "local" / "jars.lock").read_text().splitlines() if not line.startswith("#")
    ]
    assert len(lines) > 40
    for line in lines:
        assert re.fullmatch(r"\w+ [\w.-]+:[\w.-]+:[\w.-]+(:[\w.-]+)? sha256:[0-9a-f]{64}", line), line


def test_everything_that_is_asked_for_is_locked() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    asked = {m.lower() for m in re.findall(r'^  "([\w-]+)(?:\[[\w,-]+\])?[=<>]', project, re.MULTILINE)}
    locked = {
        m.lower()
        for m in re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==", (ROOT / "requirements/lock.txt").read_text(), re.M)
    }
    assert "feast" in asked
    assert asked - locked == set()


# -- promises --------------------------------------------------------------------------------------


def targets() -> dict[str, str]:
    """Target → what its help says."""
    text = (ROOT / "Makefile").read_text()
    return dict(re.findall(r"^([a-z-]+):[^\n#]*## *([^\n]+)$", text, re.MULTILINE))


def test_every_target_of_the_makefile_is_declared_once_and_helped() -> None:
    text = (ROOT / "Makefile").read_text()
    names = re.findall(r"^([a-z-]+):", text, re.MULTILINE)
    assert len(set(names)) == len(names)
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert set(phony.split()) == set(names) == set(targets())


@pytest.mark.parametrize("document", [*DOCUMENTS, ".ci/run", "freshet/local/jars.lock"])
def test_every_target_that_is_named_exists(document: str) -> None:
    text = (ROOT / document).read_text()
    named = set(re.findall(r"`make ([a-z-]+)", text)) | set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))
    assert named <= set(targets())


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_within_the_repository_leads_somewhere(document: str) -> None:
    text = (ROOT / document).read_text()
    links = re.findall(r"\]\(([^)#\s]+)", text) + re.findall(r'(?:src|href)="([^"#]+)"', text)
    inside = [link for link in links if "://" not in link]
    assert [link for link in inside if not ((ROOT / document).parent / link).exists()] == []


def test_the_readme_links_to_the_other_documents() -> None:
    text = (ROOT / "README.md").read_text()
    assert all(f"({name})" in text for name in DOCUMENTS if name != "README.md")


# -- settings --------------------------------------------------------------------------------------


OF_CONNECTIONS = (KafkaSecurity, RedisAccess)
"""settings of their own, with a prefix of their own; the others hold them as a field"""


def variables(kind: type[BaseSettings]) -> dict[str, Any]:
    """Environment variable → default."""
    prefix = kind.model_config["env_prefix"]
    held = {name for name, field in kind.model_fields.items() if field.annotation in OF_CONNECTIONS}
    return {f"{prefix}{n.upper()}": field.default for n, field in kind.model_fields.items() if n not in held}


def declared() -> dict[str, Any]:
    """Environment variable → default. Parts that share a setting agree on it where it has one of its own."""
    found: dict[str, Any] = {}
    for kind in (*CLASSES, *OF_CONNECTIONS):
        found |= {name: default for name, default in variables(kind).items() if not found.get(name)}
    return found


def table() -> dict[str, str]:
    rows = re.findall(r"^\| `(FRESHET_\w+)` \| ([^|]+) \|", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    assert len(dict(rows)) == len(rows)
    return {name: default.strip().strip("`") for name, default in rows}


def test_every_setting_is_in_the_operators_table_and_no_other() -> None:
    assert set(table()) == set(declared())


def test_the_tables_defaults_are_the_real_ones() -> None:
    said_otherwise = {"none", "bundled", "the repository's own", "~/.cache/freshet"}
    owner = declared()
    for name, said in table().items():
        if said not in said_otherwise:
            default = owner[name]
            assert said == (f"{default:g}" if isinstance(default, float) else str(default)), name


@pytest.mark.parametrize(
    "name", sorted({n for n, t in texts().items() if "FRESHET_" in t} if (ROOT / ".git").exists() else [])
)
def test_no_file_names_a_setting_that_does_not_exist(name: str) -> None:
    # What the stack finds its own processes by, and the prefix of several: no settings.
    ours = {"FRESHET_PROCESS", "FRESHET_REDIS"}
    named = set(re.findall(r"FRESHET_[A-Z]+(?:_[A-Z]+)*", (ROOT / name).read_text()))
    assert named - set(declared()) - ours == set()
