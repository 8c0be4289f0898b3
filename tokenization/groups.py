"""Rows that share something: numbering the groups, and ranks within them.

Shape letters in this file: N rows, P columns of keys.
"""

from typing import Any

import numpy as np

from genrec.tokenization.arrays import Rows


def group_rows(keys_NP: Rows) -> Rows:
    """Number the distinct rows of keys: equal rows get equal numbers, counted from 0."""
    group_N = np.zeros(len(keys_NP), dtype=np.int64)
    for key_N in keys_NP.T:
        # Numbered anew after every column, so that no product of codebook sizes can overflow.
        mixed_N = group_N * (int(key_N.max()) + 1) + key_N
        group_N = np.unique(mixed_N, return_inverse=True)[1]
    return group_N


def rank_in_group(group_N: Rows, *order_by: np.ndarray[Any, Any]) -> Rows:
    """Rank the members of each group from 0, by the keys in their order; ties go by row."""
    order_N = np.lexsort((np.arange(len(group_N)), *reversed(order_by), group_N))
    sorted_N = group_N[order_N]
    starts_N = np.flatnonzero(np.diff(sorted_N, prepend=-1))
    rank_N = np.empty_like(group_N)
    rank_N[order_N] = np.arange(len(group_N)) - np.repeat(
        starts_N, np.diff(starts_N, append=len(group_N))
    )
    return rank_N
