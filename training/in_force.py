"""The bundles that impressions name, and the world of a replay in which one follows the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from feature_repo import inputs
from feature_repo.crosses import Cross
from feature_repo.inputs import NAMES
from feature_repo.repository import Repository
from operators.space import BundleSpace
from schemas.bundle import Bundle
from schemas.events import FLOAT_BYTES, Impression, Item
from training.replay import KnownItems

Load = Callable[[str], Bundle | None]
"""a bundle by its version, None where it is gone"""


@dataclass(frozen=True)
class Served:
    """A bundle that was in force: its space, and the inputs of its ranker."""

    space: BundleSpace
    inputs: tuple[str, ...]
    """as they are logged"""
    crosses: tuple[Cross, ...]
    """those of them that are still declared, in their order"""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The inputs that can be computed again, in the order of `matrix`."""
        return inputs.names(self.crosses)

    @property
    def undeclared(self) -> tuple[str, ...]:
        """The inputs that cannot be computed again, since they are not declared any more."""
        return tuple(name for name in self.inputs if name not in self.names)

    def logged(self, shown: Impression) -> npt.NDArray[np.float32] | None:
        """The logged values of `names` (items, names); None where inputs of another bundle were logged."""
        features = shown.features or b""
        if self.inputs[: len(NAMES)] != NAMES or len(features) != FLOAT_BYTES * len(shown.items) * len(self.inputs):
            return None
        found = np.frombuffer(features, "<f4").reshape(len(shown.items), len(self.inputs))
        return found[:, [self.inputs.index(name) for name in self.names]]


class Bundles:
    """Each bundle once, over one catalogue."""

    def __init__(self, items: Iterable[Item], load: Load, declared: Repository) -> None:
        self.world = KnownItems(items)
        self._load = load
        self._crosses = {cross.name: cross for cross in declared.crosses}
        self._found: dict[str, Served | None] = {}

    def of(self, shown: Impression) -> Served | None:
        """The bundle that an impression names; None where it names none, or one that was deleted."""
        version = shown.model_version or ""
        if version not in self._found:
            bundle = self._load(version) if version else None
            self._found[version] = self._served(bundle) if bundle else None
        return self._found[version]

    def named(self, shown: Impression) -> Served:
        """The same for an impression whose bundle is known to exist."""
        served = self.of(shown)
        assert served is not None
        return served

    def enter(self, shown: Impression) -> None:
        """Puts the space of the impression in force, where its bundle exists."""
        served = self.of(shown)
        if served:
            self.world.space = served.space

    def _served(self, bundle: Bundle) -> Served:
        ranker = bundle.manifest.surfaces["home"].ranker if "home" in bundle.manifest.surfaces else None
        inputs = tuple(bundle.manifest.rankers[ranker].inputs) if ranker else ()
        crosses = tuple(self._crosses[name] for name in inputs if name in self._crosses)
        return Served(BundleSpace.of(bundle, self.world.item), inputs, crosses)
