"""A bundle's feed over a replay: retrieve, filter, rank, with no server around it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime

from feature_repo.ranking import NAMES, Request, matrix
from operators.contract import Record
from schemas.bundle import Bundle
from schemas.errors import BundleError
from schemas.events import Interaction
from training.examples import Log, candidates, replay, unseen
from training.factors import Space
from training.ranker import INPUT


class Feed:
    """Answers for any person as of any moment after the log; `apply` brings it further."""

    def __init__(self, bundle: Bundle, log: Log, regions: Mapping[str, str], seed: int = 0) -> None:
        """Loads the bundle and replays the log; `regions` is where each user asks from.

        Raises BundleError where the bundle's ranker wants other inputs than ours.
        """
        if bundle.manifest.features != list(NAMES):
            raise BundleError(f"{bundle.version}: made for other ranker inputs")
        space = Space(
            bundle.item_ids, np.array(bundle.array("vectors")), bundle.tokens, np.array(bundle.array("content"))
        )
        self._space_id = space.id
        self._driver, self._live = replay(log, space)
        self._regions = regions
        self._chance = np.random.default_rng(seed)
        self._session = onnxruntime.InferenceSession(
            (bundle.path / "ranker.onnx").read_bytes(), providers=["CPUExecutionProvider"]
        )

    def apply(self, event: Interaction) -> None:
        """Takes an event in."""
        self._live.hear(self._driver.feed(Record(event)))

    def recommend(self, user_id: str, at: int, n: int = 20) -> list[str]:
        """Item ids of the feed, best first; `at` in epoch ms, never before an earlier call's."""
        request = Request(
            self._driver.user_row(user_id, at),
            self._live.at(at),
            at,
            self._regions.get(user_id, ""),
            self._space_id,
        )
        rows = candidates(request, self._chance)
        rows = rows[unseen(request, rows)]
        if not len(rows):
            return []
        scores = self._session.run(None, {INPUT: matrix(request, rows)})[0].reshape(-1)
        return [request.items.ids[row] for row in rows[np.argsort(-scores, kind="stable")[:n]]]
