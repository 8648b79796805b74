"""A cross: a declaration that is one function over candidates, and says which declared features it reads."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from feature_repo.value import ANYTHING, Value
from operators.contract import Dtype
from operators.features import Feature
from operators.features.expressions import nearest
from operators.features.feature import NAME
from schemas.errors import FeatureError, declared_at

if TYPE_CHECKING:
    from feature_repo.candidates import Candidates

Column = npt.NDArray[np.floating[Any]]
NUMBERS: tuple[Dtype, ...] = ("int64", "float32", "float64", "bool")


@dataclass(frozen=True, eq=False, repr=False)
class Cross:
    """A declared input of the ranker, called `name`. A family implements the methods below; a feature without a value
    has its field's default."""

    name: str
    _: KW_ONLY
    rising: bool = False
    """whether more of it is never worse: a bound on what a small log can make the model believe"""
    doc: str = ""
    values: tuple[Value, ...] = field(init=False, repr=False)
    """what it reads of declared features"""
    where: str = field(init=False, repr=False)
    """the declaration's "file:line" """
    asks: ClassVar[tuple[str, ...]] = ()
    """what it reads of the request itself: "at", "device", "position" """

    def __post_init__(self) -> None:
        object.__setattr__(self, "where", declared_at())
        if not NAME.fullmatch(self.name):
            raise FeatureError(f"a cross's name is of a-z, 0-9 and _, and {self.name!r} is not")
        object.__setattr__(self, "values", self.read())

    def __repr__(self) -> str:
        """Its definition: family, the values that it reads, and parameters."""
        known = {f.name for f in fields(Cross)} | {"of", "field", "zone"}
        others = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.name not in known]
        return f"{type(self).__name__}({', '.join([value.key for value in self.values] + others)})"

    def read(self) -> tuple[Value, ...]:
        """The values that it reads. Raises FeatureError where the declaration is invalid."""
        return ()

    @property
    def on_demand(self) -> bool:
        """Whether Feast can compute it, from its views and request values."""
        return True

    @property
    def attributes(self) -> tuple[str, ...]:
        """Attributes of items that it reads."""
        return ()

    def __call__(self, of: Candidates) -> Column:
        """One number a candidate."""
        raise NotImplementedError

    def value(self, feature: Feature, keys: tuple[str, ...], dtypes: tuple[Dtype, ...], name: str = "") -> Value:
        """The feature's field `name` (without one, the field called as the feature), if the feature is of an entity of
        these keys and the field of one of these types. Raises FeatureError."""
        if not isinstance(feature, Feature):
            raise FeatureError(f"{self.name}: of is {feature!r}, where a declared feature is needed")
        found = tuple(str(key).removeprefix("event.") for key in feature.entity.keys)
        if len(found) != len(keys) or any(k not in (ANYTHING, f) for k, f in zip(keys, found, strict=True)):
            wanted = " and ".join(key or "a field of items" for key in keys)
            raise FeatureError(
                f"{self.name}: {type(self).__name__} reads a feature keyed by {wanted}, and {feature.name} is of "
                f"{feature.entity.name}, keyed by {' and '.join(found)}"
            )
        known = {field.name: field for field in feature.fields}
        wanted_field = name or (feature.name if feature.name in known else "")
        if wanted_field not in known:
            if not name:
                raise FeatureError(
                    f"{self.name}: {feature.name} has the fields {', '.join(known)}: say which by field="
                )
            raise FeatureError(f"{self.name}: {feature.name} has no field {name!r}{nearest(name, known)}")
        chosen = known[wanted_field]
        if chosen.dtype not in dtypes:
            raise FeatureError(
                f"{self.name}: {chosen.name} is {chosen.dtype}, and {type(self).__name__} needs {' or '.join(dtypes)}"
            )
        return Value(feature, chosen)
