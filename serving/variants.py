"""The models that serve: the one in force, and those that `bundles/traffic.json` assigns a share of people.

A request uses one `Variant` from the person's vector to the last reason; models that are loaded meanwhile serve later
requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from operators.contract import Space
from operators.space import EmptySpace
from recommend.model import Model
from recommend.pipeline import Pipeline
from schemas import traffic
from schemas.traffic import DEFAULT, Traffic
from serving.problems import Fault, Forbidden, Unprocessable


@dataclass(frozen=True)
class Variant:
    """A model that serves, under a name."""

    name: str
    pipeline: Pipeline

    @property
    def model(self) -> Model | None:
        return self.pipeline.model

    @property
    def version(self) -> str | None:
        """The bundle's version, None without a model."""
        return self.model.version if self.model else None

    def space(self, surface: str) -> Space:
        """The space that a person's vector has to be in for a surface."""
        if self.model is None:
            return EmptySpace()
        return self.model.parts(surface).space or self.model.user_space


@dataclass(frozen=True)
class Variants:
    """The variants that serve now; immutable, and replaced as a whole."""

    default: Variant
    others: Mapping[str, Variant]
    traffic: Traffic

    def of(self, user_id: str) -> Variant:
        """The person's variant; the default where it is not loaded, and for requests without a person ("")."""
        name = traffic.assign(user_id, self.traffic) if self.traffic and user_id else DEFAULT
        return self.others.get(name, self.default)

    def chosen(self, name: str | None, user_id: str, has_key: bool) -> Variant:
        """The variant that a request names, or the person's own. `has_key` says whether an API key is set, which every
        request then carries.

        Raises Forbidden where no key is set, and Unprocessable for a name without a variant.
        """
        if name is None:
            return self.of(user_id)
        if not has_key:
            raise Forbidden("`variant` is for callers with the API key: set FRESHET_API_KEY on the server to use it.")
        if name == DEFAULT:
            return self.default
        found = self.others.get(name)
        if found is None:
            names = ", ".join([DEFAULT, *self.others])
            raise Unprocessable("No such variant serves.", [Fault("variant", f"is {name!r}; known are: {names}")])
        return found
