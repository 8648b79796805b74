"""Partners by row."""

from __future__ import annotations

import numpy as np
import pytest

from feature_repo.partners import Partners


def test_pairs_of_several_items_in_their_order() -> None:
    found = Partners()
    found.put(3, [7, 1], [0.5, 0.25])
    found.put(9, [3], [1.0])
    pairs = found.of([9, 5, 3])
    assert pairs.sources.tolist() == [0, 2, 2]
    assert pairs.partners.tolist() == [3, 7, 1]
    assert pairs.shares.tolist() == pytest.approx([1.0, 0.5, 0.25])
    assert pairs.partners.dtype == np.int64


def test_partners_are_replaced_and_dropped() -> None:
    found = Partners()
    found.put(3, [7, 1], [0.5, 0.25])
    found.put(3, [2], [0.5])
    assert found.of([3]).partners.tolist() == [2]
    found.put(3, [], [])
    assert len(found) == 0
    assert len(found.of([3]).partners) == 0
