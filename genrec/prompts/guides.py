"""What stands for the items that a search finds while a model learns to draw.

Shape letters in this file: N items, L levels, F colours of a histogram, M items of the same kind,
H and W height and width of a picture.
"""

from typing import Any, Final

import numpy as np

from genrec.data import Catalogue
from genrec.data.pictures import open_picture
from genrec.semantic_ids import SemanticIds

Ints = np.ndarray[Any, np.dtype[np.int64]]
Looks = np.ndarray[Any, np.dtype[np.float32]]

MOST_KIN: Final = 64
"""Items of the same kind that are looked at for each picture."""

SHADES: Final = 4
"""Shades of red, of green and of blue that looks tell apart."""

SIDE: Final = 32
"""Pictures are scaled to so many pixels a side before their colours are counted."""


def looks_of(catalogue: Catalogue) -> Looks:
    """Describe how items look, of shape (N, F), such that products of rows tell how alike they are.

    A row holds the roots of the shares that colours have in the picture. So the product is 1 for
    the same colours and 0 for none in common: Bhattacharyya's coefficient of colour histograms, by
    which Swain and Ballard find pictures (https://doi.org/10.1007/BF00130487, with another
    measure). An item without a picture is like none.
    """
    look_NF = np.zeros((len(catalogue), SHADES**3), dtype=np.float32)
    weights = np.array([SHADES**2, SHADES, 1])
    for row in np.flatnonzero(catalogue.has_picture).tolist():
        picture = open_picture(catalogue, row).convert("RGB").resize((SIDE, SIDE))
        shade_HW = (np.asarray(picture) // (256 // SHADES)) @ weights
        count_F = np.bincount(shade_HW.ravel(), minlength=SHADES**3)
        look_NF[row] = np.sqrt(count_F / SIDE**2)
    return look_NF


class Guides:
    """Draws items that are like one, as those are that a good search finds for user and query.

    They are of its kind, for their semantic IDs begin with the same code, and of these the ones
    that look most alike. The item itself is never among them, or drawing would be copying.
    """

    def __init__(
        self,
        ids: SemanticIds,
        look_NF: Looks,
        *,
        count: int,
        noise: float,
    ) -> None:
        """Put the items into the order of their IDs.

        Args:
            ids: The semantic IDs of all items.
            look_NF: How they look, as :func:`looks_of` tells.
            count: How many guides to draw, as far as there are other items.
            noise: Share of guides that are any item instead, for searches miss now and then.
        """
        self._row_N: Ints = np.lexsort(ids.codes_NL.T[::-1])
        self._rank_N = np.argsort(self._row_N)
        self._first_N = ids.codes_NL[self._row_N, 0]
        self._code_N = ids.codes_NL[:, 0]
        self._look_NF = look_NF
        self._count = min(count, len(ids) - 1)
        self._noise = noise

    def of(self, item: int, draw: np.random.Generator) -> tuple[int, ...]:
        """Draw guides for the picture of an item, each another one."""
        kin_M = self._kin(item, draw)
        likeness_M = self._look_NF[kin_M] @ self._look_NF[item]
        near = kin_M[np.argsort(-likeness_M, kind="stable")[: self._count]]
        far = draw.permutation(len(self._row_N))
        far = far[(far != item) & ~np.isin(far, near)]
        is_far = draw.random(len(near)) < self._noise
        is_far[len(far) :] = False
        near[is_far] = far[: is_far.sum()]
        return tuple(near.tolist())

    def _kin(self, item: int, draw: np.random.Generator) -> Ints:
        """List items of the same kind in a random order, or neighbours where these are too few."""
        start, stop = np.searchsorted(self._first_N, self._code_N[item] + np.array([0, 1]))
        if stop - start <= self._count:
            rank = int(self._rank_N[item])
            start, stop = min(start, rank - self._count), max(stop, rank + self._count + 1)
        kin_M = self._row_N[max(0, start) : stop]
        return draw.permutation(kin_M[kin_M != item])[:MOST_KIN]
