"""Rankers, one a file. A surface names one, and weighs its heads."""

from recommend.rankers.cosine import Cosine
from recommend.rankers.onnx import Onnx
from recommend.rankers.popularity import ByPopularity, EventsNow
from recommend.rankers.together import Together

__all__ = ["ByPopularity", "Cosine", "EventsNow", "Onnx", "Together"]
