"""A last level that tells apart what the levels before it could not.

Near duplicates, such as two sizes of one soap, are closer than the cells of a residual codebook in
dozens of dimensions: the last level of k-means spends its codes on describing everybody a little
better and leaves the pair on one ID. Along a single direction 256 codes are cells 256 times
narrower than the data. So this level looks along the direction in which items with the same prefix
differ most, and cuts it where such items lie next to each other. The fewest cuts that part them all
are the fewest points that stab a set of intervals (Gavril, https://doi.org/10.1137/0201013).

Shape letters in this file: N items, D dimensions, K codes, C cuts, I pairs of neighbours.
"""

import heapq
import itertools

import numpy as np
import torch
from torch import Tensor, nn

from genrec.tokenization.arrays import Rows

Positions = np.ndarray[tuple[int], np.dtype[np.float32]]


class Separator(nn.Module):
    """A direction, and the cuts along it that part items with the same prefix."""

    direction_D: Tensor
    cuts_C: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("direction_D", torch.zeros(dim))
        self.register_buffer("cuts_C", torch.zeros(size - 1))

    def fit(self, residual_ND: Tensor, prefix_N: Rows) -> None:
        """Choose direction and cuts for what items have left over after their prefix.

        Args:
            residual_ND: What the levels before left over.
            prefix_N: A number for the codes that an item has so far.
        """
        self.direction_D.copy_(separating_direction(residual_ND, prefix_N))
        position_N = (residual_ND @ self.direction_D).cpu().numpy()
        cuts = separating_cuts(position_N, prefix_N, len(self.cuts_C))
        self.cuts_C.copy_(torch.from_numpy(cuts))

    def costs(self, residual_ND: Tensor) -> Tensor:
        """Square the distance along the direction to each cell, (N, K); 0 within the cell."""
        position_N1 = (residual_ND @ self.direction_D)[:, None]
        end = self.cuts_C.new_full((1,), torch.inf)
        below_NK = torch.cat([-end, self.cuts_C]) - position_N1
        above_NK = position_N1 - torch.cat([self.cuts_C, end])
        costs_NK: Tensor = torch.maximum(below_NK, above_NK).clamp(min=0).square()
        return costs_NK


def separating_direction(residual_ND: Tensor, prefix_N: Rows) -> Tensor:
    """Find the direction in which items with the same prefix differ most, a unit vector.

    Every pair of neighbours counts alike, however close: the near duplicates are the ones that
    need it. Where no prefix is shared, the direction of the largest variance stands in.
    """
    first_I, second_I = _neighbours(residual_ND[:, 0].cpu().numpy(), prefix_N)
    apart_ID = residual_ND[first_I] - residual_ND[second_I]
    length_I = apart_ID.norm(dim=1)
    apart_ID = apart_ID[length_I > 0] / length_I[length_I > 0, None]
    if len(apart_ID) == 0:
        apart_ID = residual_ND - residual_ND.mean(dim=0)
    scatter_DD = apart_ID.double().T @ apart_ID.double()
    direction_D: Tensor = torch.linalg.eigh(scatter_DD).eigenvectors[:, -1].float()
    return -direction_D if direction_D.sum() < 0 else direction_D


def separating_cuts(position_N: Positions, prefix_N: Rows, count: int) -> Positions:
    """Place cuts on a line so that items with the same prefix come to lie in different cells.

    First the fewest cuts that part all neighbours of one prefix, or none of them were these too
    many. The others halve the fullest cell, again and again, so that the codes are used evenly and
    items to come are parted too.

    Returns:
        The cuts in ascending order. Where items have fewer places than there are cells, the last
        cut is repeated, and codes stay unused.
    """
    first_I, second_I = _neighbours(position_N, prefix_N)
    low_I, high_I = position_N[first_I], position_N[second_I]
    # Neighbours closer than what float32 keeps cannot be parted: equal items are among them.
    reach = np.float32(1e-6) * max(float(np.abs(position_N).max()), 1e-30)
    cuts = _stab(low_I[high_I - low_I > reach], high_I[high_I - low_I > reach])
    return _halve_fullest(np.sort(position_N), cuts if len(cuts) <= count else cuts[:0], count)


def _neighbours(position_N: Positions, prefix_N: Rows) -> tuple[Rows, Rows]:
    """Find the items next to each other along the line under every prefix."""
    order_N = np.lexsort((position_N, prefix_N))
    before, after = order_N[:-1], order_N[1:]
    together = prefix_N[before] == prefix_N[after]
    return before[together], after[together]


def _stab(low_I: Positions, high_I: Positions) -> Positions:
    """Find the fewest points of which every open interval holds one, in ascending order.

    Each point lies midway between the ends that confine it.
    """
    cuts: list[float] = []
    left = right = -np.inf
    order_I = np.argsort(high_I)
    for low, high in zip(low_I[order_I].tolist(), high_I[order_I].tolist(), strict=True):
        if low < right:  # a point just below ``right`` stabs this one too
            left = max(left, low)
            continue
        if right > -np.inf:
            cuts.append((left + right) / 2)
        left, right = low, high
    if right > -np.inf:
        cuts.append((left + right) / 2)
    return np.array(cuts, dtype=np.float32)


def _halve_fullest(sorted_N: Positions, cuts: Positions, count: int) -> Positions:
    """Add cuts until there are as many as asked for, each halving the cell with most items."""
    edges = [0, *np.searchsorted(sorted_N, cuts, side="right").tolist(), len(sorted_N)]
    cells = [(start - end, start, end) for start, end in itertools.pairwise(edges)]
    heapq.heapify(cells)
    found = cuts.tolist()
    while cells and len(found) < count:
        _, start, end = heapq.heappop(cells)
        middle = _split(sorted_N, start, end)
        if middle is None:
            continue
        found.append((float(sorted_N[middle - 1]) + float(sorted_N[middle])) / 2)
        heapq.heappush(cells, (start - middle, start, middle))
        heapq.heappush(cells, (middle - end, middle, end))
    found.sort()
    found += [found[-1] if found else float(sorted_N[-1])] * (count - len(found))
    return np.array(found, dtype=np.float32)


def _split(sorted_N: Positions, start: int, end: int) -> int | None:
    """Find the step between two places that is nearest to the middle of a cell; None without."""
    steps = start + 1 + np.flatnonzero(np.diff(sorted_N[start:end]))
    if len(steps) == 0:
        return None
    return int(steps[np.abs(2 * steps - start - end).argmin()])
