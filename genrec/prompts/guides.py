"""What stands for the items that a search finds while a model learns to draw.

Shape letters in this file: N items, T codes of a picture, M items of the same kind.
"""

from typing import Any

import numpy as np

from genrec.semantic_ids import SemanticIds

Ints = np.ndarray[Any, np.dtype[np.int64]]

MOST_KIN = 64
"""Items of the same kind that are looked at for each picture."""


class Guides:
    """Draws items that are like one, as those are that a good search finds for user and query.

    They are of its kind, for their semantic IDs begin with the same code, and of these the ones
    that look most alike, for their pictures share most codes. The item itself is never among them,
    or drawing would be copying.
    """

    def __init__(
        self,
        ids: SemanticIds,
        image_codes_NT: np.ndarray[Any, np.dtype[np.int32]],
        *,
        count: int,
        noise: float,
    ) -> None:
        """Put the items into the order of their IDs.

        Args:
            ids: The semantic IDs of all items.
            image_codes_NT: The codes of their pictures, -1 where an item has none.
            count: How many guides to draw, as far as there are other items.
            noise: Share of guides that are any item instead, for searches miss now and then.
        """
        self._row_N: Ints = np.lexsort(ids.codes_NL.T[::-1])
        self._rank_N = np.argsort(self._row_N)
        self._first_N = ids.codes_NL[self._row_N, 0]
        self._code_N = ids.codes_NL[:, 0]
        self._key_NT = _numbered(image_codes_NT)
        self._count = min(count, len(ids) - 1)
        self._noise = noise

    def of(self, item: int, draw: np.random.Generator) -> tuple[int, ...]:
        """Draw guides for the picture of an item, each another one."""
        kin_M = self._kin(item, draw)
        likeness_M = np.isin(self._key_NT[kin_M], self._key_NT[item]).sum(axis=1)
        alike = kin_M[np.argsort(-likeness_M, kind="stable")[: 2 * self._count]]
        near = draw.permutation(alike)[: self._count]
        far = draw.permutation(len(self._row_N))
        far = far[(far != item) & ~np.isin(far, near)]
        is_far = draw.random(len(near)) < self._noise
        is_far[len(far) :] = False
        near[is_far] = far[: is_far.sum()]
        return tuple(near.tolist())

    def _kin(self, item: int, draw: np.random.Generator) -> Ints:
        """List items of the same kind in a random order, or neighbours where these are too few."""
        start, stop = np.searchsorted(self._first_N, self._code_N[item] + np.array([0, 1]))
        rank = int(self._rank_N[item])
        start, stop = min(start, rank - self._count), max(stop, rank + self._count + 1)
        kin_M = self._row_N[max(0, start) : stop]
        return draw.permutation(kin_M[kin_M != item])[:MOST_KIN]


def _numbered(codes_NT: np.ndarray[Any, np.dtype[np.int32]]) -> Ints:
    """Tell apart the first, second, ... of equal codes of a picture, so that sets count them."""
    sorted_NT = np.sort(codes_NT, axis=1).astype(np.int64)
    place_T = np.arange(codes_NT.shape[1])
    begins_NT = np.ones(codes_NT.shape, dtype=bool)
    begins_NT[:, 1:] = np.diff(sorted_NT, axis=1) != 0
    first_NT = np.maximum.accumulate(np.where(begins_NT, place_T, 0), axis=1)
    numbered_NT: Ints = sorted_NT * codes_NT.shape[1] + place_T - first_NT
    return numbered_NT
