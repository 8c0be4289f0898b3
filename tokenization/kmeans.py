"""k-means in plain torch: k-means++ seeding, Lloyd's iterations, no empty cluster.

Shape letters in this file: N points, D dimensions, K clusters, E of them that are empty.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from genrec.data import DataError

ROWS_AT_ONCE = 65_536
"""Rows compared with all centres at a time; bounds the memory of the distances."""


class KMeans(NamedTuple):
    """Centres, the centre of every point, and the sum of squared distances between the two."""

    centres_KD: Tensor
    codes_N: Tensor
    inertia: float


def kmeans(
    points_ND: Tensor,
    clusters: int,
    *,
    generator: torch.Generator,
    iterations: int = 30,
    tolerance: float = 1e-4,
    start_KD: Tensor | None = None,
) -> KMeans:
    """Cluster points; a cluster that runs empty restarts at the point its centre serves worst.

    Args:
        points_ND: The points, in float32.
        clusters: How many clusters; at most N.
        generator: Seeds the choice of the first centres; it lives on the CPU.
        iterations: Most rounds of Lloyd's algorithm.
        tolerance: Stop when a round lowers the inertia by less than this share.
        start_KD: The first centres; chosen by :func:`plus_plus` when left out.

    Raises:
        ValueError: When there are fewer points than clusters.
    """
    centres_KD = start_KD
    if centres_KD is None:
        centres_KD = plus_plus(points_ND, clusters, generator=generator)
    codes_N, distances_N = nearest(points_ND, centres_KD)
    inertia = float(distances_N.sum())
    for _ in range(iterations):
        centres_KD = _means(points_ND, codes_N, distances_N, clusters)
        codes_N, distances_N = nearest(points_ND, centres_KD)
        before, inertia = inertia, float(distances_N.sum())
        if before - inertia <= tolerance * before:
            break
    return KMeans(centres_KD, codes_N, inertia)


def plus_plus(points_ND: Tensor, clusters: int, *, generator: torch.Generator) -> Tensor:
    """Choose spread-out points as first centres: each with odds of its squared distance to them.

    Follows k-means++ (Arthur and Vassilvitskii, https://dl.acm.org/doi/10.5555/1283383.1283494).
    """
    count = points_ND.shape[0]
    if count < clusters:
        raise DataError(
            f"{count} points cannot fill {clusters} clusters; set codebook_sizes to numbers no "
            f"larger than that of the items, such as [{max(1, count // 2)}, {max(1, count // 2)}]"
        )
    first = int(torch.randint(count, (1,), generator=generator))
    chosen = [first]
    distances_N = _squared_norm(points_ND - points_ND[first])
    for _ in range(clusters - 1):
        odds_N = distances_N.double().cumsum(dim=0)
        draw = torch.rand((), dtype=torch.float64, generator=generator).to(odds_N) * odds_N[-1]
        row = min(int(torch.searchsorted(odds_N, draw, right=True)), count - 1)
        chosen.append(row)
        distances_N = torch.minimum(distances_N, _squared_norm(points_ND - points_ND[row]))
    return points_ND[chosen].clone()


def nearest(points_ND: Tensor, centres_KD: Tensor) -> tuple[Tensor, Tensor]:
    """Find every point's nearest centre and the squared distance to it."""
    halves_K = _squared_norm(centres_KD) / 2
    codes, distances = [], []
    for part_ND in torch.split(points_ND, ROWS_AT_ONCE):
        code_N = torch.addmm(halves_K, part_ND, centres_KD.T, alpha=-1).argmin(dim=1)
        codes.append(code_N)
        # Measured again, since |x|^2 - 2xc + |c|^2 loses the small distances to rounding.
        distances.append(_squared_norm(part_ND - centres_KD[code_N]))
    return torch.cat(codes), torch.cat(distances)


def _means(points_ND: Tensor, codes_N: Tensor, distances_N: Tensor, clusters: int) -> Tensor:
    """Average the points of every cluster; an empty one takes a badly served point."""
    sums_KD = points_ND.new_zeros(clusters, points_ND.shape[1]).index_add_(0, codes_N, points_ND)
    counts_K = torch.bincount(codes_N, minlength=clusters)
    centres_KD = sums_KD / counts_K.clamp(min=1)[:, None]
    empty_E = (counts_K == 0).nonzero()[:, 0]
    if len(empty_E) > 0:
        centres_KD[empty_E] = points_ND[distances_N.topk(len(empty_E)).indices]
    return centres_KD


def _squared_norm(x_ND: Tensor) -> Tensor:
    return x_ND.square().sum(dim=-1)
