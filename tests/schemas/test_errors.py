"""The exception tree: every reason is a word of its own, and every error says what and where."""

from __future__ import annotations

import pytest

from schemas import errors
from schemas.errors import EventError, FreshetError, InvalidEvent

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
OF_EVENTS = [kind for kind in ALL if issubclass(kind, EventError)]


def test_there_is_one_root() -> None:
    assert all(issubclass(kind, FreshetError) for kind in ALL)
    assert len(OF_EVENTS) < len(ALL)


def test_reasons_are_told_apart() -> None:
    leaves = [kind for kind in OF_EVENTS if kind is not EventError]
    assert len({kind.reason for kind in leaves}) == len(leaves)


@pytest.mark.parametrize("kind", OF_EVENTS)
def test_an_event_error_carries_its_three_parts(kind: type[EventError]) -> None:
    error = kind("is wrong", "properties.price")
    assert (error.detail, error.field, str(error)) == ("is wrong", "properties.price", "properties.price: is wrong")
    assert str(kind("is wrong")) == "is wrong"
    assert issubclass(kind, InvalidEvent) == (kind is InvalidEvent)
