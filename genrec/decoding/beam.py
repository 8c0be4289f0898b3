"""Beam search over the items of a catalogue, in plain torch.

Shape letters in this file: B requests, P tokens of the longest prompt, K beams wanted, W beams
that a step holds, T tokens of each so far, C children of each, X candidates of a step, E items of a
leaf, I items of all leaves, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from genrec.decoding.constraints import Constraints
from genrec.decoding.policy import Boosts, Draws, Policy, Quotas
from genrec.decoding.scorers import (
    LogitsScorer,
    Scorer,
    make_scorer,
    refuse_misfits,
    refuse_non_numbers,
)
from genrec.decoding.static import StaticDecoder
from genrec.decoding.steppers import PromptedStepper, Stepper, make_stepper
from genrec.decoding.trie import TokenTrie
from genrec.decoding.trie_level import Children

BY_LIKELIHOOD = Policy()


class Beams(NamedTuple):
    """The best items of every request, best first."""

    items_BK: Tensor
    """Rows of the catalogue, none twice; -1 where fewer than K items are allowed."""

    log_probs_BK: Tensor
    """Log-probability of each item, with its boost, float32; -inf where there is none. Of a sample,
    the log-probability to be drawn first."""


@torch.no_grad()
def beam_search(
    model: PreTrainedModel,
    trie: TokenTrie,
    input_ids_BP: Tensor,
    attention_mask_BP: Tensor | None = None,
    *,
    beams: int,
    constraints: Constraints | None = None,
    policy: Policy = BY_LIKELIHOOD,
    renormalise: bool = False,
    prompt_inputs: Mapping[str, Tensor] | None = None,
    static: StaticDecoder | None = None,
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
        policy: What decides besides likelihood: boosts, diversity, chance.
        renormalise: Whether a token's probability is its share among the tokens that may follow
            here, and not in the whole vocabulary. This favours thin branches of the trie.
        prompt_inputs: What else the model reads with the prompts, such as their pictures.
        static: Runs the steps of the same model in tensors of fixed shapes.
    """
    stepper: PromptedStepper
    if static is None:
        stepper = make_stepper(model, input_ids_BP, attention_mask_BP, prompt_inputs)
    else:
        stepper = static.stepper(
            input_ids_BP, attention_mask_BP, prompt_inputs, beams=beams, levels=len(trie.levels)
        )
    scorer = make_scorer(model, stepper, trie, renormalise=renormalise)
    return search_scored(
        scorer, trie, requests=len(input_ids_BP), beams=beams, constraints=constraints,
        policy=policy,
    )  # fmt: skip


@torch.no_grad()
def search(
    stepper: Stepper,
    trie: TokenTrie,
    *,
    beams: int,
    constraints: Constraints | None = None,
    policy: Policy = BY_LIKELIHOOD,
    renormalise: bool = False,
) -> Beams:
    """Search the trie with any model that a :class:`Stepper` runs; see :func:`beam_search`."""
    logits_B1V = stepper.prefill()
    refuse_misfits(logits_B1V, trie)
    scorer = LogitsScorer(stepper, renormalise=renormalise, logits_B1V=logits_B1V)
    return search_scored(
        scorer, trie, requests=len(logits_B1V), beams=beams, constraints=constraints,
        policy=policy,
    )  # fmt: skip


@torch.no_grad()
def search_scored(
    scorer: Scorer,
    trie: TokenTrie,
    *,
    requests: int,
    beams: int,
    constraints: Constraints | None = None,
    policy: Policy = BY_LIKELIHOOD,
) -> Beams:
    """Search the trie with a model that scores the tokens it is asked for, and no others.

    Args:
        scorer: The model with the prompts of all requests.
        trie: The catalogue.
        requests: Number of requests (B).
        beams: How many items to find per request (K).
        constraints: Which items every request may name; ``None`` allows the whole catalogue.
        policy: What decides besides likelihood.
    """
    if beams < 1:
        raise ValueError(f"beams is {beams}; ask for at least 1")
    if constraints is not None and len(constraints) != requests:
        raise ValueError(f"{len(constraints)} constraints were given for {requests} requests")
    if policy.requests not in (None, requests):
        raise ValueError(f"a policy for {policy.requests} requests was given for {requests}")
    quotas = None if policy.diversity is None else Quotas(policy.diversity, trie.device)
    draws = None if policy.sampling is None else Draws(policy.sampling, trie.device)
    walk = _Walk(scorer, trie, beams, constraints, policy.boosts, quotas, draws)
    front = walk.start(requests)
    for number in range(len(trie.levels)):
        front = walk.grow(front, number)
    return walk.items(front)


class _Front(NamedTuple):
    """The beams of all requests after a step, best first."""

    node_BW: Tensor
    """Where each beam is in the trie; -1 where a request has no more paths."""

    log_prob_BW: Tensor
    """Log-probability of the path."""

    key_BW: Tensor
    """What beams are chosen by; -inf where a request has no more paths."""

    group_BW: Tensor | None
    """The beginning of the ID that diversity counts by, as a node of its level; ``None`` where no
    request asks for diversity."""

    path_BWT: Tensor
    """The tokens that each beam has taken; any where an ID has ended before."""

    parent_BW: Tensor
    """The beam of the step before that each one continues."""


@dataclass(frozen=True)
class _Walk:
    """One search, from the root of the trie to its leaves."""

    scorer: Scorer
    trie: TokenTrie
    beams: int
    constraints: Constraints | None
    boosts: Boosts | None
    quotas: Quotas | None
    draws: Draws | None

    def start(self, requests: int) -> _Front:
        node_B1 = torch.zeros((requests, 1), dtype=torch.long, device=self.trie.device)
        score_B1 = node_B1.float()
        path_B10 = node_B1.new_empty((requests, 1, 0))
        group_B1 = None if self.quotas is None else node_B1
        return _Front(node_B1, score_B1, score_B1, group_B1, path_B10, node_B1)

    def grow(self, front: _Front, number: int) -> _Front:
        """Take the best children, at the level of this number, of all beams of each request."""
        level = self.trie.levels[number]
        children = level.children(front.node_BW)
        mask_BWC = children.mask if self.constraints is None else self.constraints.mask(children)
        step_BWC = self._score(front, children, mask_BWC)
        # NaN stays NaN under the mask and is chosen before any number, so that `items` refuses it.
        log_prob_BWC = front.log_prob_BW[..., None] + step_BWC + mask_BWC
        key_BX = self._key(front, log_prob_BWC, children)
        group_BX = self._group(front, children, number)
        best_BW = self._best(key_BX, group_BX)
        parent_BW, node_BW, token_BW = children.pick(best_BW)
        key_BW = key_BX.gather(1, best_BW)
        is_none_BW = key_BW.isneginf()
        log_prob_BW = log_prob_BWC.flatten(1).gather(1, best_BW)
        begun_BWT = front.path_BWT.take_along_dim(parent_BW[..., None], dim=1)
        return _Front(
            node_BW=node_BW.masked_fill(is_none_BW, -1),
            log_prob_BW=log_prob_BW.masked_fill(is_none_BW, -torch.inf),
            key_BW=key_BW,
            group_BW=None if group_BX is None else group_BX.gather(1, best_BW),
            path_BWT=torch.cat([begun_BWT, token_BW[..., None].clamp_min(0)], dim=2),
            parent_BW=parent_BW,
        )

    def _best(self, key_BX: Tensor, group_BX: Tensor | None) -> Tensor:
        """Choose the candidates that go on, best first."""
        width = min(self.beams, key_BX.shape[1])
        if self.quotas is None or group_BX is None:
            return key_BX.topk(width, dim=1).indices
        # What is too much of a kind goes on where there is room: its items may be the better ones.
        by_key_BX = key_BX.argsort(dim=1, descending=True, stable=True)
        is_late_BX = self.quotas.surplus(key_BX, group_BX) | key_BX.isneginf()
        early_first_BX = is_late_BX.gather(1, by_key_BX).byte().argsort(dim=1, stable=True)
        return by_key_BX.gather(1, early_first_BX)[:, :width]

    def _score(self, front: _Front, children: Children, mask_BWC: Tensor) -> Tensor:
        """Return the log-probability of each next code; an ID that has ended goes on for free."""
        has_ends, next_BWC = children.level.has_ends, children.token
        if has_ends:
            next_BWC = next_BWC.clamp_min(0)
        log_prob_BWC = self.scorer.log_probs(front.path_BWT, front.parent_BW, next_BWC, mask_BWC)
        if has_ends:
            log_prob_BWC = log_prob_BWC.masked_fill(children.token < 0, 0.0)
        if self.draws is None:
            return log_prob_BWC
        return self.draws.log_probs(log_prob_BWC, mask_BWC)

    def _key(self, front: _Front, log_prob_BWC: Tensor, children: Children) -> Tensor:
        key_BWC = log_prob_BWC
        if self.boosts is not None:
            key_BWC = key_BWC + children.in_places(self.boosts.most(children.rank_bounds))
        if self.draws is not None:
            key_BWC = self.draws.pick(self.draws.keys(log_prob_BWC, front.key_BW), key_BWC)
        return key_BWC.flatten(1)

    def _group(self, front: _Front, children: Children, number: int) -> Tensor | None:
        if self.quotas is None or front.group_BW is None:
            return None
        before_BWC = front.group_BW[..., None].expand_as(children.node)
        return self.quotas.group(before_BWC, children.node, number + 1).flatten(1)

    def items(self, front: _Front) -> Beams:
        """Write out the items at the leaves, all of one leaf before those of the next."""
        refuse_non_numbers(front.log_prob_BW)
        first_BW, end_BW = self.trie.levels[-1].ranks(front.node_BW)
        place_E1 = torch.arange(self.trie.most_per_id + 1, device=first_BW.device)
        bounds_BWE1 = (first_BW[..., None] + place_E1).clamp_max(len(self.trie))
        rank_BWE = bounds_BWE1[..., :-1]
        is_item_BWE = (rank_BWE < end_BW[..., None]) & ~front.key_BW.isneginf()[..., None]
        if self.constraints is not None:
            is_item_BWE &= self.constraints.count(bounds_BWE1) > 0
        key_BWE, score_BWE = (
            x[..., None].expand_as(rank_BWE) for x in (front.key_BW, front.log_prob_BW)
        )
        if self.boosts is not None:
            score_BWE = score_BWE + self.boosts.most(bounds_BWE1)
        key_BWE = score_BWE if self.draws is None else self.draws.pick(key_BWE, score_BWE)
        key_BI = torch.where(is_item_BWE, key_BWE, -torch.inf).flatten(1)
        if self.quotas is not None and front.group_BW is not None:
            group_BI = front.group_BW[..., None].expand_as(rank_BWE).flatten(1)
            surplus_BI = self.quotas.surplus(key_BI, group_BI)
            key_BI = key_BI.masked_fill(surplus_BI, -torch.inf)
        # Stable, so that items of one ID stay in the order of their rows.
        best_BK = key_BI.argsort(dim=1, descending=True, stable=True)[:, : self.beams]
        rank_BK = rank_BWE.flatten(1).gather(1, best_BK).clamp_max(len(self.trie) - 1)
        item_BK = self.trie.row_N[rank_BK].long()
        score_BK = score_BWE.flatten(1).gather(1, best_BK)
        is_none_BK = key_BI.gather(1, best_BK).isneginf()
        return Beams(
            _padded(item_BK.masked_fill(is_none_BK, -1), self.beams, -1),
            _padded(score_BK.masked_fill(is_none_BK, -torch.inf), self.beams, -torch.inf),
        )


def _padded(x_BI: Tensor, width: int, value: float) -> Tensor:
    return functional.pad(x_BI, (0, width - x_BI.shape[1]), value=value)
