"""What decides, besides likelihood, which beams go on: boosts, diversity, chance.

Shape letters in this file: B requests, W beams of a step, C children of each, Q questions per
request, X items that a request boosts (or candidates of a step), S powers of two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genrec.decoding.constraints import count_below, sorted_ranks
from genrec.decoding.trie import TokenTrie


@dataclass(frozen=True)
class Boosts:
    """What a shop adds to the log-probability of some items, for every request of a batch.

    A beam is worth what the best item below it could gain: the largest boost between the bounds of
    its node, which two gathers from a table of ranges tell.
    """

    rank_BX: Tensor
    """Ranks of the boosted items, sorted; padded with growing numbers that are no ranks."""

    best_SBX: Tensor
    """The largest boost of the ``2**s`` items from each place on."""

    @classmethod
    def from_items(cls, trie: TokenTrie, boosts: Sequence[Mapping[int, float]]) -> "Boosts":
        """Gather the boosts of every request; items that are not named get 0.

        Raises:
            ValueError: When an item is not in the catalogue or a boost is not finite.
        """
        rows, values = [], []
        for request, own in enumerate(boosts):
            row = np.fromiter(own, dtype=np.int64, count=len(own))
            value = np.fromiter(own.values(), dtype=np.float32, count=len(own))
            outside = row[(row < 0) | (row >= len(trie))]
            if outside.size:
                raise ValueError(
                    f"request {request}: `boosts` names item {outside[0]}, but the catalogue has "
                    f"the items 0 to {len(trie) - 1}"
                )
            if not np.isfinite(value).all():
                raise ValueError(
                    f"request {request}: the boost of item {row[~np.isfinite(value)][0]} is not "
                    "finite; exclude an item that must not be named"
                )
            rank = trie.rank_N.cpu().numpy()[row]
            order = np.argsort(rank)
            rows.append(row[order])
            values.append(value[order])
        rank_BX = sorted_ranks(trie, rows)
        value_BX = torch.full(rank_BX.shape, -torch.inf)
        for request, value in enumerate(values):
            value_BX[request, : len(value)] = torch.from_numpy(value)
        return cls(rank_BX, _range_maxima(value_BX).to(trie.device))

    def __len__(self) -> int:
        return len(self.rank_BX)

    def of(self, request_R: Tensor) -> "Boosts":
        """Return the boosts of some requests, in the order given."""
        return Boosts(self.rank_BX[request_R], self.best_SBX[:, request_R])

    def bound(self, first: Tensor, end: Tensor) -> Tensor:
        """Return the largest boost of the items with ranks from ``first`` up to ``end``.

        Both have the shape (B, ...), and so has the answer. Items that are not named count as 0.
        """
        before, until = count_below(self.rank_BX, first), count_below(self.rank_BX, end)
        named = until - before
        power = named.clamp_min(1).log2().long()
        best = torch.maximum(
            self._look_up(power, before), self._look_up(power, until - (1 << power))
        )
        best = torch.where(named > 0, best, -torch.inf)
        return torch.where(named < end - first, best.clamp_min(0), best)

    def _look_up(self, power: Tensor, place: Tensor) -> Tensor:
        request = torch.arange(len(self), device=place.device).view(-1, *[1] * (place.ndim - 1))
        return self.best_SBX[power, request, place.clamp(0, self.rank_BX.shape[1] - 1)]


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """No more than so many items whose IDs begin alike."""

    at_most: int
    """Items of one beginning."""

    codes: int = 1
    """How many codes make a beginning."""

    def __post_init__(self) -> None:
        if self.at_most < 1 or self.codes < 1:
            raise ValueError(
                f"at_most is {self.at_most} and codes is {self.codes}; both must be at least 1"
            )

    def surplus(self, key_BX: Tensor, group_BX: Tensor) -> Tensor:
        """Tell which candidates have ``at_most`` better ones in their group already."""
        by_key_BX = key_BX.argsort(dim=1, descending=True, stable=True)
        group_sorted_BX, by_group_BX = group_BX.gather(1, by_key_BX).sort(dim=1, stable=True)
        place_BX = torch.arange(key_BX.shape[1], device=key_BX.device).expand_as(key_BX)
        is_first_BX = torch.ones_like(group_sorted_BX, dtype=torch.bool)
        is_first_BX[:, 1:] = group_sorted_BX.diff(dim=1) != 0
        first_BX = place_BX.masked_fill(~is_first_BX, 0).cummax(dim=1).values
        candidate_BX = by_key_BX.gather(1, by_group_BX)
        return torch.empty_like(is_first_BX).scatter_(
            1, candidate_BX, place_BX - first_BX >= self.at_most
        )


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Items drawn without replacement instead of the likeliest ones: stochastic beam search.

    Kool et al. 2019 (https://arxiv.org/abs/1903.06059): a beam's key is its log-probability plus
    Gumbel noise, drawn such that no child's key is above its parent's. The best keys at the end are
    a sample without replacement from the distribution over all allowed IDs.
    """

    temperature: float = 1.0
    """Above 1 evens the probabilities of codes out, below 1 sharpens them."""

    generator: torch.Generator | None = None
    """Decides the sample; on the device of the model."""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0")

    def log_probs(self, log_prob_BWC: Tensor, is_allowed_BWC: Tensor) -> Tensor:
        """Share all probability among the allowed children, at the temperature."""
        tempered_BWC = (log_prob_BWC / self.temperature).masked_fill(~is_allowed_BWC, -torch.inf)
        shared_BWC = tempered_BWC - tempered_BWC.logsumexp(dim=2, keepdim=True)
        return shared_BWC.masked_fill(~is_allowed_BWC, -torch.inf)

    def perturb(self, log_prob_BWC: Tensor, key_BW: Tensor) -> Tensor:
        """Draw keys for children whose largest is the key of their parent (appendix B.3)."""
        uniform_BWC = torch.rand(
            log_prob_BWC.shape, generator=self.generator, device=log_prob_BWC.device
        )
        tiny = torch.finfo(uniform_BWC.dtype).tiny
        gumbel_BWC = log_prob_BWC - (-uniform_BWC.clamp(tiny, 1 - 1e-7).log()).log()
        largest_BW1 = gumbel_BWC.max(dim=2, keepdim=True).values
        gap_BWC = key_BW[..., None] - gumbel_BWC + _log1mexp(gumbel_BWC - largest_BW1)
        key_BWC = key_BW[..., None] - gap_BWC.relu() - gap_BWC.abs().neg().exp().log1p()
        is_none_BWC = log_prob_BWC.isneginf() | key_BW[..., None].isneginf()
        return key_BWC.masked_fill(is_none_BWC, -torch.inf)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How beams are chosen; by likelihood alone when nothing is set."""

    boosts: Boosts | None = None
    diversity: Diversity | None = None
    sampling: Sampling | None = None

    def __post_init__(self) -> None:
        if self.boosts is not None and self.sampling is not None:
            raise ValueError(
                "boosts and sampling cannot be combined: a sample follows the model's "
                "probabilities; leave one of them out"
            )


def _range_maxima(value_BX: Tensor) -> Tensor:
    """Write the maximum of every run of 1, 2, 4, ... values, of shape (S, B, X)."""
    tables = [value_BX]
    while 2 ** len(tables) <= value_BX.shape[1]:
        half = 2 ** (len(tables) - 1)
        shifted_BX = torch.full_like(value_BX, -torch.inf)
        shifted_BX[:, :-half] = tables[-1][:, half:]
        tables.append(torch.maximum(tables[-1], shifted_BX))
    return torch.stack(tables)


def _log1mexp(x: Tensor) -> Tensor:
    """Return ``log(1 - exp(x))`` for x of at most 0, exactly near 0 and far from it."""
    near_BWC = x > -0.6931472
    return torch.where(near_BWC, (-torch.expm1(x)).log(), torch.log1p(-x.exp()))
