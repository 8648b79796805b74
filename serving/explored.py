"""What the impression of an answer says of chance: what was drawn, and how probable it was."""

from __future__ import annotations

from typing import Any

from recommend.pipeline import Answer
from recommend.slot_context import CONTEXT_ID


def explored_fields(answer: Answer) -> dict[str, Any]:
    """Fields of the answer's impression; none where nothing was left to chance, so that such an impression costs no
    more than before."""
    drawn = answer.drawn
    if drawn is None:
        return {}
    found: dict[str, Any] = {"propensities": answer.propensities, "explored": drawn.positions}
    if drawn.contexts is not None:
        found |= {"contexts": drawn.contexts.astype("<f4").tobytes(), "context_id": CONTEXT_ID}
    return found
