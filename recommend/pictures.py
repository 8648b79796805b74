"""Which picture of an item is shown: a bandit over the pictures of `attributes.images`, for the person's segment.

Thompson sampling (Thompson, 1933; Chapelle and Li, NIPS 2011): of each picture a rate is drawn from the Beta posterior
of what the stream has counted, and the picture with the largest one is shown. A segment is the category that the person
likes best. What was counted in other segments says a little of a picture: it counts as at most OTHERS impressions, so
that a new segment starts from what all of them prefer and soon goes by its own counts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from feature_repo.columns import Rows
from operators.picture_counts import MOST_PICTURES
from recommend.pipeline import Answer
from recommend.query import Query
from recommend.stage import Stage, StageError
from recommend.trace import STEPS, Trace
from schemas.events import Item

ATTRIBUTE = "images"
MOST = MOST_PICTURES
"""pictures of an item that are tried, the first ones"""
OTHERS = 20.0
"""impressions that those of a picture in other segments count as at most"""
PRIOR = (1.0, 5.0)
"""taken, and shown without being taken, before anything is counted"""
SEGMENT_LENGTH = 64
STEP, STAGE = STEPS[-1], Stage(name="pictures")
"""where the choice stands in the trace and the timings of an answer"""
PICTURES = 1
"""of the seeds for one request: draws of pictures do not depend on those of slots"""


class Pictures(NamedTuple):
    """The picture of each item of an answer, None where it has no choice of them, and the segment they are for."""

    images: list[str | None]
    segment: str
    failed: str | None = None
    """why the choice failed"""

    def logged(self) -> dict[str, Any]:
        """Fields of the answer's impression; none where no item has a choice of pictures."""
        if not any(self.images):
            return {}
        return {"images": self.images, "segment": self.segment or None}


NO_PICTURES = Pictures([], "")


def images_of(item: Item | None) -> list[str]:
    """The pictures of an item, MOST at most; none where there are fewer than two, and nothing to choose."""
    found = None if item is None else item.attributes.get(ATTRIBUTE)
    if not isinstance(found, list) or len(found) < 2:
        return []
    different = [image for image in dict.fromkeys(found) if image][:MOST]
    return different if len(different) > 1 else []


def segment_of(query: Query) -> str:
    """The segment of the person: the category that they like best, "" for somebody of whom none is known."""
    liked = query.liked
    best = max(liked, key=lambda name: liked[name], default="")
    return best[:SEGMENT_LENGTH].strip() if best and liked[best] > 0 else ""


def with_pictures(answer: Answer, seed: int | None, failed: str | None = None) -> tuple[Answer, Pictures]:
    """An answer whose trace and timings have the choice of pictures, and the pictures of its items: none where the
    choice fails, as it does where an earlier one of the same answer has `failed`. The same answer where no item has a
    choice. Never raises."""
    query, rows, trace = answer.query, answer.candidates.rows, Trace()

    def work() -> Pictures:
        if failed is not None:
            raise StageError(failed)
        return pictures(query, rows, seed)

    with trace.step(STEP):
        found, record = trace.run(STEP, STAGE, query, work, len(rows))
    chosen = found or Pictures([None] * len(rows), "", record.failed if record else None)
    if record is None or not (found is None or any(chosen.images)):
        return answer, chosen
    record.candidates_out = sum(image is not None for image in chosen.images)
    if found is None:
        record.fell_back = "no picture is chosen"
    spent = answer.timings_ms.get(STEP, 0.0) + trace.timings_ms[STEP]
    return (
        replace(
            answer,
            trace=[*answer.trace, record],
            degraded=[step for step in STEPS if step in answer.degraded or step in trace.degraded],
            timings_ms=answer.timings_ms | {STEP: round(spent, 3)},
        ),
        chosen,
    )


def pictures(query: Query, rows: Rows, seed: int | None) -> Pictures:
    """The pictures of the items at `rows` (n,); without a seed those with the largest expected rate. Of an item with
    fewer than two pictures nothing but that is looked at."""
    items = query.columns.items
    choices = [
        (place, row, found)
        for place, row in enumerate(rows.tolist())
        if (item := items[row]) is not None and ATTRIBUTE in item.attributes and (found := images_of(item))
    ]
    images: list[str | None] = [None] * len(rows)
    if not choices:
        return Pictures(images, "")
    segment, arms = segment_of(query), query.columns.arms
    own, everywhere = arms.pictures([(row, found) for _, row, found in choices], segment, query.at)
    shown = np.maximum(everywhere.shown - own.shown, 0.0)
    taken = (everywhere.taken - own.taken).clip(0.0, shown)
    worth = OTHERS / np.maximum(shown, OTHERS)
    a = PRIOR[0] + own.taken + worth * taken
    b = PRIOR[1] + (own.shown - own.taken) + worth * (shown - taken)
    rates = a / (a + b) if seed is None else np.random.default_rng((seed, PICTURES)).beta(a, b)
    start = 0
    for place, _, found in choices:
        images[place] = found[int(rates[start : start + len(found)].argmax())]
        start += len(found)
    return Pictures(images, segment)
