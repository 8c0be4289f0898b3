"""What SASRec learns from: the next item against the whole catalogue, or against a draw from it.

Shape letters in this file: M states, D width, N items, S drawn items.
"""

import torch
from torch import Tensor
from torch.nn import functional

from genrec.eval.sasrec.network import SASRec


def full_cross_entropy(model: SASRec, state_MD: Tensor, target_M: Tensor) -> Tensor:
    """Average the negative log-probability of each target in a softmax over the catalogue.

    Trained so, SASRec beats models that were reported to beat it
    (https://arxiv.org/abs/2309.07602).
    """
    return functional.cross_entropy(model.scores(state_MD), target_M)


def sampled_softmax(
    model: SASRec,
    state_MD: Tensor,
    target_M: Tensor,
    drawn_S: Tensor,
    expected_N: Tensor | None = None,
) -> Tensor:
    r"""Average the negative log-probability of each target among items that all states share.

    .. math::
        -\log \frac{e^{s_t}}{e^{s_t} + \sum_{j \in \mathrm{drawn},\, j \ne t} e^{s_j - \log c_j}}

    With ``c`` the expected count of each item among the drawn ones, the sum is an unbiased estimate
    of that over the catalogue (section 3 of https://arxiv.org/abs/1412.2007; the target, which is
    never drawn by chance, is left as it is, as https://arxiv.org/abs/2507.09331 derives).

    Args:
        model: Scores the items.
        state_MD: States that the model gave.
        target_M: The item that followed each.
        drawn_S: The items to compare with, drawn with replacement.
        expected_N: How often each item is drawn on average; without it all drawn ones weigh 1.
    """
    target_score_M = model.scores_of(state_MD, target_M)
    score_MS = model.scores(state_MD, drawn_S)
    if expected_N is not None:
        score_MS = score_MS - expected_N[drawn_S].log()
    score_MS.masked_fill_(target_M[:, None] == drawn_S, -torch.inf)
    return functional.softplus(score_MS.logsumexp(dim=1) - target_score_M).mean()
