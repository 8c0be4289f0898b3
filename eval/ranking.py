"""Scores of rankings that have one right item, from the place at which it stands.

Ranks count from 0; ``MISSED`` is the rank of an item that was not named. Every function returns one
score per event, whose mean is the metric: per-event scores are what intervals and comparisons need.

Shape letters in this file: E events.
"""

from collections.abc import Callable, Mapping, Sequence
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


def precision_at(rank_E: Ints, k: int) -> Floats:
    r"""Score the share of the first ``k`` places that a right item takes.

    .. math:: \mathrm{P@}k = |\mathrm{right} \cap \mathrm{first}\ k| \,/\, k

    With one right item it is at most ``1 / k``. A short ranking is divided by ``k`` all the same,
    as in trec_eval.
    """
    return hit_rate_at(rank_E, k) / k


def map_at(rank_E: Ints, k: int) -> Floats:
    r"""Score the precision at the place of every right item, averaged over the right items.

    .. math::
        \mathrm{AP@}k = \frac{1}{\min(|\mathrm{right}|, k)}
            \sum_{r < k} [\mathrm{item}_r\ \mathrm{right}] \; \mathrm{P@}(r + 1)

    Its mean is the MAP (Manning, Raghavan, Schuetze, Introduction to Information Retrieval, section
    8.4). With one right item, as here, it is the reciprocal rank; the literature uses both names.
    """
    return mrr_at(rank_E, k)


def auc(rank_E: Ints, named_E: Ints, candidates_E: Ints) -> Floats:
    r"""Score the share of the wrong candidates that stand below the right one.

    .. math::
        \mathrm{AUC} = \frac{|\{j : s_j < s_i\}| + \tfrac12 |\{j : s_j = s_i\}|}{n - 1}

    for the right item :math:`i` among :math:`n` candidates: the area under the ROC curve as the
    statistic of Wilcoxon (https://doi.org/10.1148/radiology.143.1.7063747). Candidates that a
    ranking does not name stand together behind those that it names.

    Args:
        rank_E: The rank of each event's right item among the candidates.
        named_E: How many different candidates each ranking names.
        candidates_E: How many there are.
    """
    others_E = candidates_E - 1
    unnamed_E = (candidates_E - named_E - 1) / 2
    below_E: Floats = np.where(rank_E == MISSED, unnamed_E, others_E - _place(rank_E))
    share_E: Floats = np.clip(below_E / np.maximum(others_E, 1), 0, 1)
    return share_E


METRICS: Final[dict[str, Callable[[Ints, int], Floats]]] = {
    "hr": hit_rate_at,
    "recall": recall_at,
    "precision": precision_at,
    "ndcg": ndcg_at,
    "mrr": mrr_at,
    "map": map_at,
}
"""All metrics of a ranking by name; ``ndcg@10`` is ``ndcg`` with k = 10."""


def ranking_statistics(
    rank_E: Ints,
    user_E: Ints,
    *,
    cutoffs: Sequence[int],
    id_rank_E: Ints | None = None,
    others: Mapping[str, Floats] | None = None,
) -> Statistics:
    """Describe all metrics at all cutoffs, under names such as ``ndcg@10``.

    Args:
        rank_E: The rank of each event's right item.
        user_E: The user of each event.
        cutoffs: Values of ``k``.
        id_rank_E: The rank of the first item with the same semantic ID, for metrics under names
            such as ``id-ndcg@10``.
        others: Further scores of each event, by name.
    """
    ranks = {"": rank_E} if id_rank_E is None else {"": rank_E, "id-": id_rank_E}
    scores = {
        f"{level}{name}@{k}": score_at(level_rank_E, k)
        for level, level_rank_E in ranks.items()
        for k in cutoffs
        for name, score_at in METRICS.items()
    }
    return Statistics.of_means(scores | dict(others or {}), user_E)


def _found(rank_E: Ints, k: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if k < 1:
        raise ValueError(f"k is {k}; a ranking is scored on its first 1 or more items")
    return (rank_E >= 0) & (rank_E < k)


def _place(rank_E: Ints) -> Ints:
    """Rank with a harmless 0 for missed items, which score nothing anyway."""
    return np.maximum(rank_E, 0)
