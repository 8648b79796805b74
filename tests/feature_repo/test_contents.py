"""Signatures never hide an item that shares tokens, and follow every change of an item."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.columns import ItemColumns
from feature_repo.contents import shared_at_most
from schemas.events import Item

WORDS = st.lists(st.sampled_from([f"w{n}" for n in range(200)]), max_size=30)


def item(item_id: str, words: list[str]) -> Item:
    return Item(item_id=item_id, title=" ".join(words), categories=words[:3])


@given(st.lists(WORDS, min_size=1, max_size=8), WORDS)
def test_no_item_shares_more_tokens_than_its_signature_allows(entries: list[list[str]], words: list[str]) -> None:
    columns = ItemColumns(4)
    for n, entry in enumerate(entries):
        columns.put_item(item(f"i{n}", entry))
    rows = np.arange(len(entries))
    own = columns.contents.of(columns.put_item(item("own", words)))
    most = shared_at_most(own, columns.signatures(rows))
    shared = [len(own & columns.contents.of(row)) for row in rows.tolist()]
    assert all(a <= b for a, b in zip(shared, most.tolist(), strict=True))


def test_a_signature_follows_the_item() -> None:
    columns = ItemColumns()
    rows = np.array([columns.put_item(item("a", ["w1", "w2"])), columns.row("without_an_entry")])
    before = columns.signatures(rows)
    assert before[1] == 0
    assert (columns.signatures(rows) == before).all()
    columns.put_item(item("a", ["w3"]))
    columns.put_item(item("without_an_entry", ["w4"]))
    after = columns.signatures(rows)
    assert shared_at_most(columns.contents.of(0), after)[0] == len(columns.contents.of(0))
    assert after[0] != before[0]
    assert after[1] != 0
