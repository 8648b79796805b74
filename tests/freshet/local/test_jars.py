import hashlib
from pathlib import Path

import pytest

from freshet.errors import JarError
from freshet.local import jars

GOOD = b"the jar as it was pinned"


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "jars.lock"
    path.write_text(f"# why\nkafka org.example:one:1.0 sha256:{hashlib.sha256(GOOD).hexdigest()}\n")
    return path


def source(content: bytes) -> tuple[list[str], jars.Callable[[jars.Jar, Path], Path]]:
    fetched: list[str] = []

    def download(jar: jars.Jar, aside: Path) -> Path:
        fetched.append(jar.coordinate)
        (aside / "file.jar").write_bytes(content)
        return aside / "file.jar"

    return fetched, download


def test_a_jar_is_fetched_once(lock: Path, tmp_path: Path) -> None:
    fetched, download = source(GOOD)
    for _ in range(2):
        paths = jars.fetch("kafka", tmp_path, lock=lock, download=download)
    assert [path.read_bytes() for path in paths] == [GOOD]
    assert paths[0] == tmp_path / "jars/org/example/one/1.0/one-1.0.jar"
    assert fetched == ["org.example:one:1.0"]


def test_a_jar_that_differs_from_the_lock_is_refused_and_not_kept(lock: Path, tmp_path: Path) -> None:
    _, download = source(b"something else")
    with pytest.raises(JarError, match=r"one:1\.0: rejected"):
        jars.fetch("kafka", tmp_path, lock=lock, download=download)
    assert list((tmp_path / "jars").rglob("*.jar")) == []


def test_a_corrupted_jar_in_the_cache_is_fetched_again(lock: Path, tmp_path: Path) -> None:
    fetched, download = source(GOOD)
    (path,) = jars.fetch("kafka", tmp_path, lock=lock, download=download)
    path.write_bytes(GOOD[:-1])
    jars.fetch("kafka", tmp_path, lock=lock, download=download)
    assert path.read_bytes() == GOOD
    assert len(fetched) == 2


@pytest.mark.parametrize("line", ["kafka org.example:one sha256:00", "kafka a:b:1 md5:00", "just words"])
def test_a_wrong_line_is_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "jars.lock"
    path.write_text(f"# one\n{line}\n")
    with pytest.raises(JarError, match=r"jars\.lock:2"):
        jars.read_lock(path)


def test_the_committed_lock_pins_what_we_ask_for() -> None:
    locked = jars.read_lock()
    for group, roots in jars.ROOTS.items():
        assert set(roots) <= {jar.coordinate for jar in locked if jar.group == group}
    assert all(len(jar.sha256) == 64 for jar in locked)
