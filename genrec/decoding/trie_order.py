"""In which order the items of a trie stand, without sorting them twice.

Shape letters in this file: N items, L levels, O items of the order before, A items that are new.
"""

import math
from typing import Any

import numpy as np

from genrec.semantic_ids import SemanticIds

Ranks = np.ndarray[Any, np.dtype[np.int64]]
Keys = np.ndarray[Any, np.dtype[np.int64]]


def sorted_order(ids: SemanticIds) -> Ranks:
    """Return the rows of all items, sorted by their codes and then by row."""
    if math.prod(ids.codebook_sizes) > np.iinfo(np.int64).max:
        by_level: Ranks = np.lexsort(ids.codes_NL.T[::-1])
        return by_level
    key_N = _keys(ids)
    # Sorting one number an item is several times as fast as sorting stably by all levels.
    return _ties_by_row(np.argsort(key_N), key_N)


def merged_order(ids: SemanticIds, before_O: Ranks, old_row_N: Ranks) -> Ranks:
    """Return what :func:`sorted_order` would, given the order before some items came and went.

    Args:
        ids: The IDs of all items that there are now.
        before_O: The rows, as they were, in their order.
        old_row_N: The row that each item had, or -1 for a new one.

    Raises:
        ValueError: When items that stay have other IDs or come in another order.
    """
    if len(old_row_N) != len(ids):
        raise ValueError(f"old rows are given for {len(old_row_N)} items, but there are {len(ids)}")
    stays_N = old_row_N >= 0
    stayed = old_row_N[stays_N]
    if len(stayed) and (stayed.max() >= len(before_O) or (np.diff(stayed) <= 0).any()):
        raise ValueError("the items that stay must come in the order in which they came, each once")
    if math.prod(ids.codebook_sizes) > np.iinfo(np.int64).max:
        return sorted_order(ids)
    row_of_O = np.full(len(before_O), -1, dtype=np.int64)
    row_of_O[stayed] = np.flatnonzero(stays_N)
    kept = row_of_O[before_O]
    kept = kept[kept >= 0]
    key_N = _keys(ids)
    if (np.diff(key_N[kept]) < 0).any():
        raise ValueError(
            "an item that stays has another ID than before; index the catalogue anew with "
            "TokenTrie.from_semantic_ids"
        )
    new_A = np.flatnonzero(~stays_N)
    new_A = new_A[np.argsort(key_N[new_A], kind="stable")]
    places_A = np.searchsorted(key_N[kept], key_N[new_A], side="right")
    return _ties_by_row(np.insert(kept, places_A, new_A), key_N)


def _ties_by_row(order_N: Ranks, key_N: Keys) -> Ranks:
    """Put items that share an ID in the order of their rows."""
    key_N = key_N[order_N]
    ties_N = np.zeros(len(order_N), dtype=bool)
    ties_N[1:] = key_N[1:] == key_N[:-1]
    ties_N[:-1] |= ties_N[1:]
    if ties_N.any():
        tied = order_N[ties_N]
        order_N[ties_N] = tied[np.lexsort((tied, key_N[ties_N]))]
    return order_N


def _keys(ids: SemanticIds) -> Keys:
    """Write every ID as one number that sorts as its codes do."""
    key_N = np.zeros(len(ids), dtype=np.int64)
    for codes_N, size in zip(ids.codes_NL.T, ids.codebook_sizes, strict=True):
        key_N *= size
        key_N += codes_N
    return key_N
