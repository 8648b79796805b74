"""Surfaces are found by their files, and a wrong file is named with the fix."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from recommend import discovery
from recommend.discovery import surfaces_in, with_own
from recommend.surfaces import SURFACES, declared, home
from schemas.errors import SurfaceError

HEAD = "from dataclasses import replace\nfrom recommend.surfaces import home\n"
EVENING = HEAD + 'evening = replace(home, name="evening", doc="For the evening.", rerankers=())\n'
numbers = count()
Package = Callable[..., str]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    """Writes a package of modules, by name, and gives its name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(**files: str) -> str:
        name = f"own_surfaces_{next(numbers)}"
        (tmp_path / name).mkdir()
        for module, text in files.items():
            (tmp_path / name / f"{module}.py").write_text(textwrap.dedent(text))
        return name

    return write


def problem(name: str) -> str:
    with pytest.raises(SurfaceError) as raised:
        with_own(SURFACES, name)
    return str(raised.value)


def test_the_built_in_surfaces_are_those_of_the_files() -> None:
    folder = Path(discovery.__file__).parent / "surfaces"
    files = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    assert [surface.name for surface in SURFACES] == files
    assert all(surface.doc.endswith(".") and "\n" not in surface.doc for surface in SURFACES)
    assert len({surface.heading for surface in SURFACES}) == len(SURFACES)
    assert with_own(SURFACES, "") == SURFACES


def test_a_file_is_a_surface_in_the_order_of_names(package: Package) -> None:
    morning = EVENING.replace("evening", "morning")
    found = with_own(SURFACES, package(morning=morning, evening=EVENING, _shared="SHARED = 1\n"))
    assert [surface.name for surface in found] == [*(each.name for each in SURFACES), "evening", "morning"]
    assert found[-1].heading == home.heading


def test_a_single_module_will_do(package: Package) -> None:
    assert [each.name for each in surfaces_in(f"{package(evening=EVENING)}.evening", SURFACES)] == ["evening"]


def test_surfaces_may_be_made_of_one_another(package: Package) -> None:
    name = package(evening=EVENING)
    (Path(sys.path[0]) / name / "late.py").write_text(
        f'from dataclasses import replace\nfrom {name}.evening import evening\nlate = replace(evening, name="late")\n'
    )
    assert [surface.name for surface in surfaces_in(name, SURFACES)] == ["evening", "late"]


def test_the_setting_names_them(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRESHET_SURFACES", package(evening=EVENING))
    assert declared()[-1].name == "evening"
    monkeypatch.delenv("FRESHET_SURFACES")
    assert declared() == SURFACES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD, 'evening.py: declares no surface: add evening = Surface(name="evening", …), or name it _evening.py'),
        (
            EVENING + 'night = replace(home, name="night", doc="Late.")\n',
            "evening.py: declares 2 surfaces, evening, night: each has a file of its own",
        ),
        (EVENING.replace('"evening"', '"night"'), 'evening.py: declares the surface night: write evening = Surface('),
        (EVENING.replace("evening =", "night ="), 'evening.py: declares the surface evening: write evening = Surface('),
        (EVENING.replace("For the evening.", ""), "the surface evening does not say what it shows: add doc="),
        (EVENING + "home.nothing\n", "evening.py:4: AttributeError: 'Surface' object has no attribute 'nothing'"),
        ("evening = (\n", "evening.py:1: SyntaxError: '(' was never closed"),
        ("import nothing_like_it\n", "evening.py:1: imports nothing_like_it, which is not installed"),
        (EVENING.replace("rerankers=()", "price_level=2"), "evening.py:3: ValueError: evening: price_level is 2"),
        (
            EVENING.replace("rerankers=()", "personal=False"),
            "evening.py: only personal surfaces are served, by GET /v1/users/{id}/feed: set personal=True",
        ),
        (EVENING.replace("rerankers=()", 'call="GET /mine"'), "evening.py: only personal surfaces are served"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_is_named_with_the_fix(package: Package, text: str, said: str) -> None:
    assert said in problem(package(evening=text))


def test_a_name_that_is_taken_is_refused(package: Package) -> None:
    text = HEAD + 'email = replace(home, name="email", doc="Another one.", price_level=0.1)\n'
    assert "email.py: there is a surface email already: rename the file and its surface" in problem(package(email=text))


def test_a_package_that_is_not_there_is_named(package: Package) -> None:
    name = package()
    assert problem(name) == f"{name}: there is no module in it; a surface is a module with a Surface of its name"
    assert problem("not_there.surfaces") == (
        "not_there.surfaces: there is no such module: correct FRESHET_SURFACES, or add the folder that holds it to "
        "PYTHONPATH"
    )
