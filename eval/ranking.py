"""Scores of rankings that have one right item, from the place at which it stands.

Ranks count from 0; ``MISSED`` is the rank of an item that was not named. Every function returns one
score per event, whose mean is the metric: per-event scores are what intervals and comparisons need.

Shape letters in this file: E events.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from genrec.eval.intervals import Floats, Ints, Statistics

MISSED: Final = -1
"""The rank of an item that a ranking does not name."""

CUTOFFS: Final = (1, 3, 5, 10)
"""The lengths of ranking that are scored by default."""


def hit_rate_at(rank_E: Ints, k: int) -> Floats:
    r"""Score 1 where the right item is among the first ``k``.

    .. math:: \mathrm{HR@}k = [\mathrm{rank} < k]
    """
    return _found(rank_E, k).astype(np.float64)


def recall_at(rank_E: Ints, k: int) -> Floats:
    r"""Score the share of the right items that are among the first ``k``.

    .. math:: \mathrm{Recall@}k = |\mathrm{right} \cap \mathrm{first}\ k| \,/\, |\mathrm{right}|

    With one right item, as here, it is the hit rate; the literature uses both names.
    """
    return hit_rate_at(rank_E, k)


def ndcg_at(rank_E: Ints, k: int) -> Floats:
    r"""Score a hit among the first ``k`` by the logarithm of its place.

    .. math:: \mathrm{NDCG@}k = [\mathrm{rank} < k] \,/\, \log_2(\mathrm{rank} + 2)

    The discounted gain of Jarvelin and Kekalainen (https://doi.org/10.1145/582415.582418); the best
    possible one, by which it is divided, is 1 when one item is right.
    """
    discount_E: Floats = np.log2(_place(rank_E) + 2)
    return _found(rank_E, k) / discount_E


def mrr_at(rank_E: Ints, k: int) -> Floats:
    r"""Score a hit among the first ``k`` by the reciprocal of its place.

    .. math:: \mathrm{MRR@}k = [\mathrm{rank} < k] \,/\, (\mathrm{rank} + 1)

    The reciprocal rank of the TREC-8 question answering track
    (https://trec.nist.gov/pubs/trec8/papers/qa_report.pdf), cut off at ``k``.
    """
    return _found(rank_E, k) / (_place(rank_E) + 1)


METRICS: Final[dict[str, Callable[[Ints, int], Floats]]] = {
    "hr": hit_rate_at,
    "recall": recall_at,
    "ndcg": ndcg_at,
    "mrr": mrr_at,
}
"""All metrics of a ranking by name; ``ndcg@10`` is ``ndcg`` with k = 10."""


def ranking_statistics(rank_E: Ints, user_E: Ints, *, cutoffs: Sequence[int]) -> Statistics:
    """Describe all metrics at all cutoffs, under names such as ``ndcg@10``.

    Args:
        rank_E: The rank of each event's right item.
        user_E: The user of each event.
        cutoffs: Values of ``k``.
    """
    scores = {
        f"{name}@{k}": score_at(rank_E, k) for k in cutoffs for name, score_at in METRICS.items()
    }
    return Statistics.of_means(scores, user_E)


def _found(rank_E: Ints, k: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if k < 1:
        raise ValueError(f"k is {k}; a ranking is scored on its first 1 or more items")
    return (rank_E >= 0) & (rank_E < k)


def _place(rank_E: Ints) -> Ints:
    """Rank with a harmless 0 for missed items, which score nothing anyway."""
    return np.maximum(rank_E, 0)
