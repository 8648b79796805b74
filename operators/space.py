"""Embedding spaces: vectors of trained items, and of other items from their content tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import mmh3
import numpy as np
import numpy.typing as npt

from operators.contract import Vector
from schemas.bundle import Bundle
from schemas.errors import BundleError
from schemas.events import Item

WORD = re.compile(r"[a-z0-9]{2,}")
MAX_TOKENS = 256
UNKNOWN_SHARE = 0.35
"""length of what an item's unknown tokens add to the unit vector of its known ones: the known ones dominate"""
SMALLEST = 1e-6
"""length at which a vector has no direction"""
HASHED = 4096
"""vectors of unknown tokens that are kept: those of most are of few words and brands, which many new items have"""
CACHED = 20_000
"""content vectors of items that a BundleSpace keeps"""
LEARNED = np.uint64(0)
"""origin of a vector that people's behaviour is part of"""
STEP = np.uint64(0x9E3779B97F4A7C15)


def tokens(item: Item) -> list[str]:
    """An item's content: its categories, brand, title words and attributes."""
    found = [f"category:{c.casefold()}" for c in item.categories]
    if item.brand:
        found.append(f"brand:{item.brand.casefold()}")
    found += words(item.title)
    for name, value in item.attributes.items():
        values = value if isinstance(value, list) else [value]
        found += [f"{name}:{str(v).casefold()}" for v in values]
    return list(dict.fromkeys(found))[:MAX_TOKENS]


def words(text: str) -> list[str]:
    """The tokens of a text."""
    return [f"word:{w}" for w in WORD.findall(text.casefold())]


def origin(names: Sequence[str]) -> int:
    """Unsigned 64-bit hash of content tokens, never 0: the same tokens make the same vector of a space."""
    return int(mmh3.hash64("\0".join(names), signed=False)[0]) | 1


@lru_cache(HASHED)
def hashed(token: str, dim: int) -> npt.NDArray[np.float32]:
    """A unit vector (dim,), read-only, that depends on the token's text alone, in any process and version of NumPy.

    Numbers of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) seeded by Murmur3 of the token, uniform in -1 … 1: for
    different tokens nearly at right angles to one another in a space of many dimensions.
    """
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64
        state = np.uint64(mmh3.hash64(token, signed=False)[0]) + STEP * np.arange(1, dim + 1, dtype=np.uint64)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    found = (state >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0
    unit = np.asarray(found / np.sqrt(found @ found), np.float32)
    unit.flags.writeable = False  # it is kept
    return unit


class EmptySpace:
    """No bundle yet: every vector is unknown."""

    id = ""
    dim = 0

    def vector(self, item_id: str) -> Vector | None:
        return None


class Content:
    """Vectors of bags of content tokens.

    The sum of the tokens' vectors, scaled to length 1. A token that training has not met, or learned nothing of, has a
    vector by its hash: items that share such tokens are near one another, and known tokens dominate.
    """

    def __init__(self, names: Iterable[str], vectors: npt.NDArray[np.float32], dim: int) -> None:
        """`vectors` (tokens, dim) in the order of `names`."""
        self.dim = dim
        self._vectors = vectors
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors)) if len(vectors) else np.zeros(0)
        has = (lengths > SMALLEST).tolist()
        self._row_of = {name: row for row, name in enumerate(names) if has[row]}

    def bag(self, names: Sequence[str]) -> Vector | None:
        """Unit vector (dim,) of a bag of tokens, such as a new person's interests; None for an empty bag, and for
        tokens that cancel one another out."""
        known = self._known(names)
        unknown = [name for name in names if name not in self._row_of]
        if not unknown or not self.dim:
            return known
        rest = _unit(np.sum([hashed(name, self.dim) for name in unknown], axis=0))
        if known is None or rest is None:
            return known if rest is None else rest
        return _unit(known + np.float32(UNKNOWN_SHARE) * rest)

    def text(self, text: str) -> Vector | None:
        """Unit vector (dim,) of a text's words, such as a search, or None where all of them are unknown: a hash says
        nothing of what a search means."""
        return self._known(words(text)[:MAX_TOKENS])

    def _known(self, names: Sequence[str]) -> Vector | None:
        rows = [row for name in names if (row := self._row_of.get(name)) is not None]
        return _unit(self._vectors[rows].sum(axis=0)) if rows else None


class BundleSpace:
    """One space of a bundle, for operators.

    A learned item has its own vector. Any other has that of its content as the catalogue has it now, so that an item
    posted, or edited, a second ago has a place among the rest.
    """

    def __init__(
        self,
        space_id: str,
        item_ids: Sequence[str],
        vectors: npt.NDArray[np.float32],
        content: Content,
        item: Callable[[str], Item | None],
        origins: npt.NDArray[np.uint64] | None = None,
    ) -> None:
        """`item` finds the catalogue entry of an item; `origins` (items,) as in schemas/bundle.py, LEARNED for all
        where not given."""
        self.id = space_id
        self.dim = vectors.shape[1]
        self.content = content
        self._vectors = vectors
        self._label_of = {item_id: label for label, item_id in enumerate(item_ids)}
        self._origins = np.zeros(len(vectors), np.uint64) if origins is None else origins
        self._learned: list[bool] = (self._origins == LEARNED).tolist()
        self._item = item
        self._made: dict[str, tuple[Item, Vector | None]] = {}

    @classmethod
    def of(cls, bundle: Bundle, item: Callable[[str], Item | None], name: str = "") -> BundleSpace:
        """A space of a bundle on disk, that of the job's user vectors where no name is given. Raises BundleError."""
        stored = bundle.space(name)
        try:
            return cls(
                stored.part.id,
                [item_id for chunk in stored.item_ids() for item_id in chunk],
                stored.vectors,
                Content((token for chunk in stored.tokens() for token in chunk), stored.content, stored.part.dim),
                item,
                stored.origins,
            )
        except (ValueError, EOFError, IndexError) as error:
            raise BundleError(f"{bundle.version}: {error}") from error

    def vector(self, item_id: str) -> Vector | None:
        """Unit vector (dim,), or None where neither training nor the catalogue says anything of the item."""
        label = self._label_of.get(item_id)
        if label is not None and self._learned[label]:
            return self._vectors[label]
        item = self._item(item_id)
        if item is None:
            return None if label is None else self._vectors[label]
        made = self._made.get(item_id)
        if made is None or made[0] is not item:
            if len(self._made) >= CACHED:
                self._made.clear()
            made = self._made[item_id] = item, self._of_content(item, label)
        return made[1]

    def _of_content(self, item: Item, label: int | None) -> Vector | None:
        names = tokens(item)
        if label is not None and self._origins[label] == origin(names):
            return self._vectors[label]
        return self.content.bag(names)


def _unit(total: npt.NDArray[np.float32]) -> Vector | None:
    length = float(np.linalg.norm(total))
    return (total / length).astype(np.float32) if length > SMALLEST else None
