"""How rankings treat new items: how often they name them, and how often they are right to.

Shape letters in this file: E events, K places of a ranking, N items.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from genrec.data import Dataset, Split
from genrec.eval import bootstrap, evaluate
from genrec.eval.intervals import Ints, Statistics
from genrec.eval.results import Ranked
from genrec.recommender import Ranking, Recommender, Request
from genrec.tokenization.arrays import Bools

K = 10


class OnlyNew:
    """A recommender that names new items alone."""

    def __init__(self, recommender: Recommender, new_N: Bools) -> None:
        self._recommender = recommender
        self._items = tuple(np.flatnonzero(new_N).tolist())

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank new items."""
        asked = [replace(request, only=self._items) for request in requests]
        return self._recommender.recommend(asked, k)

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Refuse: nobody asks for words here."""
        raise NotImplementedError


def items_named(one: Recommender, dataset: Dataset, split: Split) -> Ints:
    """Ask about all test events; -1 stands behind the end of a ranking."""
    answers = evaluate(one, dataset, split.test, k=K, train=split.train)["recommend"].answers
    assert isinstance(answers, Ranked)
    return answers.items_EK


def reserve(all_EK: Ints, new_EK: Ints, places: int) -> Ints:
    """Fill the last places with the best new items that do not stand before them."""
    merged_EK = all_EK.copy()
    for row_K, new_K in zip(merged_EK, new_EK, strict=True):
        row_K[K - places :] = new_K[~np.isin(new_K, row_K[: K - places])][:places]
    return merged_EK


def told(items_EK: Ints, dataset: Dataset, events: Ints, new_N: Bools) -> dict[str, Any]:
    """Sum up rankings: how often they name new items, and how often they hit."""
    target_E = dataset.interactions.item[events]
    user_E = dataset.interactions.user_of[events].astype(np.int64)
    is_new_E, is_new_EK = new_N[target_E], new_N[items_EK] & (items_EK >= 0)
    found_E = (items_EK == target_E[:, None]).any(axis=1)
    return {
        "places_of_new": float(is_new_EK.sum() / (items_EK >= 0).sum()),
        "new_items_named": float(len(np.unique(items_EK[is_new_EK])) / new_N.sum()),
        "recall@10_new": share(found_E[is_new_E], user_E[is_new_E]),
        "recall@10_known": share(found_E[~is_new_E], user_E[~is_new_E]),
    }


def share(found_E: Bools, user_E: Ints) -> dict[str, float]:
    bounds = bootstrap(Statistics.of_means({"share": found_E.astype(np.float64)}, user_E))
    return bounds["share"]._asdict()


def table(summary: dict[str, dict[str, Any]]) -> str:
    lines = [f"{'':<24}{'places':>9}{'named':>9}{'hits, new items':>26}{'hits, others':>26}"]
    for name, row in summary.items():
        cells = [f"{row[key]:>9.2%}" for key in ("places_of_new", "new_items_named")]
        for key in ("recall@10_new", "recall@10_known"):
            hit = row[key]
            cells.append(f"{hit['value']:>10.4f} ({hit['low']:.4f}-{hit['high']:.4f})")
        lines.append(f"{name:<24}{''.join(cells)}")
    return "\n".join(lines)
