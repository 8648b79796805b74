"""Small bundles for tests: random unit vectors, no ranker unless asked for."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from schemas import bundle


def write_bundle(bundles: Path, item_ids: list[str], dim: int = 8, seed: int = 0, version: str = "test") -> str:
    """Publishes vectors for the items, and content vectors for categories c0 … c3. Returns the version."""
    rng = np.random.default_rng(seed)

    def unit(rows: int) -> np.ndarray:
        found = rng.normal(size=(rows, dim)).astype(np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    tokens = [f"category:c{n}" for n in range(4)]
    with bundle.publish(bundles, version) as folder:
        (folder / "items.json").write_bytes(msgspec.json.encode(item_ids))
        (folder / "tokens.json").write_bytes(msgspec.json.encode(tokens))
        np.save(folder / "vectors.npy", unit(len(item_ids)))
        np.save(folder / "content.npy", unit(len(tokens)))
        bundle.seal(
            folder, version=version, space_id=f"space-{seed}", dim=dim, items=len(item_ids),
            features=[], created_at=0, metrics={},
        )  # fmt: skip
    return version
