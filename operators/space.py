"""Embedding spaces: vectors of trained items, and of new ones from what they are made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from operators.contract import Vector
from schemas.bundle import Bundle
from schemas.events import Item

WORD = re.compile(r"[a-z0-9]{2,}")
MAX_TOKENS = 256


def tokens(item: Item) -> list[str]:
    """What an item is made of: its categories, brand, title words and attributes."""
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


class EmptySpace:
    """No bundle yet: every vector is unknown."""

    id = ""
    dim = 0

    def vector(self, item_id: str) -> Vector | None:
        return None

    def text_vector(self, text: str) -> Vector | None:
        return None


class BundleSpace:
    """The space of one bundle.

    A trained item has its row of `vectors`; any other the normalized sum of its tokens' vectors,
    so that an item posted a second ago has a place among the rest.
    """

    def __init__(
        self,
        space_id: str,
        item_ids: Sequence[str],
        vectors: npt.NDArray[np.float32],
        content_tokens: Sequence[str],
        content: npt.NDArray[np.float32],
        item: Callable[[str], Item | None],
    ) -> None:
        """`item` finds the catalogue entry of an item without a trained vector."""
        self.id = space_id
        self.dim = vectors.shape[1]
        self.vectors = vectors
        self.row_of = {item_id: row for row, item_id in enumerate(item_ids)}
        self._token_row = {token: row for row, token in enumerate(content_tokens)}
        self._content = content
        self._item = item

    @classmethod
    def of(cls, bundle: Bundle, item: Callable[[str], Item | None]) -> BundleSpace:
        """The space of a bundle on disk."""
        return cls(
            bundle.manifest.space_id,
            bundle.item_ids,
            bundle.array("vectors"),
            bundle.tokens,
            bundle.array("content"),
            item,
        )

    def vector(self, item_id: str) -> Vector | None:
        """Unit vector (dim,), or None where neither training nor the catalogue knows the item."""
        row = self.row_of.get(item_id)
        if row is not None:
            return self.vectors[row]
        item = self._item(item_id)
        return None if item is None else self.content_vector(item)

    def content_vector(self, item: Item) -> Vector | None:
        """Unit vector (dim,) from the item's tokens, or None where all of them are unknown."""
        return self.tokens_vector(tokens(item))

    def text_vector(self, text: str) -> Vector | None:
        """Unit vector (dim,) of a text's words, such as a search, or None where all of them are unknown."""
        return self.tokens_vector(words(text)[:MAX_TOKENS])

    def tokens_vector(self, names: Sequence[str]) -> Vector | None:
        """Unit vector (dim,) of a bag of tokens, such as a new person's interests."""
        rows = [row for name in names if (row := self._token_row.get(name)) is not None]
        if not rows:
            return None
        total = self._content[rows].sum(axis=0)
        length = float(np.linalg.norm(total))
        return (total / length).astype(np.float32) if length > 1e-9 else None
