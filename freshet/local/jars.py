"""Downloads jars from Maven Central, pinned by version and SHA-256 in `jars.lock`, to a cache shared by all homes.

With all jars in the cache, no network is used. `jgo` resolves and downloads; this module lists and checks.
"""

import hashlib
import logging
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freshet.errors import JarError

if TYPE_CHECKING:
    from jgo.maven import MavenContext

LOCK = Path(__file__).with_name("jars.lock")

# What each group asks for; the lock holds everything that these need in turn. kafka_2.13 alone formats and runs a
# broker: kafka-tools would double the number of jars (Connect, Jetty, Jersey) and add nothing that we start.
ROOTS = {
    "kafka": ("org.apache.kafka:kafka_2.13:4.1.1", "org.slf4j:slf4j-simple:1.7.36"),
    "flink": (
        "org.apache.flink:flink-sql-connector-kafka:5.0.0-2.2",
        # The archive's files. Flink's Parquet asks for Hadoop's configuration class; these two are Hadoop without its
        # hundred dependencies.
        "org.apache.flink:flink-sql-parquet:2.3.0",
        "org.apache.hadoop:hadoop-client-api:3.3.6",
        "org.apache.hadoop:hadoop-client-runtime:3.3.6",
    ),
}

_HEADER = """\
# Jars that Freshet fetches from Maven Central: group, coordinate, checksum. Written by `make jars-lock`.
"""
_TRIES = 4


@dataclass(frozen=True, slots=True)
class Jar:
    group: str
    coordinate: str
    sha256: str

    @property
    def path(self) -> Path:
        """Its path within a Maven repository."""
        org, artifact, version = self.coordinate.split(":")
        return Path(*org.split("."), artifact, version, f"{artifact}-{version}.jar")


def read_lock(lock: Path = LOCK) -> list[Jar]:
    """The jars of a lock file. Raises JarError for a line that is not `group coordinate sha256:hex`."""
    jars = []
    for number, line in enumerate(lock.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        try:
            group, coordinate, checksum = line.split()
            algorithm, digest = checksum.split(":")
            if algorithm != "sha256" or coordinate.count(":") != 2:
                raise ValueError
        except ValueError:
            raise JarError(f"{lock.name}:{number}: expected `group org:artifact:version sha256:hex`") from None
        jars.append(Jar(group, coordinate, digest))
    return jars


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(
    group: str,
    cache: Path,
    *,
    lock: Path = LOCK,
    download: Callable[[Jar, Path], Path] | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> list[Path]:
    """Paths of a group's jars, each checked against the lock, downloaded first where the cache lacks them.

    A cached file that differs from the lock is fetched again; a downloaded one that differs raises JarError and is
    never put in the cache.
    """
    jars = [jar for jar in read_lock(lock) if jar.group == group]
    repository = cache / "jars"
    missing = [jar for jar in jars if not _intact(jar, repository)]
    if missing:
        report(f"fetching {len(missing)} jars for {group} (once; kept in {repository})")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda jar: _install(jar, repository, download or _download), missing))
    return [repository / jar.path for jar in jars]


def _intact(jar: Jar, repository: Path) -> bool:
    path = repository / jar.path
    return path.is_file() and digest(path) == jar.sha256


def _install(jar: Jar, repository: Path, download: Callable[[Jar, Path], Path]) -> None:
    target = repository / jar.path
    target.parent.mkdir(parents=True, exist_ok=True)
    # Aside first: a download that is cut off, or a second process that fetches too, never leaves half a jar.
    with tempfile.TemporaryDirectory(dir=repository, prefix=".fetch-") as aside:
        fetched = download(jar, Path(aside))
        actual = digest(fetched)
        if actual != jar.sha256:
            raise JarError(f"{jar.coordinate}: rejected, its checksum is {actual}, and {jar.sha256} in the lock")
        fetched.replace(target)


def _download(jar: Jar, aside: Path) -> Path:
    import requests
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

    transient = (requests.RequestException, OSError)
    tries = Retrying(
        retry=retry_if_exception_type(transient),
        stop=stop_after_attempt(_TRIES),
        wait=wait_exponential_jitter(initial=0.5, max=8),
        reraise=True,
    )
    try:
        return tries(_resolve_once, jar.coordinate, aside)
    except (*transient, RuntimeError) as error:
        raise JarError(f"{jar.coordinate}: cannot be fetched ({error})") from error


def _resolve_once(coordinate: str, aside: Path) -> Path:
    # A folder for each try: jgo takes a file that an earlier try left half-written for a finished one.
    org, artifact, version = coordinate.split(":")
    component = _maven(Path(tempfile.mkdtemp(dir=aside))).project(org, artifact).at_version(version)
    return Path(component.artifact().resolve())


def _maven(repository: Path) -> "MavenContext":
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    # Maven Central is jgo's default; a mirror named in a person's own jgo configuration replaces it.
    return MavenContext(repo_cache=repository, local_repos=[], remote_repos=GlobalSettings.load().repositories or None)


def write_lock(lock: Path = LOCK) -> int:
    """Resolves `ROOTS` again and writes the lock; returns the number of jars. For maintainers."""
    from jgo.parse import Coordinate

    logging.getLogger("jgo").setLevel(logging.ERROR)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        maven = _maven(Path(folder))
        for group, roots in ROOTS.items():
            wanted = [maven.create_dependency(Coordinate.parse(root)) for root in roots]
            resolved, transitive = maven.resolver.resolve(wanted)
            found = [*resolved, *(d for d in transitive if d.scope in ("compile", "runtime"))]
            for dep in sorted(found, key=str):
                path = dep.artifact.resolve()
                lines.append(f"{group} {dep.groupId}:{dep.artifactId}:{dep.version} sha256:{digest(path)}")
    lock.write_text(_HEADER + "\n".join(sorted(lines)) + "\n")
    return len(lines)
