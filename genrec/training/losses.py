"""Losses over tokens, as sums: the loop divides by what all processes counted.

Shape letters in this file: T tokens, N tokens that count, V vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_SMALLEST = 1e-8  # of 1 - p: below, a power less than 1 has no finite slope


@dataclass(frozen=True, kw_only=True)
class TokenLoss:
    """How the probability of the right token becomes its loss."""

    label_smoothing: float = 0.0
    """Share of the probability that is spread over the vocabulary
    (https://arxiv.org/abs/1512.00567)."""

    focal_gamma: float = 0.0
    """Easy tokens count less, by (1 - p) to this power (UniMP, equation 8; as in
    https://arxiv.org/abs/1708.02002); 0 counts all alike."""

    focal_detached: bool = False
    """Take the power for a constant weight, so that no gradient flows through it."""

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"label_smoothing is {self.label_smoothing}; it must be at least 0 and below 1"
            )
        if self.focal_gamma < 0:
            raise ValueError(f"focal_gamma is {self.focal_gamma}; it cannot be negative")


def weighted_loss(
    logits_TV: Tensor, labels_T: Tensor, weights_T: Tensor, kind: TokenLoss | None = None
) -> Tensor:
    """Sum the weighted losses of the labels (UniMP, equations 5 to 8).

    Tokens of weight 0 are left out before anything is computed, so padding costs nothing.

    Args:
        logits_TV: Scores of all tokens at each position, of any float type.
        labels_T: The tokens that came; anything where the weight is 0.
        weights_T: Weight of each position, at least 0.
        kind: The loss of a token; plain cross-entropy if left out.

    Returns:
        The sum as a float32 scalar.
    """
    kind = kind or TokenLoss()
    counted = weights_T > 0
    logits_NV, labels_N = logits_TV[counted], labels_T[counted].long()
    logits_NV = logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()
    log_p_N = -functional.cross_entropy(logits_NV, labels_N, reduction="none")
    losses_N = functional.cross_entropy(
        logits_NV, labels_N, reduction="none", label_smoothing=kind.label_smoothing
    )
    if kind.focal_gamma:
        focus_N = focal_weight(log_p_N, kind.focal_gamma)
        losses_N = losses_N * (focus_N.detach() if kind.focal_detached else focus_N)
    return (losses_N * weights_T[counted]).sum()


def focal_weight(log_p_N: Tensor, gamma: float) -> Tensor:
    """Return (1 - p) to the power of gamma, exact where p is near 1."""
    return missing_probability(log_p_N) ** gamma


def missing_probability(log_p_N: Tensor) -> Tensor:
    """Return 1 - p, at least so much that any power of it has a slope."""
    return (-log_p_N.expm1()).clamp(min=_SMALLEST)
