"""The best items of every request, from a score for every item.

Shape letters in this file: B requests, N items, K places of a ranking.
"""

from collections.abc import Sequence

import numpy as np

from genrec.eval.intervals import Floats
from genrec.recommender import Ranking, Request, refuse_preferences


def top_items(score_BN: Floats, requests: Sequence[Request], k: int) -> list[Ranking]:
    """Rank the ``k`` items that score best among those that each request allows.

    Raises:
        ValueError: When a request allows no item, or asks for more than a ranking by scores.
    """
    refuse_preferences(requests, "a ranking by scores")
    if k < 1:
        raise ValueError(f"k is {k}; ask for at least 1 item")
    score_BN = np.array(score_BN)
    for score_N, request in zip(score_BN, requests, strict=True):
        score_N[~request.allowed(len(score_N))] = -np.inf
    k = min(k, score_BN.shape[1])
    best_BK = np.argpartition(score_BN, -k, axis=1)[:, -k:]
    score_BK = np.take_along_axis(score_BN, best_BK, axis=1)
    order_BK = np.argsort(-score_BK, axis=1)
    rankings = []
    for row, order_K in enumerate(order_BK):
        order_K = order_K[score_BK[row, order_K] > -np.inf]
        if not len(order_K):
            raise ValueError(
                f"request {row} allows no item: its 'only', 'within' and 'exclude' leave none"
            )
        scores_K = score_BK[row, order_K].astype(np.float32)
        rankings.append(Ranking(best_BK[row, order_K], scores_K))
    return rankings


def tie_breaks(items: int, seed: int) -> Floats:
    """Draw numbers from 0 to 1 that order items of equal score.

    Their order in the catalogue must not: it often follows the first purchase, and so tells who
    bought what next (https://github.com/jeykigung/P5/pull/3).
    """
    return np.random.default_rng(seed).random(items)
