"""The last touch to residual codebooks: cells that hold items in collision are split.

Whatever training did to part near duplicates, a few pairs stay on one ID. Each cell of the last
level that holds such a pair is cut in two by the plane halfway between them, by placing two centres
as mirror images of each other. The second centre is that of the code whose items lose least by
going elsewhere.

Shape letters in this file: N items, D latent dimensions, P levels before the last, K codes of the
last level, M items in collision, I pairs of them.
"""

import torch
from torch import Tensor

from genrec.tokenization.groups import group_rows
from genrec.tokenization.residual import ResidualCodebooks


@torch.no_grad()
def split_collisions(codebooks: ResidualCodebooks, latents_ND: Tensor, *, rounds: int = 20) -> int:
    """Split cells of the last level until no items collide, or it helps no more.

    Only vectors of the last level change. Equal items stay together.

    Args:
        codebooks: What is changed.
        latents_ND: Latents of all items.
        rounds: Most times that all collisions are looked at anew.

    Returns:
        The items that are left in collision.
    """
    codebook_KD = codebooks.levels[-1]
    prefix_NP = codebooks.quantize(latents_ND)[:, :-1]
    residual_ND = latents_ND - codebooks.embed(prefix_NP)
    prefix_N = torch.from_numpy(group_rows(prefix_NP.cpu().numpy())).to(latents_ND.device)
    best_KD, fewest = codebook_KD.clone(), len(latents_ND) + 1
    for _ in range(rounds):
        distance_NK = torch.cdist(residual_ND, codebook_KD)
        code_N = distance_NK.argmin(dim=1)
        crowd_M = _in_collision(prefix_N, code_N)
        if len(crowd_M) < fewest:
            best_KD, fewest = codebook_KD.clone(), len(crowd_M)
        first_I, second_I = _pairs(residual_ND, prefix_N, code_N, crowd_M)
        if len(first_I) == 0:
            break
        _split(codebook_KD, residual_ND, code_N, distance_NK, first_I, second_I)
    codebook_KD.copy_(best_KD)
    return fewest


def _in_collision(prefix_N: Tensor, code_N: Tensor) -> Tensor:
    """Find the items that share all codes with another, those of one ID next to each other."""
    _, id_N, counts = torch.unique(
        prefix_N * (int(code_N.max()) + 1) + code_N, return_inverse=True, return_counts=True
    )
    crowd_M: Tensor = (counts[id_N] > 1).nonzero()[:, 0]
    return crowd_M[id_N[crowd_M].argsort(stable=True)]


def _pairs(
    residual_ND: Tensor, prefix_N: Tensor, code_N: Tensor, crowd_M: Tensor
) -> tuple[Tensor, Tensor]:
    """Choose a pair of different items on each ID in collision, at most one for every last code."""
    first_I, second_I = crowd_M[:-1], crowd_M[1:]
    together = (prefix_N[first_I] == prefix_N[second_I]) & (code_N[first_I] == code_N[second_I])
    together &= (residual_ND[first_I] != residual_ND[second_I]).any(dim=1)
    first_I, second_I = first_I[together], second_I[together]
    _, slot_I = torch.unique(code_N[first_I], return_inverse=True)
    chosen = torch.zeros(int(slot_I.max()) + 1 if len(slot_I) else 0, dtype=torch.long)
    chosen = chosen.to(slot_I).scatter_(0, slot_I, torch.arange(len(slot_I)).to(slot_I))
    return first_I[chosen], second_I[chosen]


def _split(
    codebook_KD: Tensor,
    residual_ND: Tensor,
    code_N: Tensor,
    distance_NK: Tensor,
    first_I: Tensor,
    second_I: Tensor,
) -> None:
    """Put two centres, mirror images of each other, where one code held both items of a pair."""
    nearest_N2 = distance_NK.square().topk(2, dim=1, largest=False).values
    worth_K = torch.zeros(len(codebook_KD)).to(nearest_N2)
    worth_K.index_add_(0, code_N, nearest_N2[:, 1] - nearest_N2[:, 0])
    worth_K[code_N[first_I]] = torch.inf
    free_I = worth_K.argsort()[: min(len(first_I), len(codebook_KD) // 2)]
    split_I = code_N[first_I][: len(free_I)]
    apart_ID = (residual_ND[first_I] - residual_ND[second_I])[: len(free_I)]
    middle_ID = ((residual_ND[first_I] + residual_ND[second_I]) / 2)[: len(free_I)]
    length_I1 = apart_ID.norm(dim=1, keepdim=True)
    normal_ID = apart_ID / length_I1
    centre_ID = codebook_KD[split_I]
    height_I1 = ((centre_ID - middle_ID) * normal_ID).sum(dim=1, keepdim=True)
    on_plane_ID = centre_ID - height_I1 * normal_ID
    reach_I1 = torch.maximum(height_I1.abs(), length_I1 / 2)
    codebook_KD[split_I] = on_plane_ID + reach_I1 * normal_ID
    codebook_KD[free_I] = on_plane_ID - reach_I1 * normal_ID
