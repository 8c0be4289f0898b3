"""The simplest recommenders, which every other one must beat.

Shape letters in this file: B requests, I events, N items, U users.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from genrec.data import Dataset, Split
from genrec.eval.intervals import Floats, Ints
from genrec.eval.questions import Bools
from genrec.eval.tasks import RANKING_TASKS, RATING_TASKS
from genrec.eval.top_items import tie_breaks
from genrec.eval.tuning import tune
from genrec.recommender import Ranking, Request, refuse_preferences


class PopularityRecommender:
    """Recommends what most train events are about, whatever the user has done.

    Scores are shares of the train events.
    """

    tasks = RANKING_TASKS

    def __init__(self, dataset: Dataset, train: Bools, *, seed: int = 0) -> None:
        """Count the train events of every item.

        Args:
            dataset: The data.
            train: Which events may be learned from.
            seed: Orders items that are equally popular.
        """
        count_N = popularity(dataset, train)
        self._share_N = count_N / max(count_N.sum(), 1)
        self._order = np.lexsort((tie_breaks(len(count_N), seed), -count_N)).tolist()

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank the most popular items that each request allows."""
        refuse_preferences(requests, "popularity")
        return [self._rank(request, k) for request in requests]

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Refuse: popularity has no words."""
        raise NotImplementedError("popularity only ranks items; it answers no 'rate' or 'explain'")

    def _rank(self, request: Request, k: int) -> Ranking:
        excluded = set(request.exclude)
        only = None if request.only is None else set(request.only)
        within_N = None if request.within is None else request.within.is_in_N
        allowed = (
            item for item in self._order
            if item not in excluded
            and (only is None or item in only)
            and (within_N is None or within_N[item])
        )  # fmt: skip
        items_K = np.fromiter(itertools.islice(allowed, k), dtype=np.int64)
        if not len(items_K):
            raise ValueError("a request allows no item: 'only', 'within' and 'exclude' leave none")
        return Ranking(items_K, self._share_N[items_K].astype(np.float32))


class GlobalMeanRecommender:
    """Predicts the mean of all train ratings, whoever asks about whatever."""

    tasks = RATING_TASKS

    def __init__(self, dataset: Dataset, train: Bools) -> None:
        """Average the ratings of the train events.

        Raises:
            ValueError: When no train event has a rating.
        """
        self._mean = float(rated_events(dataset, train).rating.mean())

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Refuse: to a mean all items are alike."""
        raise NotImplementedError(
            "the mean rating answers 'rate' and 'preference'; it ranks no items"
        )

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Tell the mean, such as ``"4.1327"``, to every request for a rating."""
        for request in requests:
            if request.task not in self.tasks:
                raise NotImplementedError(
                    f"the mean rating answers 'rate' and 'preference', not {request.task!r}"
                )
        return [f"{self._mean:.4f}" for _ in requests]


@dataclass(frozen=True, kw_only=True)
class MeanRatingConfig:
    """How far the mean ratings of few events are drawn to the mean of all."""

    item_shrinkage: float = 10.0
    """Events that an item's bias must outweigh; 0 trusts a single rating."""

    user_shrinkage: float = 5.0
    """Events that a user's bias must outweigh."""


class MeanRatingRecommender:
    r"""Predicts ratings from means: of all events, of the item, of the user's history.

    .. math::
        \hat r_{ui} &= \mu + b_i + b_u \\
        b_i &= \sum_{u \in i} (r_{ui} - \mu) \,/\, (\lambda_i + |i|) \\
        b_u &= \sum_{i \in u} (r_{ui} - \mu - b_i) \,/\, (\lambda_u + |u|)

    The baseline predictor of section 2.1 of Koren (https://doi.org/10.1145/1644873.1644874). The
    user's bias comes from the ratings of the request, so that it serves new users too.
    """

    tasks = ("rate",)

    def __init__(
        self, dataset: Dataset, train: Bools, config: MeanRatingConfig | None = None
    ) -> None:
        """Average the ratings of the train events.

        Raises:
            ValueError: When no train event has a rating.
        """
        self._config = config or MeanRatingConfig()
        item, rating = rated_events(dataset, train)
        self._mean = float(rating.mean())
        items = len(dataset.catalogue)
        gap_N = np.bincount(item, weights=rating - self._mean, minlength=items)
        count_N = np.bincount(item, minlength=items)
        self._bias_N: Floats = gap_N / np.maximum(count_N + self._config.item_shrinkage, 1e-9)

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Refuse: a high mean rating of few events says little about what comes next."""
        raise NotImplementedError("mean ratings answer 'rate' only; they rank no items")

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Predict a rating for every request, such as ``"4.1327"``."""
        return [f"{self._predict(request):.4f}" for request in requests]

    def _predict(self, request: Request) -> float:
        if request.task != "rate" or request.item is None:
            raise NotImplementedError(f"mean ratings answer 'rate' only, not {request.task!r}")
        gaps = [
            rating - self._mean - self._bias_N[item]
            for item, rating in zip(request.history, request.ratings, strict=False)
            if rating is not None
        ]
        bias = sum(gaps) / max(len(gaps) + self._config.user_shrinkage, 1e-9)
        return float(self._mean + self._bias_N[request.item] + bias)


def tune_mean_rating(
    dataset: Dataset, split: Split, *, users: int = 1000, seed: int = 0
) -> MeanRatingConfig:
    """Choose the shrinkages with the lowest RMSE on the validation events, from a small grid.

    Args:
        dataset: The data.
        split: What to learn from and what to validate on; the test events are not touched.
        users: Validate on so many events at most.
        seed: Draws them.
    """
    configs = (
        MeanRatingConfig(item_shrinkage=item, user_shrinkage=user)
        for item, user in itertools.product([3.0, 10.0, 100.0, 1000.0], repeat=2)
    )
    return tune(
        configs, lambda config: MeanRatingRecommender(dataset, split.train, config),
        dataset, split, task="rate", metric="rmse", users=users, seed=seed,
    )  # fmt: skip


class RatedEvents(NamedTuple):
    """Events that have a rating."""

    item: Ints
    rating: Floats


def rated_events(dataset: Dataset, train: Bools) -> RatedEvents:
    """Find the train events that have a rating.

    Raises:
        ValueError: When none has.
    """
    interactions = dataset.interactions
    rated = train & ~np.isnan(interactions.rating)
    if not rated.any():
        raise ValueError(f"no train event of {dataset.name} has a rating to take the mean of")
    return RatedEvents(
        interactions.item[rated].astype(np.int64), interactions.rating[rated].astype(np.float64)
    )


def popularity(dataset: Dataset, train: Bools) -> Floats:
    """Count the train events of every item, into shape (N,)."""
    count_N = np.bincount(dataset.interactions.item[train], minlength=len(dataset.catalogue))
    return count_N.astype(np.float64)
