"""Beam search over the items of a catalogue, in plain torch.

Shape letters in this file: B requests, K beams wanted, W beams that a step holds, T tokens of each
so far, C children of each, V vocabulary.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from genrec.decoding.constraints import Constraints
from genrec.decoding.steppers import Stepper, make_stepper
from genrec.decoding.trie import TokenTrie, TrieLevel


class Beams(NamedTuple):
    """The best items of every request, best first."""

    items_BK: Tensor
    """Rows of the catalogue, none twice; -1 where fewer than K items are allowed."""

    log_probs_BK: Tensor
    """Log-probability of each item, float32; -inf where there is none."""


@torch.no_grad()
def beam_search(
    model: PreTrainedModel,
    trie: TokenTrie,
    input_ids_BP: Tensor,
    attention_mask_BP: Tensor | None = None,
    *,
    beams: int,
    constraints: Constraints | None = None,
    renormalise: bool = False,
    prompt_inputs: Mapping[str, Tensor] | None = None,
) -> Beams:
    """Find the items that a model thinks most likely to follow each prompt.

    Gives what ``model.generate(num_beams=K, num_return_sequences=K, length_penalty=0.0,
    prefix_allowed_tokens_fn=...)`` would, at a fraction of the cost: a prompt is computed once
    and not once per beam, and the constraint is a gather from the trie.

    Args:
        model: A causal language model or an encoder-decoder, in eval mode.
        trie: The catalogue, on the device of the model.
        input_ids_BP: The prompts; those of a causal model are padded on the left.
        attention_mask_BP: Zero at padding; ``None`` means that there is none.
        beams: How many items to find per request (K).
        constraints: Which items every request may name; ``None`` allows the whole catalogue.
        renormalise: Whether a token's probability is its share among the tokens that may follow
            here, and not in the whole vocabulary. This favours thin branches of the trie.
        prompt_inputs: What else the model reads with the prompts, such as their pictures.
    """
    stepper = make_stepper(model, input_ids_BP, attention_mask_BP, prompt_inputs)
    return search(stepper, trie, beams=beams, constraints=constraints, renormalise=renormalise)


class Scorer(Protocol):
    """A model that says how likely some tokens are to follow each beam, and only those."""

    def log_probs(
        self, path_BWT: Tensor, parent_BW: Tensor, next_BWC: Tensor, is_allowed_BWC: Tensor
    ) -> Tensor:
        """Return log-probabilities of the next token, of shape (B, W, C), float32.

        Args:
            path_BWT: The tokens that each beam has taken. At first every request has one beam,
                its prompt, and T is 0; W may change from call to call.
            parent_BW: The beam of the call before that each one continues.
            next_BWC: Tokens that may come next.
            is_allowed_BWC: Which of them to score; what is returned for others does not matter.
        """
        ...


@torch.no_grad()
def search(
    stepper: Stepper,
    trie: TokenTrie,
    *,
    beams: int,
    constraints: Constraints | None = None,
    renormalise: bool = False,
) -> Beams:
    """Search the trie with any model that a :class:`Stepper` runs; see :func:`beam_search`."""
    scorer = _LogitsScorer(stepper, renormalise=renormalise)
    _refuse_misfits(scorer.logits_BWV, trie)
    requests = len(scorer.logits_BWV)
    return search_scored(scorer, trie, requests=requests, beams=beams, constraints=constraints)


@torch.no_grad()
def search_scored(
    scorer: Scorer,
    trie: TokenTrie,
    *,
    requests: int,
    beams: int,
    constraints: Constraints | None = None,
) -> Beams:
    """Search the trie with a model that scores the tokens it is asked for, and no others.

    Args:
        scorer: The model with the prompts of all requests.
        trie: The catalogue.
        requests: Number of requests (B).
        beams: How many items to find per request (K).
        constraints: Which items every request may name; ``None`` allows the whole catalogue.
    """
    if beams < 1:
        raise ValueError(f"beams is {beams}; ask for at least 1")
    if constraints is not None and len(constraints) != requests:
        raise ValueError(f"{len(constraints)} constraints were given for {requests} requests")
    front = _root(requests, trie.device)
    for level in trie.levels:
        front = _grow(front, scorer, level, beams=beams, constraints=constraints)
    return _items_at(front, trie, beams=beams, constraints=constraints)


class _LogitsScorer:
    """Scores tokens by the logits that a stepper gives for the whole vocabulary."""

    def __init__(self, stepper: Stepper, *, renormalise: bool) -> None:
        self._stepper = stepper
        self._renormalise = renormalise
        self.logits_BWV = stepper.prefill()

    def log_probs(
        self, path_BWT: Tensor, parent_BW: Tensor, next_BWC: Tensor, is_allowed_BWC: Tensor
    ) -> Tensor:
        if path_BWT.shape[2] > 0:
            self.logits_BWV = self._stepper.step(path_BWT[..., -1], parent_BW)
        logit_BWC = self.logits_BWV.gather(2, next_BWC).float()
        if self._renormalise:
            among = logit_BWC.masked_fill(~is_allowed_BWC, -torch.inf)
        else:
            among = self.logits_BWV.float()
        return logit_BWC - among.logsumexp(dim=2, keepdim=True)


class _Front(NamedTuple):
    """The beams of all requests after a step, best first."""

    node_BW: Tensor
    score_BW: Tensor
    """Log-probability of the path; -inf where a request has no more paths."""

    path_BWT: Tensor
    parent_BW: Tensor
    """The beam of the step before that each one continues."""


def _root(requests: int, device: torch.device) -> _Front:
    node_B1 = torch.zeros((requests, 1), dtype=torch.long, device=device)
    path_B10 = node_B1.new_empty((requests, 1, 0))
    return _Front(node_B1, score_BW=node_B1.float(), path_BWT=path_B10, parent_BW=node_B1)


def _grow(
    front: _Front,
    scorer: Scorer,
    level: TrieLevel,
    *,
    beams: int,
    constraints: Constraints | None,
) -> _Front:
    """Take the best children of all beams of each request."""
    child_BWC, is_allowed_BWC = level.children(front.node_BW)
    is_allowed_BWC &= ~front.score_BW.isneginf()[..., None]
    if constraints is not None:
        is_allowed_BWC &= constraints.count(*level.ranks(child_BWC)) > 0
    next_BWC = level.token_M[child_BWC].long()
    log_prob_BWC = scorer.log_probs(front.path_BWT, front.parent_BW, next_BWC, is_allowed_BWC)
    score_BWC = front.score_BW[..., None] + log_prob_BWC
    score_BX = score_BWC.masked_fill(~is_allowed_BWC, -torch.inf).flatten(1)
    score_BW, best_BW = score_BX.topk(min(beams, score_BX.shape[1]), dim=1)
    parent_BW = best_BW // level.max_branch
    token_BW1 = next_BWC.flatten(1).gather(1, best_BW)[..., None]
    begun_BWT = front.path_BWT.take_along_dim(parent_BW[..., None], dim=1)
    return _Front(
        node_BW=child_BWC.flatten(1).gather(1, best_BW),
        score_BW=score_BW,
        path_BWT=torch.cat([begun_BWT, token_BW1], dim=2),
        parent_BW=parent_BW,
    )


def _items_at(
    front: _Front, trie: TokenTrie, *, beams: int, constraints: Constraints | None
) -> Beams:
    """Write out the items at the leaves, all of one leaf before those of the next."""
    first_BW, end_BW = trie.levels[-1].ranks(front.node_BW)
    count_BW = end_BW - first_BW if constraints is None else constraints.count(first_BW, end_BW)
    count_BW = count_BW.masked_fill(front.score_BW.isneginf(), 0)
    total_BW = count_BW.cumsum(dim=1)
    place_BK = torch.arange(beams, device=trie.device).expand(len(total_BW), -1).contiguous()
    leaf_BK = torch.searchsorted(total_BW, place_BK, right=True)
    is_item_BK = leaf_BK < total_BW.shape[1]
    leaf_BK = leaf_BK.clamp_max(total_BW.shape[1] - 1)
    first_BK = first_BW.gather(1, leaf_BK)
    nth_BK = place_BK - (total_BW - count_BW).gather(1, leaf_BK)
    rank_BK = first_BK + nth_BK if constraints is None else constraints.nth(first_BK, nth_BK)
    item_BK = trie.row_N[rank_BK.clamp_max(len(trie) - 1)].long()
    score_BK = front.score_BW.gather(1, leaf_BK)
    if score_BK.isnan().any():
        request = int(score_BK.isnan().any(dim=1).nonzero()[0])
        raise ValueError(f"request {request}: the model's logits are not numbers (NaN)")
    return Beams(
        items_BK=item_BK.masked_fill(~is_item_BK, -1),
        log_probs_BK=score_BK.masked_fill(~is_item_BK, -torch.inf),
    )


def _refuse_misfits(logits_BWV: Tensor, trie: TokenTrie) -> None:
    vocabulary = logits_BWV.shape[2]
    if trie.vocabulary_end > vocabulary:
        raise ValueError(
            f"the trie has tokens up to {trie.vocabulary_end - 1}, but the model's vocabulary "
            f"ends at {vocabulary - 1}; add the tokens of the semantic IDs to the model"
        )
    if trie.device != logits_BWV.device:
        raise ValueError(
            f"the trie is on {trie.device} and the model on {logits_BWV.device}; "
            f"use trie.to({str(logits_BWV.device)!r})"
        )
