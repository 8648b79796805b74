"""Items that a person has met: what a feed leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from operators.contract import CellAggregation, Cells, Field, Signal, World
from operators.hashes import CHUNK, Hashes, HashLog, hash64

SEEN = "seen"
KEEP = 5000


def seen_slots(keep: int) -> int:
    """In how many chunks the last `keep` hashes of a log can lie, and the one that is being filled."""
    return keep // CHUNK + 2


def seen_hashes(row: Mapping[str, Any], keep: int = KEEP) -> Hashes:
    """Hashes of the items that a person has met, the oldest first, from a row of `Seen`'s cells (field name → value).

    Raises StateError where the cells do not belong together.
    """
    log = HashLog.of(row, SEEN, seen_slots(keep), keep)
    return np.frombuffer(log.hashes, np.uint64)[-keep:] if log.n else np.zeros(0, np.uint64)


@dataclass(frozen=True)
class Seen(CellAggregation[HashLog]):
    """Items a person has met, as hashes: what a feed leaves out. `seen_hashes` reads them from a row.

    They have no feature but the cells of their state. The oldest meeting is forgotten first, one at a time; a chunk
    goes once all of it is forgotten.
    """

    types: frozenset[str]
    keep: int = KEEP
    state: type[HashLog] = HashLog
    head: Any = None
    fields: tuple[Field, ...] = ()

    @property
    def cells(self) -> tuple[Field, ...]:
        said = "hash64 of items met, packed uint64: see operators/seen.py"
        chunks = (Field(f"{SEEN}_{n}", "bytes", b"", "more of them") for n in range(seen_slots(self.keep)))
        return (Field(SEEN, "bytes", b"", said), *chunks)

    def new(self) -> HashLog:
        return HashLog(SEEN, seen_slots(self.keep))

    def split(self, state: HashLog) -> tuple[None, Cells]:
        return None, state.cells

    def join(self, head: None, cells: Cells) -> HashLog:
        return HashLog.of(cells, SEEN, seen_slots(self.keep), self.keep)

    def update(self, state: HashLog, signal: Signal, world: World) -> None:
        if signal.item_id and signal.event_type in self.types:
            hashed = hash64(signal.item_id)
            if not state.contains(hashed, state.n - self.keep):
                state.append(hashed)
                if state.n > self.keep:
                    state.drop_before(state.n - self.keep)

    def values(self, state: HashLog, at: int) -> tuple[Any, ...]:
        return ()

    def due(self, state: HashLog, at: int) -> int | None:
        return None
