"""Factors of users and items by alternating least squares: who meets alike items, meets alike ones.

Shape letters in this file: B requests, I events, U users, N items, F factors.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genrec.data import Dataset, Split
from genrec.eval.questions import Bools
from genrec.eval.tasks import RANKING_TASKS
from genrec.eval.top_items import tie_breaks, top_items
from genrec.eval.tuning import tune
from genrec.optional import require
from genrec.recommender import Ranking, Request

_SCORES_AT_ONCE = 1 << 24


@dataclass(frozen=True, kw_only=True)
class ALSConfig:
    """How factors are found. The values are those that validate best on Beauty."""

    factors: int = 256
    """Width of the factors."""

    regularization: float = 1.0
    """Weight of the squared lengths of all factors (lambda)."""

    confidence: float = 1.0
    """How much a met item outweighs one that was not met (alpha)."""

    iterations: int = 15
    """How often users and items are solved for in turn."""

    last: int = 3
    """How many items of a history make up its user, from its end."""

    def __post_init__(self) -> None:
        for name in ("factors", "iterations", "last"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("regularization", "confidence"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")


class ALSRecommender:
    r"""Ranks items by the product of their factors and those of the user.

    .. math::
        \min_{x, y} \sum_{u, i} c_{ui} (p_{ui} - x_u^\top y_i)^2
        + \lambda \Big( \sum_u \|x_u\|^2 + \sum_i \|y_i\|^2 \Big)

    with ``p`` 1 where the user met the item, else 0, and the confidence ``c`` ``alpha`` times the
    number of events there, else 1: Hu, Koren and Volinsky
    (https://doi.org/10.1109/ICDM.2008.22), as the package ``implicit`` computes it. The user of a
    request is solved for from its history, so that new users and longer histories are served too;
    the order of the history does not matter.
    """

    tasks = RANKING_TASKS

    def __init__(
        self, dataset: Dataset, train: Bools, config: ALSConfig | None = None, *, seed: int = 0
    ) -> None:
        """Factorise the train events.

        Args:
            dataset: The data.
            train: Which events may be learned from.
            config: How to factorise.
            seed: Draws the first factors, and orders items of equal score.

        Raises:
            MissingDependencyError: When implicit is not installed.
        """
        self._config = config or ALSConfig()
        als = require("implicit.cpu.als", extra="baselines", why="ALSRecommender")
        self._sparse = require("scipy.sparse", extra="baselines", why="ALSRecommender")
        interactions, items = dataset.interactions, len(dataset.catalogue)
        met_UN = self._counts(
            interactions.user_of[train], interactions.item[train],
            shape=(interactions.user_count, items),
        )  # fmt: skip
        self._model = als.AlternatingLeastSquares(
            factors=self._config.factors,
            regularization=self._config.regularization,
            alpha=self._config.confidence,
            iterations=self._config.iterations,
            random_state=seed,
        )
        self._model.fit(met_UN, show_progress=False)
        self._prior_N = 1e-9 * tie_breaks(items, seed)

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank the items that fit the whole history best among those that each request allows."""
        rankings = []
        part = max(1, _SCORES_AT_ONCE // len(self._prior_N))
        for start in range(0, len(requests), part):
            some = requests[start : start + part]
            user_BF = self._model.recalculate_user(np.arange(len(some)), self._histories(some))
            score_BN = user_BF @ self._model.item_factors.T + self._prior_N
            rankings += top_items(score_BN, some, k)
        return rankings

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Refuse: factors have no words."""
        raise NotImplementedError("ALS only ranks items; it answers no 'rate' or 'explain'")

    def _histories(self, requests: Sequence[Request]) -> Any:
        recent = [request.history[-self._config.last :] for request in requests]
        rows = np.repeat(np.arange(len(recent)), [len(items) for items in recent])
        items = np.fromiter(itertools.chain.from_iterable(recent), dtype=np.int64)
        return self._counts(rows, items, shape=(len(requests), len(self._prior_N)))

    def _counts(self, rows: Any, items: Any, *, shape: tuple[int, int]) -> Any:
        ones = np.ones(len(rows), dtype=np.float32)
        return self._sparse.csr_matrix((ones, (rows, items)), shape=shape)


def tune_als(dataset: Dataset, split: Split, *, users: int = 2000, seed: int = 0) -> ALSConfig:
    """Choose the config with the best NDCG@10 on the validation events, from a small grid.

    Args:
        dataset: The data.
        split: What to learn from and what to validate on; the test events are not touched.
        users: Validate on so many events at most.
        seed: Draws them, and the first factors.
    """
    configs = (
        ALSConfig(factors=factors, regularization=regularization, last=last)
        for factors, regularization, last in itertools.product([64, 256], [0.1, 1.0, 10.0], [3, 50])
    )
    return tune(
        configs, lambda config: ALSRecommender(dataset, split.train, config, seed=seed),
        dataset, split, task="recommend", metric="ndcg@10", users=users, seed=seed,
    )  # fmt: skip
