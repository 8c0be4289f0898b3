"""Several recommenders in one: a model, and helpers that know what the model has not learnt.

Shape letters in this file: P parts, Q questions, X items of a pool.
"""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np

from genrec.data import Dataset, Split, sample_events
from genrec.eval.intervals import Floats, Ints
from genrec.eval.questions import Questions
from genrec.eval.ranking import MISSED, ndcg_at
from genrec.eval.tasks import RANKING_TASKS
from genrec.recommender import Ranking, Recommender, Request

log = logging.getLogger(__name__)

WEIGHTS: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
FLOORS: Final = (0.0003, 0.001, 0.003, 0.01)

Scale = Literal["scores", "cosines", "log-probabilities"]
"""What the numbers of a ranking are: scores of 0 and more, cosines, of which those below 0 say as
little as 0, or logarithms of probabilities."""


class Part(NamedTuple):
    """One of the recommenders that are mixed."""

    recommender: Recommender
    scale: Scale = "scores"


@dataclass(frozen=True, kw_only=True)
class HybridConfig:
    """How much each part counts."""

    weights: tuple[float, ...]
    """Of each part; only their proportions matter."""

    floor: float = 0.001
    """Added to every share: the lower, the more it hurts an item that a part finds unlikely."""

    reach: int = 50
    """Items that each part names for a pool; no fewer than are asked for."""

    def __post_init__(self) -> None:
        if not self.weights or min(self.weights) < 0 or max(self.weights) <= 0:
            raise ValueError(f"weights is {self.weights}; give numbers from 0, not all of them 0")
        if not 0 < self.floor <= 1:
            raise ValueError(f"floor is {self.floor}; it is a share above 0 and at most 1")
        if self.reach < 1:
            raise ValueError(f"reach is {self.reach}; name at least 1 item")


class Pool(NamedTuple):
    """The items that at least one part names, with what all of them say of them."""

    items_X: Ints

    share_PX: Floats
    """Probabilities, or the shares of the pool's scores; 0 where a part does not name an item."""

    def ranking(self, config: HybridConfig, k: int) -> Ranking:
        """Rank the pool by the mixture of all parts."""
        mixed_X = np.array(config.weights) @ np.log(self.share_PX + config.floor)
        best_K = np.argsort(-mixed_X, kind="stable")[:k]
        return Ranking(self.items_X[best_K], mixed_X[best_K].astype(np.float32))


class HybridRecommender:
    r"""Ranks by the weighted logarithms of what several recommenders think of an item.

    .. math::
        s(i) = \sum_p w_p \log \big( q_p(i) + \varepsilon \big)

    over the items that any of the parts names, where :math:`q_p` is the probability of a part that
    ranks by log-probabilities, and :math:`h_p(i) / \sum_j h_p(j)`, over these items, of one that
    ranks by scores. This is the logarithmic opinion pool (Genest and Zidek,
    https://doi.org/10.1214/ss/1177013825) with a floor, a weighted hybrid in the terms of Burke
    (https://doi.org/10.1023/A:1021240730564): an item ranks high that all parts find likely.
    Neighbours are good helpers: item-kNN knows from one event what went with what, which a
    generator of semantic IDs learns slowly, and content kNN from none. Each part is asked a
    second time about those items of the pool that it did not name.
    """

    tasks = RANKING_TASKS

    def __init__(self, parts: Sequence[Part], config: HybridConfig | None = None) -> None:
        """Put recommenders together.

        Args:
            parts: What is mixed; the first one also answers in words.
            config: How much each counts; all the same when left out.

        Raises:
            ValueError: When there are not as many weights as parts.
        """
        self._parts = tuple(parts)
        self._config = config or HybridConfig(weights=(1.0,) * len(self._parts))
        if len(self._config.weights) != len(self._parts):
            raise ValueError(
                f"there are {len(self._config.weights)} weights for {len(self._parts)} parts; give "
                "one to each"
            )

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank up to ``k`` items by all parts."""
        pools = self.pools(requests, max(k, self._config.reach))
        return [pool.ranking(self._config, k) for pool in pools]

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Let the first part answer."""
        return self._parts[0].recommender.generate(requests)

    def pools(self, requests: Sequence[Request], reach: int) -> list[Pool]:
        """Gather what all parts say of the items that any of them names.

        Raises:
            ValueError: When a part that ranks by scores gives one below 0.
        """
        named = [part.recommender.recommend(requests, reach) for part in self._parts]
        pools = [
            np.unique(np.concatenate([ranking.items for ranking in rankings]))
            for rankings in zip(*named, strict=True)
        ]
        told = [
            _complete(part, requests, rankings, pools)
            for part, rankings in zip(self._parts, named, strict=True)
        ]
        return [
            Pool(items_X, np.stack(shares)) for items_X, *shares in zip(pools, *told, strict=True)
        ]


def tune_hybrid(
    parts: Sequence[Part],
    dataset: Dataset,
    split: Split,
    *,
    reach: int = 50,
    users: int = 2000,
    seed: int = 0,
) -> HybridConfig:
    """Choose weights and floor by the NDCG@10 on the validation events, from a small grid.

    The first part's weight is 1. Each part is asked once, however many settings are tried.

    Args:
        parts: As for ``HybridRecommender``; none may have learnt from validation or test events.
        dataset: The data.
        split: What to validate on; the test events are not touched.
        reach: Items that each part names.
        users: Validate on so many events at most.
        seed: Draws them.
    """
    events = sample_events(split.validation, users, seed=seed)
    questions = list(Questions.about(dataset, events, "recommend"))
    pools = HybridRecommender(parts).pools([q.request for q in questions], reach)
    targets = [question.target for question in questions]
    scores: dict[HybridConfig, float] = {}
    for floor in FLOORS:
        ranks_of = PooledRanks(pools, targets, floor)
        for weights in itertools.product((1.0,), *[WEIGHTS] * (len(parts) - 1)):
            config = HybridConfig(weights=weights, floor=floor, reach=reach)
            scores[config] = float(ndcg_at(ranks_of(weights), 10).mean())
    best = max(scores, key=lambda config: scores[config])
    log.info("the hybrid validates best, with an NDCG@10 of %.4f, as %s", scores[best], best)
    return best


def _complete(
    part: Part, requests: Sequence[Request], rankings: Sequence[Ranking], pools: Sequence[Ints]
) -> list[Floats]:
    """Give a part's share of each item of each pool; ask it about those that it did not name."""
    missing = [
        np.setdiff1d(items_X, ranking.items)
        for items_X, ranking in zip(pools, rankings, strict=True)
    ]
    asked = [row for row, items in enumerate(missing) if len(items)]
    late: dict[int, Ranking] = {}
    if asked:
        again = part.recommender.recommend(
            [replace(requests[row], only=tuple(missing[row].tolist())) for row in asked],
            max(len(missing[row]) for row in asked),
        )
        late = dict(zip(asked, again, strict=True))
    return [
        _shares(part.scale, items_X, [ranking, *([late[row]] if row in late else [])])
        for row, (items_X, ranking) in enumerate(zip(pools, rankings, strict=True))
    ]


def _shares(scale: Scale, items_X: Ints, rankings: Sequence[Ranking]) -> Floats:
    share_X = np.zeros(len(items_X))
    for ranking in rankings:
        scores = ranking.scores.astype(np.float64)
        if scale == "scores" and len(scores) and scores.min() < 0:
            raise ValueError(
                f"a part scores item {ranking.items[scores.argmin()]} with {scores.min()}; a "
                "hybrid needs scores of 0 and more, or log-probabilities"
            )
        values = np.exp(scores) if scale == "log-probabilities" else np.maximum(scores, 0)
        share_X[np.searchsorted(items_X, ranking.items)] = values
    if scale != "log-probabilities":
        share_X /= max(share_X.sum(), np.finfo(np.float64).tiny)
    return share_X


class PooledRanks:
    """The rank of each question's target in its pool, for many weights of the parts."""

    def __init__(self, pools: Sequence[Pool], targets: Sequence[int], floor: float) -> None:
        found = [row for row, pool in enumerate(pools) if targets[row] in pool.items_X]
        self._found, self._questions = np.array(found, dtype=np.int64), len(pools)
        widest = max((len(pools[row].items_X) for row in found), default=0)
        parts = len(pools[0].share_PX) if pools else 0
        self._log_PQX = np.full((parts, len(found), widest), np.nan)
        self._place_Q1 = np.zeros((len(found), 1), dtype=np.int64)
        for question, row in enumerate(found):
            items_X, share_PX = pools[row]
            self._log_PQX[:, question, : len(items_X)] = np.log(share_PX + floor)
            self._place_Q1[question] = np.searchsorted(items_X, targets[row])

    def __call__(self, weights: Sequence[float]) -> Ints:
        """Count what stands before each target: what has more, and of equals what comes first."""
        mixed_QX = np.tensordot(np.array(weights), self._log_PQX, axes=1)
        target_Q1 = np.take_along_axis(mixed_QX, self._place_Q1, axis=1)
        is_earlier_QX = np.arange(mixed_QX.shape[1]) < self._place_Q1
        is_before_QX = (mixed_QX > target_Q1) | ((mixed_QX == target_Q1) & is_earlier_QX)
        ranks = np.full(self._questions, MISSED, dtype=np.int64)
        ranks[self._found] = is_before_QX.sum(axis=1)
        return ranks
