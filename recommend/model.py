"""A loaded bundle: its parts, and the parts that each surface uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from feature_repo.columns import ItemColumns
from feature_repo.crosses import Cross
from recommend.item_space import ItemSpace
from recommend.onnx_encoder import OnnxEncoder
from recommend.onnx_ranker import OnnxRanker
from schemas.bundle import Bundle
from schemas.errors import BundleError

Tables = Mapping[str, Mapping[str, npt.NDArray[Any]]]


@dataclass(frozen=True)
class Parts:
    """The parts that one surface uses; None for what the bundle lacks."""

    space: ItemSpace | None = None
    encoder: OnnxEncoder | None = None
    ranker: OnnxRanker | None = None
    objective: Mapping[str, float] = field(default_factory=dict)
    """weights of the ranker's heads"""
    tables: Tables = field(default_factory=dict)


NO_PARTS = Parts()


@dataclass(frozen=True)
class Model:
    """The parts of one bundle, over one set of item columns."""

    version: str
    spaces: Mapping[str, ItemSpace]
    user_space: ItemSpace
    """the space of the user vectors that the job keeps while this bundle is in force"""
    surfaces: Mapping[str, Parts]

    def parts(self, surface: str) -> Parts:
        """The parts that the surface uses: none where the bundle does not name it."""
        return self.surfaces.get(surface, NO_PARTS)

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        columns: ItemColumns,
        rows_of: Callable[[list[str]], list[int]],
        declared: Sequence[Cross] = (),
    ) -> Model:
        """Reads a verified bundle; `rows_of` gives items rows of the columns, new ones where they have none.

        A ranker may read fewer crosses than are `declared`: a model stays in force until one is trained that reads the
        new ones. Raises BundleError where a part cannot be used, such as a ranker of inputs that are not known here.
        """
        manifest = bundle.manifest
        numbers = {
            value.key: float(value.field.default)
            for cross in declared
            for value in cross.values
            if value.entity.of_user and isinstance(value.field.default, (int, float))
        }
        try:
            spaces = {name: ItemSpace.of(bundle, name, columns, rows_of) for name in manifest.spaces}
            encoders = {
                name: OnnxEncoder(bundle.onnx("encoders", name), part, spaces[part.space], numbers)
                for name, part in manifest.encoders.items()
            }
            rankers = {
                name: OnnxRanker.of(bundle.onnx("rankers", name), part, declared)
                for name, part in manifest.rankers.items()
            }
            surfaces = {
                surface: Parts(
                    spaces[use.space] if use.space else None,
                    encoders[use.encoder] if use.encoder else None,
                    rankers[use.ranker] if use.ranker else None,
                    use.objective or (dict.fromkeys(rankers[use.ranker].heads, 1.0) if use.ranker else {}),
                    {table: bundle.table(table) for table in use.tables},
                )
                for surface, use in manifest.surfaces.items()
            }
        except BundleError as error:
            raise BundleError(f"{bundle.version}: {error}") from error
        except OSError:
            raise
        except Exception as error:  # each library has errors of its own for a file that it cannot use
            raise BundleError(f"{bundle.version}: {error}") from error
        return cls(bundle.version, spaces, spaces[manifest.user_vectors], surfaces)
