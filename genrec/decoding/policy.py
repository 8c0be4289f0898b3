"""What decides, besides likelihood, which beams go on: boosts, diversity, chance.

Shape letters in this file: B requests, W beams of a step, C children of each, X items that a
request boosts (or candidates of a step), S powers of two, R ranges of ranks.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from genrec.decoding.constraints import count_below, named_ranks
from genrec.decoding.scorers import log_shares
from genrec.decoding.trie import TokenTrie
from genrec.recommender import Diversity, Sampling


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
            rows.append(row)
            values.append(value)
        rank_BX, order_BX = named_ranks(trie, rows).sort(dim=1)
        value_BX = torch.full(rank_BX.shape, -torch.inf)
        for request, value in enumerate(values):
            value_BX[request, : len(value)] = torch.from_numpy(value)
        value_BX = value_BX.to(trie.device).gather(1, order_BX)
        return cls(rank_BX, _range_maxima(value_BX))

    def __len__(self) -> int:
        return len(self.rank_BX)

    @property
    def is_any_B(self) -> Tensor:
        """Whether each request boosts any item."""
        return (self.best_SBX[0] > -torch.inf).any(dim=1)

    def of(self, request_R: Tensor) -> "Boosts":
        """Return the boosts of some requests, in the order given."""
        return Boosts(self.rank_BX[request_R], self.best_SBX[:, request_R])

    def most(self, rank_bounds: Tensor) -> Tensor:
        """Return the largest boost of the items with ranks from each bound up to the next.

        Bounds have the shape (B, ..., R + 1) and grow along R; the answer is (B, ..., R). Items
        that are not named count as 0.
        """
        below = count_below(self.rank_BX, rank_bounds)
        before, until, named = below[..., :-1], below[..., 1:], below.diff()
        # The largest run of a power of two that fits covers any range when it is laid twice: from
        # the range's start, and up to its end.
        power = named.clamp_min(1).log2().long()
        best = torch.maximum(
            self._look_up(power, before), self._look_up(power, until - (1 << power))
        )
        best = torch.where(named > 0, best, -torch.inf)
        return torch.where(named < rank_bounds.diff(), best.clamp_min(0), best)

    def _look_up(self, power: Tensor, place: Tensor) -> Tensor:
        request = torch.arange(len(self), device=place.device).view(-1, *[1] * (place.ndim - 1))
        return self.best_SBX[power, request, place.clamp(0, self.rank_BX.shape[1] - 1)]


class Quotas:
    """How many items of one beginning every request takes at most; see ``Diversity``."""

    def __init__(self, diversity: Sequence[Diversity | None], device: torch.device) -> None:
        """Write the limits of all requests as tensors; a request without one has none."""
        limits = [(one.at_most, one.codes) if one else (_NO_LIMIT, 0) for one in diversity]
        limit_B2 = torch.tensor(limits, device=device).view(-1, 2)
        self._at_most_B1, self._codes_B1 = limit_B2[:, :1], limit_B2[:, 1:]

    def group(self, before_BWC: Tensor, child_BWC: Tensor, codes: int) -> Tensor:
        """Count an ID of so many codes by itself while it is short, then by its beginning."""
        return torch.where(codes <= self._codes_B1[..., None], child_BWC, before_BWC)

    def surplus(self, key_BX: Tensor, group_BX: Tensor) -> Tensor:
        """Tell which candidates have ``at_most`` better ones in their group already."""
        # Sorted by group and, within one, by key: what stands too far from its group's start is
        # surplus.
        by_key_BX = key_BX.argsort(dim=1, descending=True, stable=True)
        group_sorted_BX, by_group_BX = group_BX.gather(1, by_key_BX).sort(dim=1, stable=True)
        place_BX = torch.arange(key_BX.shape[1], device=key_BX.device).expand_as(key_BX)
        is_first_BX = torch.ones_like(group_sorted_BX, dtype=torch.bool)
        is_first_BX[:, 1:] = group_sorted_BX.diff(dim=1) != 0
        first_BX = place_BX.masked_fill(~is_first_BX, 0).cummax(dim=1).values
        candidate_BX = by_key_BX.gather(1, by_group_BX)
        return torch.empty_like(is_first_BX).scatter_(
            1, candidate_BX, place_BX - first_BX >= self._at_most_B1
        )


class Draws:
    """The chance in one search: stochastic beams for the requests that ask for a sample.

    Kool et al. 2019 (https://arxiv.org/abs/1903.06059): a beam's key is its log-probability plus
    Gumbel noise, drawn such that no child's key is above its parent's. The best keys at the end are
    a sample without replacement from the distribution over all allowed IDs.
    """

    def __init__(self, sampling: Sequence[Sampling | None], device: torch.device) -> None:
        """Seed a generator per request, so that its draw does not hang on the batch it is in."""
        self._generators = [_generator(one) if one else None for one in sampling]
        temperatures = [one.temperature if one else 1.0 for one in sampling]
        self._temperature_B11 = torch.tensor(temperatures, device=device).view(-1, 1, 1)
        self._is_drawn_B11 = torch.tensor([one is not None for one in sampling], device=device)
        self._is_drawn_B11 = self._is_drawn_B11.view(-1, 1, 1)

    def log_probs(self, log_prob_BWC: Tensor, mask_BWC: Tensor) -> Tensor:
        """Share all probability among the allowed children, at the temperature."""
        shared_BWC = log_shares(log_prob_BWC / self._temperature_B11 + mask_BWC)
        return self.pick(shared_BWC, log_prob_BWC)

    def pick(self, drawn_BWC: Tensor, other_BWC: Tensor) -> Tensor:
        """Take one for the requests that ask for a sample, and the other for the rest."""
        return torch.where(self._is_drawn_B11, drawn_BWC, other_BWC)

    def keys(self, log_prob_BWC: Tensor, key_BW: Tensor) -> Tensor:
        """Draw keys for children whose largest is the key of their parent (appendix B.3)."""
        uniform_BWC = torch.full(log_prob_BWC.shape, 0.5)
        for uniform_WC, generator in zip(uniform_BWC, self._generators, strict=True):
            if generator is not None:
                uniform_WC.uniform_(generator=generator)
        uniform_BWC = uniform_BWC.to(log_prob_BWC.device)
        tiny = torch.finfo(uniform_BWC.dtype).tiny
        gumbel_BWC = log_prob_BWC - (-uniform_BWC.clamp(tiny, 1 - 1e-7).log()).log()
        largest_BW1 = gumbel_BWC.max(dim=2, keepdim=True).values
        gap_BWC = key_BW[..., None] - gumbel_BWC + _log1mexp(gumbel_BWC - largest_BW1)
        key_BWC = key_BW[..., None] - gap_BWC.relu() - gap_BWC.abs().neg().exp().log1p()
        is_none_BWC = log_prob_BWC.isneginf() | key_BW[..., None].isneginf()
        return key_BWC.masked_fill(is_none_BWC, -torch.inf)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How the beams of every request are chosen; by likelihood alone when nothing is set."""

    boosts: Boosts | None = None

    diversity: Sequence[Diversity | None] | None = None
    """For every request, how many items may begin alike."""

    sampling: Sequence[Sampling | None] | None = None
    """For every request, how items are drawn by chance."""

    def __post_init__(self) -> None:
        given = {"boosts": self.boosts, "diversity": self.diversity, "sampling": self.sampling}
        lengths = {name: len(each) for name, each in given.items() if each is not None}
        if len(set(lengths.values())) > 1:
            told = " and ".join(f"`{name}` for {length}" for name, length in lengths.items())
            raise ValueError(f"a policy is given for different numbers of requests: {told}")
        if self.boosts is None or self.sampling is None:
            return
        for row, (is_boosted, sampling) in enumerate(
            zip(self.boosts.is_any_B.tolist(), self.sampling, strict=True)
        ):
            if is_boosted and sampling is not None:
                raise ValueError(
                    f"request {row}: boosts and sampling cannot be combined, as a sample follows "
                    "the model's probabilities; leave one of them out"
                )

    @property
    def requests(self) -> int | None:
        """For how many requests this is; ``None`` where nothing is set, which is for any."""
        given = (self.boosts, self.diversity, self.sampling)
        return next((len(each) for each in given if each is not None), None)

    def of(self, request_R: Tensor) -> "Policy":
        """Return the policies of some requests, in the order given."""
        rows = request_R.tolist()
        return Policy(
            boosts=None if self.boosts is None else self.boosts.of(request_R),
            diversity=None if self.diversity is None else [self.diversity[row] for row in rows],
            sampling=None if self.sampling is None else [self.sampling[row] for row in rows],
        )


_NO_LIMIT = 2**62


def _generator(sampling: Sampling) -> torch.Generator:
    generator = torch.Generator()
    if sampling.seed is None:
        generator.seed()
    else:
        generator.manual_seed(sampling.seed)
    return generator


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
    is_near = x > -math.log(2)
    return torch.where(is_near, (-torch.expm1(x)).log(), torch.log1p(-x.exp()))
