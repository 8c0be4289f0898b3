"""Searches under random terms, and a count of the beams that broke a rule.

Shape letters in this file: B requests, W beams, K items wanted, N items.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from genrec.decoding import Beams, Boosts, Constraints, ItemSet, Policy, TokenTrie, search
from genrec.recommender import Diversity, Sampling

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


@dataclass
class Noise:
    """A stepper whose model says something else at every step."""

    requests: int
    vocabulary: int
    generator: torch.Generator

    def prefill(self) -> Tensor:
        """Return logits of the first token."""
        return self._draw(1)

    def step(self, token_BW: Tensor, parent_BW: Tensor) -> Tensor:
        """Return logits of the next token of every beam."""
        return self._draw(token_BW.shape[1])

    def _draw(self, width: int) -> Tensor:
        shape = (self.requests, width, self.vocabulary)
        return 5 * torch.randn(shape, generator=self.generator)


class Checked(NamedTuple):
    """How many beams were looked at, and how many of them broke a rule."""

    beams: int
    invalid: int


def check_beams(trie: TokenTrie, *, at_least: int, seed: int, requests: int = 32) -> Checked:
    """Search under random terms, and count beams that are invalid, twice, outside or missing.

    Every request has its own set of items it may name, of any size from one item to all, by a mix
    of the ways to say so; what is allowed is worked out again from the raw sets. Some requests
    boost items, some are to be diverse and some draw theirs.
    """
    rng = np.random.default_rng(seed)
    noise = Noise(requests, trie.vocabulary_end, torch.Generator().manual_seed(seed))
    first_N = _first_codes(trie)
    looked_at = invalid = 0
    while looked_at < at_least:
        allowed, constraints = _random_constraints(trie, requests, rng)
        policy = _random_policy(trie, requests, rng)
        diversity = policy.diversity or [None] * requests
        beams = int(rng.integers(1, 100))
        found = search(noise, trie, beams=beams, constraints=constraints, policy=policy)
        for items_K, allowed_N, quota in zip(
            found.items_BK.numpy(), allowed, diversity, strict=True
        ):
            named = items_K[items_K >= 0]
            invalid += int((~allowed_N[named]).sum()) + len(named) - len(np.unique(named))
            if quota is None:
                # Every beam leads to an allowed item, so a short ranking is one that lost some.
                invalid += min(beams, int(allowed_N.sum())) - len(named)
            else:
                alike = np.bincount(first_N[named])
                invalid += int((alike - quota.at_most).clip(0).sum())
            looked_at += len(named)
    return Checked(looked_at, invalid)


def _first_codes(trie: TokenTrie) -> Ints:
    """Number the first code of every item, by its row."""
    bounds = trie.levels[0].rank_bounds.numpy()
    code_of_rank = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    code_N: Ints = code_of_rank[trie.rank_N.numpy()]
    return code_N


def _random_policy(trie: TokenTrie, requests: int, rng: np.random.Generator) -> Policy:
    """Let a third of the requests each boost items, be diverse, or draw by chance."""
    kinds = rng.integers(3, size=requests)
    boosts = [
        {int(item): float(rng.normal()) for item in rng.integers(len(trie), size=9)}
        if kind == 0
        else {}
        for kind in kinds
    ]
    return Policy(
        boosts=Boosts.from_items(trie, boosts),
        diversity=[Diversity(at_most=2) if kind == 1 else None for kind in kinds],
        sampling=[
            Sampling(temperature=2.0, seed=int(rng.integers(1 << 30))) if kind == 2 else None
            for kind in kinds
        ],
    )


def _random_constraints(
    trie: TokenTrie, requests: int, rng: np.random.Generator
) -> tuple[list[Bools], Constraints]:
    items = len(trie)
    in_stock = rng.random(items) < rng.choice([0.01, 0.3, 0.99])
    stock = ItemSet.from_mask(trie, in_stock)
    allowed: list[Bools] = []
    exclude, only, within = [], [], []
    while len(allowed) < requests:
        held = bool(rng.integers(2))
        banned, named = (
            rng.choice(items, int(rng.integers(items // 10)), replace=False) for _ in range(2)
        )
        wanted = named if rng.integers(2) else None
        allowed_N = in_stock.copy() if held else np.ones(items, dtype=bool)
        if wanted is not None:
            allowed_N &= np.isin(np.arange(items), wanted)
        allowed_N[banned] = False
        if not allowed_N.any():
            continue  # it would be refused, which tests see to
        allowed.append(allowed_N)
        exclude.append(banned)
        only.append(wanted)
        within.append(stock if held else None)
    return allowed, Constraints.from_items(trie, exclude=exclude, only=only, within=within)


def count_invalid(beams: Beams, items: int) -> int:
    """Count the places that hold no item, or one that the same request already has."""
    sorted_BK = beams.items_BK.sort(dim=1).values
    outside = (sorted_BK < 0) | (sorted_BK >= items)
    return int(outside.sum() + (sorted_BK.diff(dim=1) == 0).sum())
