"""Finds the surfaces of a package: one in each of its modules, which has the surface's name.

    my/surfaces/evening.py     evening = Surface(name="evening", doc="…", personal=True, …)

Modules whose names begin with an underscore are for what several surfaces share, and declare none.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from traceback import extract_tb
from types import ModuleType

from recommend.surface import FEED, Surface
from schemas.errors import SurfaceError

SETTING = "FRESHET_SURFACES"
"""the environment variable with the name of a team's own module or package of surfaces"""


def surfaces_in(package: str, known: Sequence[Surface] = ()) -> tuple[Surface, ...]:
    """The surfaces of a package's modules, in the order of their names; of a module that is no package, its own.
    Modules may import the `known` ones and those of each other.

    Raises SurfaceError, with the file, where a module cannot be imported, declares none or several, or where the one
    that it declares has another name than the module or no `doc`.
    """
    folder = _imported(package, package)
    if not hasattr(folder, "__path__"):
        return (_only(folder, [id(each) for each in known]),)
    names = sorted(found.name for found in pkgutil.iter_modules(folder.__path__) if not found.name.startswith("_"))
    if not names:
        raise SurfaceError(package, "there is no module in it; a surface is a module with a Surface of its name")
    modules = [_imported(f"{package}.{name}", package) for name in names]
    named = {module: id(vars(module).get(_stem(module))) for module in modules}
    return tuple(
        _only(module, [*(id(each) for each in known), *(named[other] for other in modules if other is not module)])
        for module in modules
    )


def with_own(built_in: Sequence[Surface], package: str) -> tuple[Surface, ...]:
    """The built-in surfaces and, where `package` is not empty, those of a team's own module or package.

    Raises SurfaceError as `surfaces_in`, where a name is taken, and where nothing would serve the surface.
    """
    if not package:
        return tuple(built_in)
    own = surfaces_in(package, built_in)
    taken = {surface.name for surface in built_in}
    for surface in own:
        where = _where(import_module(package), surface.name)
        if surface.name in taken:
            raise SurfaceError(where, f"there is a surface {surface.name} already: rename the file and its surface")
        if not surface.personal or surface.reports or surface.call != FEED:
            raise SurfaceError(
                where,
                f"only personal surfaces are served, by {FEED}: set personal=True, and leave call and reports out",
            )
    return (*built_in, *own)


def personal(surfaces: Sequence[Surface]) -> Mapping[str, Surface]:
    """Those that find items for a person, by name: the feed's parameter `surface`."""
    return {surface.name: surface for surface in surfaces if surface.personal and not surface.reports}


def _imported(name: str, package: str) -> ModuleType:
    try:
        return import_module(name)
    except SurfaceError:
        raise
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise SurfaceError(
                name, f"there is no such module: correct {SETTING}, or add the folder that holds it to PYTHONPATH"
            ) from error
        raise SurfaceError(_line_of(error, name, package), f"imports {error.name}, which is not installed") from error
    except Exception as error:  # a surface is code, and may be wrong in any way
        raise SurfaceError(_line_of(error, name, package), f"{type(error).__name__}: {error}") from error


def _line_of(error: Exception, name: str, package: str) -> str:
    """file:line within the package where the error was raised; the module where that cannot be found."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    inside = f"{os.sep}{package.replace('.', os.sep)}"
    frames = [frame for frame in extract_tb(error.__traceback__) if inside in frame.filename]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else name


def _only(module: ModuleType, imported: Collection[int]) -> Surface:
    """The module's one surface; `imported` are the `id`s of those that are other modules'."""
    name, where = _stem(module), module.__file__ or module.__name__
    values = [value for value in vars(module).values() if isinstance(value, Surface) and id(value) not in imported]
    held = {value.name: value for value in values}
    if not held:
        raise SurfaceError(where, f'declares no surface: add {name} = Surface(name="{name}", …), or name it _{name}.py')
    if len(held) > 1:
        raise SurfaceError(where, f"declares {len(held)} surfaces, {', '.join(held)}: each has a file of its own")
    (surface,) = held.values()
    if surface.name != name or vars(module).get(name) is not surface:
        raise SurfaceError(
            where,
            f'declares the surface {surface.name}: write {name} = Surface(name="{name}", …), as the file is named',
        )
    if not surface.doc:
        raise SurfaceError(where, f"the surface {name} does not say what it shows: add doc=, one sentence")
    return surface


def _stem(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _where(package: ModuleType, name: str) -> str:
    module = import_module(f"{package.__name__}.{name}") if hasattr(package, "__path__") else package
    return module.__file__ or module.__name__
