"""The reader of Open Bandit, on a file of its format."""

from __future__ import annotations

from pathlib import Path

import pytest

from training import open_bandit
from training.datasets import DatasetMissing
from training.open_bandit import random_log

CSV = """,timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_2
0,2019-11-24 00:00:00+00:00,3,1,0,0.02,x,young
1,2019-11-24 00:00:01+00:00,0,2,1,0.02,x,old
2,2019-11-24 00:00:02+00:00,3,3,1,0.02,y,old
"""


def test_items_clicks_and_segments(tmp_path: Path) -> None:
    (tmp_path / "men").mkdir()
    (tmp_path / "men" / "men.csv").write_text(CSV)
    found = random_log(folder=tmp_path)
    assert found.items.tolist() == [3, 0, 3]
    assert found.clicks.tolist() == [False, True, True]
    assert found.segments.tolist() == [1, 0, 0], "the largest first"


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetMissing, match=r"men\.csv.*make prove"):
        random_log(folder=tmp_path)
    monkeypatch.setattr(open_bandit, "find_spec", lambda name: None)
    with pytest.raises(DatasetMissing, match="make prove"):
        random_log()
