"""Rankers, one a file. A surface names one, and weighs its heads."""

from recommend.rankers.blended import Blended
from recommend.rankers.cautious import Cautious
from recommend.rankers.favour import ByFavour
from recommend.rankers.in_order import ByDue, InOrder
from recommend.rankers.onnx import Onnx
from recommend.rankers.popularity import ByPopularity, ByVelocity, EventsNow
from recommend.rankers.scored import Scored
from recommend.rankers.together import ByCooccurrence

__all__ = [
    "Blended", "ByCooccurrence", "ByDue", "ByFavour", "ByPopularity", "ByVelocity", "Cautious", "EventsNow", "InOrder",
    "Onnx", "Scored",
]  # fmt: skip
