"""Two recommenders in one: a model, and a helper that knows what the model has not learnt.

Shape letters in this file: X items of a pool.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from genrec.data import Dataset, Split, sample_events
from genrec.eval.intervals import Floats, Ints
from genrec.eval.questions import Questions
from genrec.eval.ranking import MISSED, ndcg_at
from genrec.eval.tasks import RANKING_TASKS
from genrec.recommender import Ranking, Recommender, Request

log = logging.getLogger(__name__)

WEIGHTS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
POWERS: Final = (0.5, 1.0, 1.5, 2.0, 3.0)


@dataclass(frozen=True, kw_only=True)
class HybridConfig:
    """How much the helper counts."""

    weight: float = 0.5
    """Share of the helper, between 0 and 1; the rest is the model's."""

    power: float = 1.0
    """The helper's scores are raised to it before they become shares: below 1 evens them out."""

    reach: int = 50
    """Items that each of the two names for a pool; no fewer than are asked for."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ValueError(f"weight is {self.weight}; it is a share between 0 and 1")
        if not self.power > 0:
            raise ValueError(f"power is {self.power}; it must be above 0")
        if self.reach < 1:
            raise ValueError(f"reach is {self.reach}; name at least 1 item")


class Pool(NamedTuple):
    """The items that at least one of the two names, with what both say of them."""

    items_X: Ints
    log_prob_X: Floats
    """The model's log-probabilities."""

    score_X: Floats
    """The helper's scores; 0 where it does not name an item."""

    def ranking(self, config: HybridConfig, k: int) -> Ranking:
        """Rank the pool by the mixture of both; the scores are its logarithms."""
        share_X = self.score_X**config.power
        share_X = share_X / max(share_X.sum(), np.finfo(np.float64).tiny)
        with np.errstate(divide="ignore"):
            mixed_X = np.logaddexp(
                np.log1p(-config.weight) + self.log_prob_X, np.log(config.weight * share_X)
            )
        best_K = np.argsort(-mixed_X, kind="stable")[:k]
        return Ranking(self.items_X[best_K], mixed_X[best_K].astype(np.float32))


class HybridRecommender:
    r"""Mixes the probabilities of a model with the shares of a helper's scores.

    .. math::
        s(i) = \log \Big( (1 - w) \, p_\mathrm{model}(i)
            + w \, \frac{h(i)^\gamma}{\sum_j h(j)^\gamma} \Big)

    over the items that either of the two names: the linear opinion pool of Stone
    (https://doi.org/10.1214/aoms/1177704873), a weighted hybrid in the terms of Burke
    (https://doi.org/10.1023/A:1021240730564). Item-kNN is a good helper: it knows from one
    event what went with what, which a generator of semantic IDs learns slowly. The model is
    asked a second time, about those items alone that only the helper named, so that each item of
    the pool has both scores.
    """

    tasks = RANKING_TASKS

    def __init__(
        self, model: Recommender, helper: Recommender, config: HybridConfig | None = None
    ) -> None:
        """Put two recommenders together.

        Args:
            model: Ranks by log-probabilities.
            helper: Ranks by scores of 0 and more, such as item-kNN or popularity.
            config: How much each counts.
        """
        self._model = model
        self._helper = helper
        self._config = config or HybridConfig()

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank up to ``k`` items by both."""
        pools = self.pools(requests, max(k, self._config.reach))
        return [pool.ranking(self._config, k) for pool in pools]

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Let the model answer."""
        return self._model.generate(requests)

    def pools(self, requests: Sequence[Request], reach: int) -> list[Pool]:
        """Gather what both say of the items that either of them names.

        Raises:
            ValueError: When the helper gives a score below 0.
        """
        mine = self._model.recommend(requests, reach)
        theirs = self._helper.recommend(requests, reach)
        missing = [
            np.setdiff1d(their.items, my.items) for my, their in zip(mine, theirs, strict=True)
        ]
        asked = [row for row, items in enumerate(missing) if len(items)]
        again = self._model.recommend(
            [replace(requests[row], only=tuple(missing[row].tolist())) for row in asked], reach
        )
        found = dict(zip(asked, again, strict=True))
        return [
            _pool([my, found[row]] if row in found else [my], their)
            for row, (my, their) in enumerate(zip(mine, theirs, strict=True))
        ]


def tune_hybrid(
    model: Recommender,
    helper: Recommender,
    dataset: Dataset,
    split: Split,
    *,
    reach: int = 50,
    users: int = 2000,
    seed: int = 0,
) -> HybridConfig:
    """Choose weight and power by the NDCG@10 on the validation events, from a small grid.

    Each of the two is asked once, however many settings are tried.

    Args:
        model: As for ``HybridRecommender``.
        helper: As there; it must not have learnt from validation or test events.
        dataset: The data.
        split: What to validate on; the test events are not touched.
        reach: Items that each of the two names.
        users: Validate on so many events at most.
        seed: Draws them.
    """
    events = sample_events(split.validation, users, seed=seed)
    questions = list(Questions.about(dataset, events, "recommend"))
    pools = HybridRecommender(model, helper).pools([q.request for q in questions], reach)
    scores: dict[HybridConfig, float] = {}
    for weight in WEIGHTS:
        for power in POWERS:
            config = HybridConfig(weight=weight, power=power, reach=reach)
            ranks = [
                _rank_of(question.target, pool.ranking(config, 10).items)
                for question, pool in zip(questions, pools, strict=True)
            ]
            scores[config] = float(ndcg_at(np.array(ranks, dtype=np.int64), 10).mean())
    best = max(scores, key=lambda config: scores[config])
    log.info("the hybrid validates best, with an NDCG@10 of %.4f, as %s", scores[best], best)
    return best


def _pool(mine: Sequence[Ranking], theirs: Ranking) -> Pool:
    if len(theirs.scores) and theirs.scores.min() < 0:
        raise ValueError(
            f"the helper scores item {theirs.items[theirs.scores.argmin()]} with "
            f"{theirs.scores.min()}; a hybrid needs scores of 0 and more"
        )
    items_X = np.concatenate([ranking.items for ranking in mine])
    unscored = np.setdiff1d(theirs.items, items_X)
    if len(unscored):
        raise ValueError(
            f"the model was asked to rank {len(unscored)} items of the helper, such as "
            f"{unscored[0]}, and did not; a ranking is shorter only where fewer items are allowed"
        )
    order_X = np.argsort(items_X)
    score_X = np.zeros(len(items_X))
    place = np.searchsorted(items_X, theirs.items, sorter=order_X)
    score_X[order_X[place]] = theirs.scores
    log_prob_X = np.concatenate([ranking.scores for ranking in mine]).astype(np.float64)
    return Pool(items_X, log_prob_X, score_X)


def _rank_of(target: int, items_K: Ints) -> int:
    found = np.flatnonzero(items_K == target)
    return int(found[0]) if len(found) else MISSED
