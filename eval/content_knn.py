"""Content kNN: items whose descriptions lie near those of the user's last items.

It needs no event about an item to recommend it, which makes it the bar for new items, as in section
4.3 of TIGER (https://arxiv.org/abs/2305.05065).

Shape letters in this file: B requests, N items, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from genrec.data import Dataset, Split
from genrec.eval.encoded_texts import EncodedTexts, Features, unit_rows
from genrec.eval.tasks import RANKING_TASKS
from genrec.eval.top_items import tie_breaks, top_items
from genrec.eval.tuning import tune
from genrec.recommender import Ranking, Request

_SCORES_AT_ONCE = 1 << 24


@dataclass(frozen=True, kw_only=True)
class ContentKNNConfig:
    """How a history is summed up. The values are those that validate best on Beauty."""

    decay: float = 0.3
    """Weight of each item of the history relative to the one after it; 1 makes all alike."""

    last: int = 10
    """How many items of the history are looked at, from its end."""

    def __post_init__(self) -> None:
        if self.last < 1:
            raise ValueError(f"last is {self.last}; it is a number of items, at least 1")
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay is {self.decay}; it is a factor above 0 and at most 1")


@dataclass(frozen=True, kw_only=True)
class ContentKNNSettings:
    """What a content kNN that stands beside other methods is made of."""

    texts: EncodedTexts = field(default_factory=EncodedTexts)
    """What it knows of the items."""

    neighbours: ContentKNNConfig | None = None
    """How it sums a history up; left out, the decay is tuned on the validation events."""


class ContentKNNRecommender:
    r"""Ranks items by how alike they are to the last items of the history.

    .. math::
        s(j \mid h) = \sum_{q=0}^{\mathrm{last}-1} \mathrm{decay}^q \cos(x_{h_{-1-q}}, x_j)

    Items without features (all 0) are alike to none.
    """

    tasks = RANKING_TASKS

    def __init__(
        self, features_NF: Features, config: ContentKNNConfig | None = None, *, seed: int = 0
    ) -> None:
        """Scale the features to the length 1.

        Args:
            features_NF: What is known of each item, such as the features of its text.
            config: How a history is summed up.
            seed: Orders items of equal score.

        Raises:
            ValueError: When the features are no matrix of finite numbers.
        """
        self._unit_NF = unit_rows(features_NF)
        self._prior_N = 1e-9 * tie_breaks(len(self._unit_NF), seed)
        self._config = config or ContentKNNConfig()

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank the items most alike to the end of each history among those that it allows."""
        rankings = []
        part = max(1, _SCORES_AT_ONCE // len(self._unit_NF))
        for start in range(0, len(requests), part):
            some = requests[start : start + part]
            taste_BF = np.stack([self._taste(request) for request in some])
            rankings += top_items(taste_BF @ self._unit_NF.T + self._prior_N, some, k)
        return rankings

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Refuse: neighbours have no words."""
        raise NotImplementedError("content kNN only ranks items; it answers no 'rate' or 'explain'")

    def _taste(self, request: Request) -> Features:
        """Sum up the last items of a history, later ones with more weight."""
        recent = list(request.history[: -self._config.last - 1 : -1])
        weights = self._config.decay ** np.arange(len(recent))
        return (weights @ self._unit_NF[recent]).astype(np.float32)


def tune_content_knn(
    features_NF: Features, dataset: Dataset, split: Split, *, users: int = 2000, seed: int = 0
) -> ContentKNNConfig:
    """Choose the decay with the best NDCG@10 on the validation events.

    Args:
        features_NF: What is known of each item.
        dataset: The data.
        split: What to validate on; the test events are not touched.
        users: Validate on so many events at most.
        seed: Draws them, and orders items of equal score.
    """
    configs = (ContentKNNConfig(decay=decay) for decay in (0.1, 0.3, 0.5, 0.7, 1.0))
    return tune(
        configs, lambda config: ContentKNNRecommender(features_NF, config, seed=seed),
        dataset, split, task="recommend", metric="ndcg@10", users=users, seed=seed,
    )  # fmt: skip
