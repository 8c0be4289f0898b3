"""Losses over tokens, as sums: the loop divides by what all processes counted.

Shape letters in this file: T tokens, V vocabulary.
"""

from torch import Tensor
from torch.nn import functional


def weighted_cross_entropy(
    logits_TV: Tensor, labels_T: Tensor, weights_T: Tensor, *, label_smoothing: float = 0.0
) -> Tensor:
    """Sum the weighted negative log-likelihoods of the labels (UniMP, equations 5 and 7).

    Tokens of weight 0 are left out before anything is computed, so padding costs nothing.

    Args:
        logits_TV: Scores of all tokens at each position, of any float type.
        labels_T: The tokens that came; anything where the weight is 0.
        weights_T: Weight of each position, at least 0.
        label_smoothing: Share of the probability that is spread over the vocabulary
            (https://arxiv.org/abs/1512.00567).

    Returns:
        The sum as a float32 scalar.
    """
    counted = weights_T > 0
    losses = functional.cross_entropy(
        logits_TV[counted].float(),
        labels_T[counted].long(),
        reduction="none",
        label_smoothing=label_smoothing,
    )
    return (losses * weights_T[counted]).sum()
