"""A surface: the stages of one kind of answer, as a value. A variant of it is made with `dataclasses.replace`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from recommend.candidate_set import MAX_RETRIEVERS
from recommend.stage import Encoder, Explainer, Filter, Ranker, Reranker, Retriever

OWN_SOURCES = 2
"""sources that every surface has: its fallback, and rules"""


class Paging(NamedTuple):
    """The default and the largest number of items in an answer, and how many best items are put on one list, of which
    pages are cut until it is used up and a new one is made."""

    default: int = 20
    most: int = 200
    depth: int = 200


PAGING = Paging()


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Stages in the order in which they run."""

    name: str
    personal: bool = False
    """whether it answers a person; `/v1/users/{id}/feed` serves all that do"""
    encoder: Encoder | None = None
    retrievers: tuple[Retriever, ...]
    filters: tuple[Filter, ...]
    ranked: int = 500
    """candidates that go on to the ranker at most"""
    ranker: Ranker
    objective: Mapping[str, float] | None = None
    """head of the ranker → weight: what is ranked by is their weighted sum. None leaves the weights to the ranker, as a
    bundle names those of its own"""
    rerankers: tuple[Reranker, ...] = ()
    explainer: Explainer | None = None
    fallback: Retriever | None = None
    """fills the answer up where fewer than n candidates pass the filters. By the way they are made, its rows meet every
    filter that fails closed"""
    paging: Paging = PAGING
    parts_of: str = ""
    """the surface whose parts of a bundle are used; its own where empty"""
    reports: bool = False
    """whether filters mark the candidates that they would remove, and remove none"""

    def __post_init__(self) -> None:
        """Raises ValueError where the stages do not fit together."""
        names = [retriever.name for retriever in self.retrievers]
        if len(set(names)) < len(names) or len(names) > MAX_RETRIEVERS - OWN_SOURCES:
            raise ValueError(
                f"{self.name}: retrievers need different names; at most {MAX_RETRIEVERS - OWN_SOURCES} fit"
            )
