"""Runs of codes of one length in which any code may follow any other, such as a picture's tokens.

They are paths of a trie too, of one that says nothing but how many tokens there are and which: so
what guards items guards pictures, and no token but theirs can come out.

Shape letters in this file: B requests, W runs of a request, T tokens of each so far, C codes,
X candidates of a step.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from genrec.decoding.scorers import Scorer
from genrec.decoding.trie import TokenTrie
from genrec.decoding.trie_level import TrieLevel


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How runs of codes are chosen: sampled, or searched with beams."""

    samples: int = 1
    """Runs of each request."""

    temperature: float = 1.0
    """Above 1 evens the probabilities of codes out, below 1 sharpens them."""

    top_p: float = 1.0
    """Sample among the likeliest codes that together have so much of the probability
    (https://arxiv.org/abs/1904.09751)."""

    guidance: float = 1.0
    """Above 1, what a prompt says counts more: logits move so many times as far from those without
    it as the prompt has them (classifier-free guidance, https://arxiv.org/abs/2207.12598)."""

    beams: int | None = None
    """Take the ``samples`` likeliest runs that a search with so many beams finds, with no chance in
    it; ``None`` samples."""

    seed: int = 0
    """Throws the same dice for every request: what differs between two comes from their prompts,
    and a batch draws what one by one does."""

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples is {self.samples}; ask for at least 1")
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}; it must be above 0 and at most 1")
        if self.guidance < 0:
            raise ValueError(f"guidance is {self.guidance}; it cannot be negative")
        if self.beams is not None and self.beams < self.samples:
            raise ValueError(f"{self.beams} beams cannot find {self.samples} different runs")


def every_run(tokens: range, length: int) -> TokenTrie:
    """Make the trie of all runs of so many tokens; its paths meet again in one node a level.

    Args:
        tokens: The tokens that may stand anywhere.
        length: Tokens of a run.
    """
    if length < 1 or len(tokens) < 1:
        raise ValueError(f"there is no run of {length} out of {len(tokens)} tokens")
    whole = torch.tensor([0, 1], dtype=torch.int32)
    level = TrieLevel(
        token_M=torch.tensor([tokens.start], dtype=torch.int32),
        rank_bounds=whole,
        child_bounds=whole,
        max_branch=len(tokens),
        token_K=torch.arange(tokens.start, tokens.stop, dtype=torch.int32),
        node_PK=torch.zeros((1, len(tokens)), dtype=torch.int32),
    )
    root = torch.zeros(1, dtype=torch.int32)
    return TokenTrie((level,) * length, root, root, tokens.stop)


class GuidedScorer:
    """Moves a model's scores away from what it says without the prompt."""

    def __init__(self, told: Scorer, untold: Scorer, *, guidance: float) -> None:
        """Take the model with the prompts of all requests, and with prompts that tell nothing."""
        self._told = told
        self._untold = untold
        self._guidance = guidance

    def log_probs(
        self, path_BWT: Tensor, parent_BW: Tensor, next_BWC: Tensor, mask_BWC: Tensor
    ) -> Tensor:
        """Return log-probabilities among the allowed tokens; see :class:`Scorer`."""
        told_BWC = self._told.log_probs(path_BWT, parent_BW, next_BWC, mask_BWC)
        untold_BWC = self._untold.log_probs(path_BWT, parent_BW, next_BWC, mask_BWC)
        moved_BWC = untold_BWC + self._guidance * (told_BWC - untold_BWC)
        # Not by addition: two scores of -inf are no number apart.
        moved_BWC = moved_BWC.masked_fill(mask_BWC.isneginf(), -torch.inf)
        return moved_BWC.log_softmax(dim=2)


@torch.no_grad()
def draw_runs(scorer: Scorer, runs: TokenTrie, *, requests: int, how: Drawing) -> Tensor:
    """Choose runs of codes, counted from 0, of shape (B, W, T).

    Args:
        scorer: The model with the prompts of all requests.
        runs: From :func:`every_run`.
        requests: Number of requests (B).
        how: How runs are chosen.
    """
    device = runs.device
    dice_TW = torch.rand(
        (len(runs.levels), how.samples), generator=torch.Generator().manual_seed(how.seed)
    ).to(device)
    path_BWT = torch.zeros((requests, 1, 0), dtype=torch.long, device=device)
    parent_BW = torch.zeros((requests, 1), dtype=torch.long, device=device)
    score_BW = torch.zeros((requests, 1), device=device)
    for level, dice_W in zip(runs.levels, dice_TW, strict=True):
        children = level.children(torch.zeros_like(parent_BW))
        log_prob_BWC = scorer.log_probs(path_BWT, parent_BW, children.token, children.mask)
        log_prob_BWC = log_prob_BWC.log_softmax(dim=2)
        if how.beams is None:
            parent_BW, code_BW = _sample(log_prob_BWC, how, dice_W)
        else:
            total_BX = (score_BW[..., None] + log_prob_BWC).flatten(1)
            score_BW, best_BW = total_BX.topk(min(how.beams, total_BX.shape[1]), dim=1)
            parent_BW, code_BW = best_BW // level.width, best_BW % level.width
        begun_BWT = path_BWT.take_along_dim(parent_BW[..., None], dim=1)
        token_BW = level.token_K.long()[code_BW]
        path_BWT = torch.cat([begun_BWT, token_BW[..., None]], dim=2)
    return path_BWT[:, : how.samples] - runs.vocabulary_start


def _sample(log_prob_BWC: Tensor, how: Drawing, dice_W: Tensor) -> tuple[Tensor, Tensor]:
    """Draw a code for every run, at first for all runs from the one prompt."""
    share_BWC = (log_prob_BWC / how.temperature).softmax(dim=2)
    if how.top_p < 1:
        sorted_BWC, order_BWC = share_BWC.sort(dim=2, descending=True)
        before_BWC = sorted_BWC.cumsum(dim=2) - sorted_BWC  # the likeliest always stays
        kept_BWC = sorted_BWC.masked_fill(before_BWC >= how.top_p, 0.0)
        share_BWC = torch.zeros_like(kept_BWC).scatter(2, order_BWC, kept_BWC)
    below_BWC = share_BWC.cumsum(dim=2).expand(-1, len(dice_W), -1)
    fallen_BW1 = dice_W[None, :, None] * below_BWC[..., -1:]
    code_BW = (below_BWC <= fallen_BW1).sum(dim=2).clamp_max(below_BWC.shape[2] - 1)
    parent_W = torch.arange(len(dice_W), device=code_BW.device).clamp_max(share_BWC.shape[1] - 1)
    return parent_W.expand(len(code_BW), -1), code_BW
