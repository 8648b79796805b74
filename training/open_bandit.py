"""Open Bandit (ZOZOTOWN; Saito et al., NeurIPS 2021): 10,000 impressions of a campaign under the uniform policy.

The data are inside the PyPI package obp; `make prove` installs it. An impression has the item shown, whether it was
clicked, and the visitor's segments.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from training.datasets import DatasetMissing


class RandomLog(NamedTuple):
    """Impressions under the uniform policy, (n,) each."""

    items: npt.NDArray[np.int64]
    """0 … k-1"""
    clicks: npt.NDArray[np.bool_]
    segments: npt.NDArray[np.int64]
    """of the visitor, 0 … s-1, the largest first"""


def random_log(campaign: str = "men", by: str = "user_feature_2", folder: Path | None = None) -> RandomLog:
    """The log of one campaign; visitors' segments are the values of the column `by`. `folder` has a folder a campaign;
    None is the one inside obp. Raises DatasetMissing."""
    import pandas as pd

    path = (folder or _installed()) / campaign / f"{campaign}.csv"
    try:
        found = pd.read_csv(path, usecols=["item_id", "click", by])
    except OSError as error:
        raise DatasetMissing(f"{path.name}: {error.strerror}; run `make prove`") from None
    largest = found[by].value_counts().index
    segments = found[by].map({value: k for k, value in enumerate(largest)})
    return RandomLog(found["item_id"].to_numpy(np.int64), found["click"].to_numpy(bool), segments.to_numpy(np.int64))


def _installed() -> Path:
    found = find_spec("obp")  # its code is not imported: it would import what is not installed
    if found is None or not found.submodule_search_locations:
        raise DatasetMissing("Open Bandit comes with the package obp: `make prove` installs it")
    return Path(found.submodule_search_locations[0]) / "dataset" / "obd" / "random"
