"""How gradients pass a choice of codes, which has none of its own.

Shape letters in this file: B batch, D latent dimensions, K codes of a level, L levels, M items of
the batch in collision, C pairs of them.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

Estimator = Literal["straight_through", "rotation", "gumbel"]


class Quantized(NamedTuple):
    """What residual quantization makes of a batch of latents."""

    latents_BD: Tensor
    codes_BL: Tensor
    loss: Tensor


def residual_quantize(
    latents_BD: Tensor,
    codebooks: Sequence[Tensor],
    *,
    commitment: float = 0.25,
    estimator: Estimator = "straight_through",
    temperature: float = 0.1,
    generator: torch.Generator | None = None,
) -> Quantized:
    """Quantize latents level by level, each level coding what the last one left over.

    Args:
        latents_BD: The latents to quantize.
        codebooks: One codebook of shape (K, D) per level, coarsest first.
        commitment: Weight of the loss that pulls latents towards their codes.
        estimator: How gradients reach the latents: see :func:`straight_through`,
            :func:`rotation_trick` and :func:`gumbel_choice`.
        temperature: Of the Gumbel draws.
        generator: Seeds the Gumbel draws.

    Returns:
        The sum of the chosen codes, their indices, and the loss: squared distances summed over D
        and L, averaged over B.
    """
    residual_BD, codes, loss = latents_BD, [], latents_BD.new_zeros(())
    quantized_BD = torch.zeros_like(latents_BD)
    for codebook_KD in codebooks:
        if estimator == "gumbel":
            choice_BK = gumbel_choice(residual_BD, codebook_KD, temperature, generator)
            code_B, chosen_BD = choice_BK.argmax(dim=1), choice_BK @ codebook_KD
        else:
            code_B = _nearest(residual_BD.detach(), codebook_KD.detach())
            chosen_BD = codebook_KD[code_B]
        to_codes = (chosen_BD - residual_BD.detach()).square().sum(dim=1).mean()
        to_latents = (residual_BD - chosen_BD.detach()).square().sum(dim=1).mean()
        loss = loss + to_codes + commitment * to_latents
        quantized_BD = quantized_BD + chosen_BD
        residual_BD = residual_BD - chosen_BD.detach()
        codes.append(code_B)
    if estimator == "straight_through":
        quantized_BD = straight_through(latents_BD, quantized_BD)
    elif estimator == "rotation":
        quantized_BD = rotation_trick(latents_BD, quantized_BD)
    return Quantized(quantized_BD, torch.stack(codes, dim=1), loss)


def straight_through(latents_BD: Tensor, quantized_BD: Tensor) -> Tensor:
    """Give the quantized latents, with gradients that pass as if nothing had been quantized.

    Follows Bengio, Leonard and Courville (https://arxiv.org/abs/1308.3432).
    """
    return latents_BD + (quantized_BD - latents_BD).detach()


def rotation_trick(latents_BD: Tensor, quantized_BD: Tensor) -> Tensor:
    """Give the quantized latents as the latents, rotated and scaled; the map counts as constant.

    Follows section 4 of Fifty et al. (https://arxiv.org/abs/2410.06424). Gradients turn by the
    angle between the two, so that latents of one cell do not all move alike.
    """
    length_B1 = latents_BD.detach().norm(dim=1, keepdim=True).clamp(min=1e-12)
    target_B1 = quantized_BD.detach().norm(dim=1, keepdim=True)
    from_BD = latents_BD.detach() / length_B1
    to_BD = quantized_BD.detach() / target_B1.clamp(min=1e-12)
    between_BD = functional.normalize(from_BD + to_BD, dim=1)
    # R = 1 - 2 r r' + 2 q e' with the unit vectors e of the latents, q of their codes, r between.
    along_B1 = (latents_BD * between_BD).sum(dim=1, keepdim=True)
    onto_B1 = (latents_BD * from_BD).sum(dim=1, keepdim=True)
    rotated_BD = latents_BD - 2 * along_B1 * between_BD + 2 * onto_B1 * to_BD
    scaled_BD: Tensor = rotated_BD * (target_B1 / length_B1)
    return scaled_BD


def gumbel_choice(
    residual_BD: Tensor,
    codebook_KD: Tensor,
    temperature: float,
    generator: torch.Generator | None,
) -> Tensor:
    """Draw a code with odds that fall with its squared distance, one-hot of shape (B, K).

    Gradients are those of the softmax that the draw comes from: the straight-through
    Gumbel-softmax (https://arxiv.org/abs/1611.01144). Squared distances are measured in the mean
    of the nearest ones, times the temperature: at 0.1, a code twice as far (squared) as the
    nearest is drawn about once in exp(10) times.
    """
    distance_BK = torch.cdist(residual_BD, codebook_KD).square()
    unit = distance_BK.detach().min(dim=1).values.mean().clamp(min=1e-12)
    draw_BK = torch.rand(distance_BK.shape, generator=generator).to(distance_BK)
    noise_BK = -(-draw_BK.clamp(1e-9, 1 - 1e-7).log()).log()
    soft_BK = (noise_BK - distance_BK / (unit * temperature)).softmax(dim=1)
    hard_BK = functional.one_hot(soft_BK.argmax(dim=1), len(codebook_KD)).to(soft_BK)
    return straight_through(soft_BK, hard_BK)


def separation_loss(
    latents_BD: Tensor, quantized_BD: Tensor, codes_BL: Tensor, margin: float
) -> Tensor:
    """Push latents apart that share all codes, until they are a cell's width from each other.

    A hinge on the squared distance of each pair of the batch in collision, in units of the mean
    squared quantization error: near duplicates move until a code comes between them; a pair that
    does not collide feels nothing. Averaged over the pairs, the pressure stays the same while the
    pairs get fewer, and bounded where items are too many for the codes.
    """
    group_B = torch.zeros_like(codes_BL[:, 0])
    for code_B in codes_BL.unbind(dim=1):  # much faster than torch.unique over rows
        group_B = torch.unique(group_B * (code_B.max() + 1) + code_B, return_inverse=True)[1]
    row_M = (torch.bincount(group_B)[group_B] > 1).nonzero()[:, 0]
    same_MM = group_B[row_M, None] == group_B[row_M]
    first_C, second_C = same_MM.triu(diagonal=1).nonzero(as_tuple=True)
    if len(first_C) == 0:
        return latents_BD.new_zeros(())
    unit = (latents_BD - quantized_BD).detach().square().sum(dim=1).mean().clamp(min=1e-12)
    apart_CD = latents_BD[row_M[first_C]] - latents_BD[row_M[second_C]]
    return functional.relu(margin - apart_CD.square().sum(dim=1) / unit).mean()


def _nearest(residual_BD: Tensor, codebook_KD: Tensor) -> Tensor:
    """Find the nearest code; the norm of what is compared does not matter to it."""
    halves_K = codebook_KD.square().sum(dim=1) / 2
    return torch.addmm(halves_K, residual_BD, codebook_KD.T, alpha=-1).argmin(dim=1)
