"""Encoders of people. A surface names one."""

from __future__ import annotations

from dataclasses import dataclass

from operators.contract import Vector
from recommend.query import Query
from recommend.stage import Encoder


@dataclass(frozen=True, kw_only=True)
class ModelEncoder(Encoder):
    """Runs the model's ONNX encoder over the person's last items. Does not apply where the model has none for the
    surface."""

    name: str = "model_encoder"

    def applies(self, query: Query) -> bool:
        return query.parts.encoder is not None

    def encode(self, query: Query) -> Vector | None:
        encoder = query.parts.encoder
        return encoder.encode(query.user, query.columns, query.at) if encoder else None
