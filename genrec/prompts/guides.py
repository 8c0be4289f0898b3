"""What stands for the items that a search finds while a model learns to draw.

Shape letters in this file: N items.
"""

import numpy as np

from genrec.semantic_ids import SemanticIds


class Guides:
    """Draws items that are like one, as those are that a good search finds for its query.

    Semantic IDs that begin alike belong to items that are alike, so in the order of their IDs an
    item's neighbours resemble it. The item itself is never among them, or drawing would be copying.
    """

    def __init__(self, ids: SemanticIds, *, count: int, noise: float) -> None:
        """Put the items into the order of their IDs.

        Args:
            ids: The semantic IDs of all items.
            count: How many guides to draw, as far as there are other items.
            noise: Share of guides that are any item instead, for searches miss now and then.
        """
        self._row_N = np.lexsort(ids.codes_NL.T[::-1])
        self._rank_N = np.argsort(self._row_N)
        self._count = min(count, len(ids) - 1)
        self._noise = noise

    def of(self, item: int, draw: np.random.Generator) -> tuple[int, ...]:
        """Draw guides for the picture of an item, each another one."""
        reach = 2 * self._count
        rank = int(self._rank_N[item])
        near = self._row_N[max(0, rank - reach) : rank + reach + 1]
        near = draw.permutation(near[near != item])[: self._count]
        far = draw.permutation(len(self._row_N))
        far = far[(far != item) & ~np.isin(far, near)]
        is_far = draw.random(len(near)) < self._noise
        is_far[len(far) :] = False
        near[is_far] = far[: is_far.sum()]
        return tuple(near.tolist())
