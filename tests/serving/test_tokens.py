"""Tokens say where a receipt's events lie, and nothing else is one."""

from __future__ import annotations

import base64
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.tokens import MAX_LENGTH, InvalidToken, Token

PLACES = st.lists(
    st.tuples(st.sampled_from(["interactions", "users", "items"]), st.integers(0, 300), st.integers(0, 2**50))
)


@given(st.text(max_size=20), PLACES)
def test_a_token_comes_back_with_the_last_offset_of_each_partition(
    issuer: str, places: list[tuple[str, int, int]]
) -> None:
    found = Token.decode(Token.of(issuer, places).encode())
    assert found.issuer == issuer
    flat = {(topic, p): offset for topic, offsets in found.places.items() for p, offset in offsets.items()}
    assert flat == {(t, p): max(o for t2, p2, o in places if (t2, p2) == (t, p)) for t, p, _ in places}


@given(PLACES)
def test_a_token_fits_a_url(places: list[tuple[str, int, int]]) -> None:
    assert Token.of("me", places).encode().replace("-", "").replace("_", "").isalnum()


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(value)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "!!!", "ä", "A" * 5, encoded(7), encoded(["me"]), encoded(["me", {"interactions": {0: -1}}]),
        encoded(["me", {"interactions": {-1: 1}}]), encoded(["me", {"interactions": {0: 2**63}}]), encoded([1, {}]),
        encoded(["me", {"interactions": [1]}]), encoded(["me", {}, "more"]), Token("me", {}).encode() + "\n",
    ],
)  # fmt: skip
def test_anything_else_is_no_token(text: str) -> None:
    with pytest.raises(InvalidToken, match="is not a token from a receipt"):
        Token.decode(text)


def test_a_token_has_a_longest_length() -> None:
    with pytest.raises(InvalidToken, match="longer"):
        Token.decode("A" * (MAX_LENGTH + 1))


@given(st.text(max_size=100))
def test_text_of_any_kind_is_a_token_or_says_that_it_is_none(text: str) -> None:
    with suppress(InvalidToken):
        assert isinstance(Token.decode(text), Token)
