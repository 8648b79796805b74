"""Loads bundles as `current` and `traffic.json` name them, and puts them in force."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from feature_repo.crosses import Cross
from recommend.catalogue import Catalogue
from recommend.model import Model
from recommend.pipeline import Pipeline
from recommend.popular import MAX_AGE_S, Popular
from schemas import bundle, traffic
from schemas.errors import BundleError
from schemas.traffic import DEFAULT, Traffic
from serving.variants import Variant, Variants

log = logging.getLogger(__name__)


class ModelLoader:
    """Reads the folder of bundles and keeps `variants` up to date. One thread at a time calls `refresh`."""

    def __init__(self, bundles: Path, catalogue: Catalogue, declared: Sequence[Cross]) -> None:
        self._bundles = bundles
        self._catalogue = catalogue
        self._declared = declared
        self._popular = Popular(catalogue.columns, MAX_AGE_S)
        self._loaded: dict[str, Model] = {}
        self._refused: set[str] = set()
        """bundles that cannot be used; what a bundle holds does not change"""
        self._complained: set[str] = set()
        self.faults: list[str] = []
        """variants that `traffic.json` names and that do not serve; "traffic" where the file itself cannot be used"""
        self.variants = self._serve(None, {}, {})

    def refresh(self) -> None:
        """Takes newly published and newly named bundles. A bundle that cannot be used leaves the others in force, and
        is tried again only where it could not be read. Never raises for anything that the folder holds."""
        faults: list[str] = []
        default = self._current() or self.variants.default.model
        try:
            named = traffic.read(self._bundles)
        except (BundleError, OSError) as error:
            self._complain(f"the traffic file is ignored: {error}")
            named = dict(self.variants.traffic)
            faults.append("traffic")
        others: dict[str, Model] = {}
        for name, share in named.items():
            model = self._model(share.bundle)
            if model is None:
                faults.append(f"variant {name}")
            else:
                others[name] = model
        self.faults = faults
        before = {name: variant.model for name, variant in self.variants.others.items()}
        if default is not self.variants.default.model or others != before or named != self.variants.traffic:
            self.variants = self._serve(default, others, named)
            self._loaded = {model.version: model for model in (default, *others.values()) if model}
            log.info("serving: %s", ", ".join(f"{v.name} {v.version}" for v in self.all))

    @property
    def all(self) -> list[Variant]:
        """Every variant, the default first."""
        return [self.variants.default, *self.variants.others.values()]

    def _current(self) -> Model | None:
        try:
            name = bundle.current_name(self._bundles)
        except (BundleError, OSError) as error:
            self._complain(f"bundle ignored: {error}")
            return None
        return self._model(name) if name else None

    def _model(self, name: str) -> Model | None:
        """The model of a bundle, loaded where it is not yet; None where it cannot be."""
        if name in self._loaded or name in self._refused:
            return self._loaded.get(name)
        started = time.monotonic()
        try:
            model = self._catalogue.load(bundle.load(self._bundles / name), self._declared)
        except BundleError as error:
            # One that is not there yet may still come: people may name a bundle before they copy it.
            if (self._bundles / name / bundle.MANIFEST).is_file():
                self._refused.add(name)
            self._complain(f"bundle ignored: {error}")
            return None
        except OSError as error:
            self._complain(f"bundle not read, to be tried again: {error}")
            return None
        self._loaded[name] = model
        log.info("bundle %s loaded in %.1f s", name, time.monotonic() - started)
        return model

    def _serve(self, default: Model | None, others: dict[str, Model], named: Traffic) -> Variants:
        self._catalogue.serve(default, others.values())
        return Variants(
            self._variant(DEFAULT, default),
            {name: self._variant(name, model) for name, model in others.items()},
            dict(named),
        )

    def _variant(self, name: str, model: Model | None) -> Variant:
        return Variant(name, Pipeline(self._catalogue.columns, model, lists=self._popular))

    def _complain(self, text: str) -> None:
        """Says a thing once, not at every look."""
        if text not in self._complained:
            self._complained.add(text)
            log.warning("%s", text)
