"""Sequential item-kNN: what others bought around the user's last items.

Tuned, it beats most published generative numbers on Amazon's Beauty and Toys, so a model that does
not beat it has shown little. It belongs to the session-based neighbourhood methods that Ludewig and
Jannach found hard to beat (https://arxiv.org/abs/1803.09587).

Shape letters in this file: B requests, I events, N items.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genrec.data import Dataset, Split
from genrec.eval.baselines import popularity
from genrec.eval.questions import Bools
from genrec.eval.tasks import RANKING_TASKS
from genrec.eval.top_items import tie_breaks, top_items
from genrec.eval.tuning import tune
from genrec.optional import require
from genrec.recommender import Ranking, Request

_SCORES_AT_ONCE = 1 << 24


@dataclass(frozen=True, kw_only=True)
class ItemKNNConfig:
    """How items become neighbours. The values are those that validate best on Beauty."""

    window: int = 50
    """How many places apart two items of one history may be to count as neighbours."""

    distance_power: float = 0.5
    """A pair ``d`` places apart counts ``d ** -distance_power``; 0 ignores the distance."""

    backward: float = 0.6
    """What a pair counts from the later item to the earlier one; in the other direction it is 1."""

    popularity_power: float = 0.2
    """How strongly popular items are divided down: by count ** popularity_power on both sides."""

    decay: float = 0.65
    """Weight of each item of the history relative to the one after it."""

    last: int = 10
    """How many items of the history are looked at, from its end."""

    def __post_init__(self) -> None:
        for name in ("window", "last"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it is a number of items, >= 1")
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay is {self.decay}; it is a factor above 0 and at most 1")


class ItemKNNRecommender:
    r"""Ranks items by how often they stood near the last items of the history.

    .. math::
        s(j \mid h) &= \sum_{q=0}^{\mathrm{last}-1} \mathrm{decay}^q \;
            \frac{C_{h_{-1-q},\,j}}{(n_{h_{-1-q}} \, n_j)^{\alpha}} \\
        C_{ij} &= \sum_{\text{pairs}} d^{-p} \,
            (1 \text{ where } j \text{ comes after } i, \text{ backward where before})

    over all pairs of train events of one user that are ``d <= window`` places apart; ``n`` is the
    number of train events. Items that are near nothing follow by popularity.
    """

    tasks = RANKING_TASKS

    def __init__(
        self, dataset: Dataset, train: Bools, config: ItemKNNConfig | None = None, *, seed: int = 0
    ) -> None:
        """Count neighbours in the train events.

        Args:
            dataset: The data.
            train: Which events may be learned from.
            config: How to count.
            seed: Orders items of equal score.
        """
        self._config = config or ItemKNNConfig()
        sparse = require("scipy.sparse", extra="eval", why="ItemKNNRecommender")
        count_N = popularity(dataset, train)
        scale_N = sparse.diags_array(np.maximum(count_N, 1) ** -self._config.popularity_power)
        self._near_NN = (scale_N @ _neighbours(dataset, train, self._config) @ scale_N).tocsr()
        self._prior_N = 1e-9 * count_N + 1e-10 * tie_breaks(len(count_N), seed)
        self._sparse = sparse

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank the items nearest to the end of each history among those that it allows."""
        rankings = []
        part = max(1, _SCORES_AT_ONCE // len(self._prior_N))
        for start in range(0, len(requests), part):
            some = requests[start : start + part]
            score_BN = (self._recent(some) @ self._near_NN).toarray() + self._prior_N
            rankings += top_items(score_BN, some, k)
        return rankings

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Refuse: neighbours have no words."""
        raise NotImplementedError("item-kNN only ranks items; it answers no 'rate' or 'explain'")

    def _recent(self, requests: Sequence[Request]) -> Any:
        """Weigh the last items of every history, in a sparse array of shape (B, N)."""
        config = self._config
        rows: list[int] = []
        items: list[int] = []
        weights: list[float] = []
        for row, request in enumerate(requests):
            recent = request.history[: -config.last - 1 : -1]
            rows += [row] * len(recent)
            items += recent
            weights += [config.decay**age for age in range(len(recent))]
        shape = (len(requests), len(self._prior_N))
        return self._sparse.csr_array((weights, (rows, items)), shape=shape)


def tune_item_knn(
    dataset: Dataset, split: Split, *, users: int = 2000, seed: int = 0
) -> ItemKNNConfig:
    """Choose the config with the best NDCG@10 on the validation events, from a small grid.

    Args:
        dataset: The data.
        split: What to learn from and what to validate on; the test events are not touched.
        users: Validate on so many events at most.
        seed: Draws them, and orders items of equal score.
    """
    configs = (
        ItemKNNConfig(window=window, distance_power=power, popularity_power=alpha, decay=decay)
        for (window, power), alpha, decay in itertools.product(
            [(50, 0.5), (8, 1.0), (1, 0.0)], [0.0, 0.2, 0.4, 0.6], [0.5, 0.65, 0.85]
        )
    )
    return tune(
        configs, lambda config: ItemKNNRecommender(dataset, split.train, config, seed=seed),
        dataset, split, task="recommend", metric="ndcg@10", users=users, seed=seed,
    )  # fmt: skip


def _neighbours(dataset: Dataset, train: Bools, config: ItemKNNConfig) -> Any:
    """Count pairs of train events by distance, in a sparse array of shape (N, N)."""
    sparse = require("scipy.sparse", extra="eval", why="ItemKNNRecommender")
    item_I, user_I = dataset.interactions.item[train], dataset.interactions.user_of[train]
    shape = (len(dataset.catalogue), len(dataset.catalogue))
    after_NN = sparse.csr_array(shape, dtype=np.float64)
    for distance in range(1, config.window + 1):
        same_user = user_I[:-distance] == user_I[distance:]
        if not same_user.any():
            break
        earlier, later = item_I[:-distance][same_user], item_I[distance:][same_user]
        weights = np.full(len(earlier), distance**-config.distance_power)
        after_NN = after_NN + sparse.csr_array((weights, (earlier, later)), shape=shape)
    return after_NN + config.backward * after_NN.T
