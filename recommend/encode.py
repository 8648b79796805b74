"""Encodes the person with the model's encoder, so that `nearest` searches for that vector."""

from __future__ import annotations

from recommend.query import Query


def encode(query: Query) -> None:
    """Sets `query.encoded`; leaves the user vector in its place where the encoder says nothing of the person, such as
    one without a history in the bundle's space."""
    encoder = query.parts.encoder
    if encoder is not None:
        query.encoded = encoder.encode(query.request.user, query.columns, query.request.at)


def user_vector(query: Query) -> None:
    """The stream's user vector stands in where the encoder fails."""
    query.encoded = None
