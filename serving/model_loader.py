"""Loads the bundles that `current` and `traffic.json` name, and puts them in force."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from feature_repo.crosses import Cross
from follow.bundles import EVERY_S, WATCH, Retry
from follow.loop import Loop, Looping
from recommend.filtering import ItemFilters
from recommend.model import Model
from recommend.pipeline import Pipeline
from recommend.popular import Popular
from recommend.rules.rule_set import RuleSet, no_rules
from schemas import bundle, traffic
from schemas.errors import BundleError
from schemas.traffic import DEFAULT, Traffic
from serving import heap
from serving.catalogue import LiveCatalogue
from serving.variants import Variant, Variants

log = logging.getLogger(__name__)


class ModelLoader(Looping):
    """Reads the folder of bundles and keeps `variants` up to date, in a thread of its own.

    A bundle that cannot be used leaves the others in force, and `health` not `up`. It is tried again as
    `Retry` says.
    """

    def __init__(
        self,
        bundles: Path,
        catalogue: LiveCatalogue,
        declared: Sequence[Cross],
        every_s: float = EVERY_S,
        rules: Callable[[], RuleSet] = no_rules,
    ) -> None:
        """`rules` gives those that are in force now."""
        self._rules = rules
        self._bundles = bundles
        self._catalogue = catalogue
        self._declared = declared
        self._popular = Popular(catalogue.columns, time.monotonic)
        self._filters = ItemFilters(catalogue.columns)
        self._lock = threading.Lock()
        self._loop = Loop(WATCH, self._step, every_s, longest_s=every_s)
        self._retries: dict[str, Retry] = {}
        """bundles that could not be read, by the name of their folder"""
        self._loaded: dict[str, Model] = {}
        """by the name of the bundle's folder, which may differ from its version"""
        self.faults: list[str] = []
        """variants that `traffic.json` names and that do not serve; "traffic" where the file itself cannot be used"""
        self.variants = self._serve(None, {}, {})

    def check(self) -> bool:
        """Checks once, in the caller's thread. Whether every bundle that the folder names serves."""
        return self._loop.run_once()

    def _step(self) -> None:
        before = self.variants
        try:
            self._refresh()
        finally:
            if self.variants is not before:
                del before  # or a model that it holds alone would be freed only later
                heap.trim()

    def _refresh(self) -> None:
        """Loads every bundle that can serve, and then raises the first error."""
        with self._lock:
            problems: list[Exception] = []
            faults: list[str] = []
            default = self._current(problems) or self.variants.default.model
            named: Traffic = self.variants.traffic
            try:
                named = traffic.read(self._bundles)
            except (BundleError, OSError) as error:
                problems.append(error)
                faults.append("traffic")
            others: dict[str, Model] = {}
            for name, share in named.items():
                model = self._model(share.bundle, problems)
                if model is None:
                    faults.append(f"variant {name}")
                else:
                    others[name] = model
            self.faults = faults
            before = {name: variant.model for name, variant in self.variants.others.items()}
            if default is not self.variants.default.model or others != before or named != self.variants.traffic:
                self.variants = self._serve(default, others, named)
                models = {id(model) for model in (default, *others.values())}
                self._loaded = {name: model for name, model in self._loaded.items() if id(model) in models}
                serving = [self.variants.default, *self.variants.others.values()]
                log.info("serving: %s", ", ".join(f"{each.name} {each.version}" for each in serving))
            if problems:
                raise problems[0]

    def _current(self, problems: list[Exception]) -> Model | None:
        try:
            name = bundle.current_name(self._bundles)
        except (BundleError, OSError) as error:
            problems.append(error)
            return None
        return self._model(name, problems) if name else None

    def _model(self, name: str, problems: list[Exception]) -> Model | None:
        """The model of a bundle, loaded at its first use; None where that fails."""
        if name in self._loaded:
            return self._loaded[name]
        folder, started = self._bundles / name, time.monotonic()
        retry = self._retries.setdefault(name, Retry(folder))
        try:
            model = retry.attempt(lambda: self._catalogue.load(bundle.load(folder), self._declared))
        except Exception as error:
            problems.append(error)
            return None
        del self._retries[name]
        self._loaded[name] = model
        log.info("bundle %s loaded in %.1f s", name, time.monotonic() - started)
        return model

    def _serve(self, default: Model | None, others: Mapping[str, Model], named: Traffic) -> Variants:
        self._catalogue.serve(default, others.values())
        return Variants(
            self._variant(DEFAULT, default),
            {name: self._variant(name, model) for name, model in others.items()},
            dict(named),
        )

    def _variant(self, name: str, model: Model | None) -> Variant:
        return Variant(
            name,
            Pipeline(self._catalogue.columns, model, lists=self._popular, filters=self._filters, rules=self._rules),
        )
