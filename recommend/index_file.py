"""Opens the file of an HNSW index while other threads go on.

`hnswlib.Index.load_index` holds Python's lock from start to end, 2 µs an item, so that no request is answered
meanwhile. Here the file is read with NumPy, which releases the lock, and handed over as the state of a pickled index:
the lock is held for copying it alone, about a fifth of that time.

The layout is that of hnswlib 0.8 (`HierarchicalNSW::saveIndex`): a header, `items` blocks of equal size with the links
of the lowest layer, the vector and the label, and then for each item the length of its upper links in bytes and these.
"""

from __future__ import annotations

import struct
from pathlib import Path

import hnswlib
import numpy as np
import numpy.typing as npt

from schemas.errors import BundleError

HEADER = struct.Struct("<6QiI3QdQ")
STATE = 1
"""version of the pickled state"""
LABEL = np.dtype(np.uint64)
LINK = np.dtype(np.uint32)
DELETED_AT = 2
"""byte of a block's links whose lowest bit says that the item is deleted"""


def read(path: Path, dim: int, capacity: int) -> hnswlib.Index:
    """The index by inner product at `path`, over vectors (items, dim), with room for `capacity` items.

    Raises BundleError where the file is not one, or is of vectors of another dimension.
    """
    whole = np.asarray(np.memmap(path, np.uint8, "r")) if path.stat().st_size else np.zeros(0, np.uint8)
    if len(whole) < HEADER.size:
        raise BundleError(f"{path.name}: not an index")
    (
        links_at, _, items, block, label_at, vector_at, top, entry, most, most_lowest, m, mult, ef_construction,
    ) = HEADER.unpack(whole[: HEADER.size])  # fmt: skip
    begin = HEADER.size + items * block
    sizes = links_at, vector_at, label_at, block
    if sizes != (0, LINK.itemsize * (most_lowest + 1), sizes[1] + 4 * dim, sizes[2] + LABEL.itemsize):
        raise BundleError(f"{path.name}: not an index over vectors of {dim} numbers")
    if begin > len(whole) or (len(whole) - begin) % LINK.itemsize:
        raise BundleError(f"{path.name}: the file is not complete")
    blocks = whole[HEADER.size : begin].reshape(items, block)
    layer = LINK.itemsize * (most + 1)
    levels, links = _upper(path, whole[begin:].view(LINK) if begin % 4 == 0 else _words(whole[begin:]), items, layer)
    state = {
        "ser_version": STATE, "space": "ip", "dim": dim, "index_inited": True, "ep_added": True, "normalize": False,
        "num_threads": 1, "seed": 0, "offset_level0": links_at, "max_elements": max(capacity, items),
        "cur_element_count": items, "size_data_per_element": block, "label_offset": label_at,
        "offset_data": vector_at, "max_level": top, "enterpoint_node": entry, "max_M": most, "max_M0": most_lowest,
        "M": m, "mult": mult, "ef_construction": ef_construction, "ef": 10, "size_links_per_element": layer,
        "has_deletions": bool((blocks[:, DELETED_AT] & 1).any()), "allow_replace_deleted": False,
        "label_lookup_external": np.ascontiguousarray(blocks[:, label_at:]).view(LABEL).reshape(items),
        "label_lookup_internal": np.arange(items, dtype=LINK), "element_levels": levels,
        "data_level0": blocks.reshape(-1).view(np.int8), "link_lists": links.view(np.int8),
    }  # fmt: skip
    found = hnswlib.Index.__new__(hnswlib.Index)
    try:
        found.__setstate__((state,))
    except RuntimeError as error:
        raise BundleError(f"{path.name}: {error}") from error
    return found


def _words(rest: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    return rest.copy().view(LINK)


def _upper(
    path: Path, words: npt.NDArray[np.uint32], items: int, layer: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint32]]:
    """(upper layers of each item, their links). `layer` is the size of one layer's links in bytes; few items have any,
    so that only those are looked at one by one."""
    levels = np.zeros(items, np.int32)
    some = np.flatnonzero(words)
    parts = []
    item = at = 0
    while True:
        next_one = int(some.searchsorted(at))
        if next_one == len(some):
            item, at = item + len(words) - at, len(words)
            break
        item, at = item + int(some[next_one]) - at, int(some[next_one])
        size = int(words[at])
        end = at + 1 + size // LINK.itemsize
        if size % layer or item >= items or end > len(words):
            raise BundleError(f"{path.name}: the links of item {item} cannot be read")
        levels[item] = size // layer
        parts.append(words[at + 1 : end])
        item, at = item + 1, end
    if item != items:
        raise BundleError(f"{path.name}: it has links of {item} items instead of {items}")
    return levels, np.concatenate(parts) if parts else np.zeros(0, LINK)
