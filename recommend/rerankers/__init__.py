"""Re-rankers, one a file. A surface names those that it uses, and how strong they are."""

from recommend.rerankers.calibrated import Calibrated
from recommend.rerankers.determinantal import Determinantal
from recommend.rerankers.informative import Informative
from recommend.rerankers.mmr import Diverse, Mmr
from recommend.rerankers.new_slots import NewSlots
from recommend.rerankers.serendipity import Serendipity
from recommend.rerankers.tradeoff import Tradeoff

__all__ = ["Calibrated", "Determinantal", "Diverse", "Informative", "Mmr", "NewSlots", "Serendipity", "Tradeoff"]
