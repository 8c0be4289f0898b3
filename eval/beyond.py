"""Beyond accuracy: what a shop and its users get from rankings apart from hits.

A ranking's items that are not in the catalogue are left out here; the harness counts them.

Shape letters in this file: E events, K places of a ranking, N items, G groups of items.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from genrec.eval.background import POPULARITIES, Background, Features
from genrec.eval.intervals import Floats, Goal, Ints, Statistics
from genrec.eval.questions import Bools
from genrec.eval.results import Ranked, TaskResults

GOALS: Final[dict[str, Goal]] = {"popularity-lift": "none", "miscalibration": "lower"}
"""What to wish for the metrics, where it is not the higher the better."""

_STECK: Final = 0.01
_PAIRS_AT_ONCE: Final = 1 << 24


class Exposure(NamedTuple):
    r"""How much of all attention a group of items gets.

    .. math::
        \mathrm{share}_G = \sum_{r, i_r \in G} \frac{1}{\log_2(r + 2)}
            \Big/ \sum_{r} \frac{1}{\log_2(r + 2)}

    over all places :math:`r` of all rankings: the exposure of Singh and Joachims
    (https://arxiv.org/abs/1802.07281) with the discount of NDCG.
    """

    group: str
    items: int
    """How many items are in it."""

    share: float
    """Its part of all exposure."""

    wanted: float
    """Its part of the right items."""

    @property
    def gap(self) -> float:
        """Exposure that the group gets beyond what users want of it; negative for too little."""
        return self.share - self.wanted


class Beyond(NamedTuple):
    """What is to be said of one method's rankings."""

    statistics: Statistics
    """Metrics of single rankings, which have intervals."""

    figures: Mapping[str, float]
    """Numbers of all rankings together."""

    exposure: tuple[Exposure, ...]
    """Groups of items by their popularity."""

    count_N: Ints
    """How often each item is named."""


def beyond_accuracy(result: TaskResults, background: Background) -> Beyond:
    r"""Describe rankings by what they name.

    Means over events, of rankings :math:`L` after the history :math:`h`:

    - ``novelty``: :math:`\frac{1}{|L|} \sum_{i \in L} -\log_2 p(i)`, in bits, with the share
      :math:`p` of train events, each item counted once more; Vargas and Castells
      (https://doi.org/10.1145/2043932.2043955).
    - ``diversity``: the share of pairs in :math:`L` whose categories differ, and
      ``feature-diversity``: the mean of :math:`1 - \cos` over pairs: the intra-list diversity of
      Ziegler et al. (https://doi.org/10.1145/1060745.1060754).
    - ``serendipity``: 1 where the right item is named and is not among the :math:`|L|` most
      popular: useful, and not what everybody is told; Ge et al.
      (https://doi.org/10.1145/1864708.1864761).
    - ``popularity-lift``: :math:`\mathrm{pop}(L) / \mathrm{pop}(h) - 1` with the mean train events
      of an item, each summed over all events first; Abdollahpouri et al.
      (https://doi.org/10.1145/3383313.3418487).
    - ``miscalibration``: :math:`\sum_c p_c \log_2 (p_c / \tilde q_c)` for the shares of categories
      :math:`p` in the history and :math:`q` in the ranking, :math:`\tilde q = 0.99 q + 0.01 p`:
      the measure of Steck (https://doi.org/10.1145/3240323.3240372).

    Of all rankings together:

    - ``coverage``: the share of the catalogue that is named at all.
    - ``gini``: :math:`\sum_{j=1}^{N} (2j - N - 1) c_{(j)} \,/\, (N \sum_j c_j)` of how often items
      are named, :math:`c` rising: 0 when all are named alike, near 1 when few are; Fleder and
      Hosanagar (https://doi.org/10.1287/mnsc.1080.0974).

    Args:
        result: Rankings about events of the background's data set.
        background: The train events and what is known of the items.
    """
    answers = result.answers
    assert isinstance(answers, Ranked)
    items_EK, named_EK = answers.items_EK, _named(answers.items_EK, len(background.count_N))
    history_of = background.dataset.interactions.history
    histories = [history_of(event).astype(np.int64) for event in result.event_E.tolist()]
    safe_EK = np.where(named_EK, items_EK, 0)
    scores = {
        "novelty": _mean(_surprise_N(background)[safe_EK], named_EK),
        "serendipity": _serendipity(answers, background),
    }
    if background.categories:
        scores["diversity"] = _category_diversity(background.category_N[safe_EK], named_EK)
        scores["miscalibration"] = _miscalibration(histories, safe_EK, named_EK, background)
    if background.unit_NF is not None:
        scores["feature-diversity"] = _feature_diversity(background.unit_NF, safe_EK, named_EK)
    lift_E2 = np.column_stack([
        _mean(background.count_N[safe_EK], named_EK),
        [background.count_N[history].mean() if len(history) else 0.0 for history in histories],
    ])  # fmt: skip
    count_N = np.bincount(items_EK[named_EK], minlength=len(background.count_N))
    return Beyond(
        statistics=Statistics(
            (*scores, "popularity-lift"),
            np.column_stack([*scores.values(), lift_E2, np.ones(len(items_EK))]),
            result.questions.user_E,
            _combine,
            GOALS,
        ),
        figures={"coverage": float((count_N > 0).mean()), "gini": gini(count_N)},
        exposure=_exposure(answers, safe_EK, named_EK, background),
        count_N=count_N,
    )


def gini(count_N: Ints) -> float:
    """Measure how unevenly things are counted; see :func:`beyond_accuracy`."""
    rising_N, number = np.sort(count_N), len(count_N)
    weight_N = 2 * np.arange(1, number + 1) - number - 1
    return float((weight_N * rising_N).sum() / (number * max(rising_N.sum(), 1)))


def _combine(sum_RS: Floats) -> Floats:
    mean_RS, count_R1 = sum_RS[..., :-3], sum_RS[..., -1:]
    lift_R1 = sum_RS[..., -3:-2] / sum_RS[..., -2:-1] - 1
    return np.concatenate([mean_RS / count_R1, lift_R1], axis=-1)


def _named(items_EK: Ints, item_count: int) -> Bools:
    named_EK: Bools = (items_EK >= 0) & (items_EK < item_count)
    return named_EK


def _mean(value_EK: Floats, named_EK: Bools) -> Floats:
    """Average over the items of each ranking; 0 for an empty one."""
    mean_E: Floats = (value_EK * named_EK).sum(axis=1) / np.maximum(named_EK.sum(axis=1), 1)
    return mean_E


def _surprise_N(background: Background) -> Floats:
    share_N = (background.count_N + 1) / (background.count_N + 1).sum()
    surprise_N: Floats = -np.log2(share_N)
    return surprise_N


def _serendipity(answers: Ranked, background: Background) -> Floats:
    popular = np.argsort(-background.count_N, kind="stable")[: answers.items_EK.shape[1]]
    return ((answers.rank_E >= 0) & ~np.isin(answers.target_E, popular)).astype(np.float64)


def _category_diversity(category_EK: Ints, named_EK: Bools) -> Floats:
    """Share of pairs of known categories that differ."""
    known_EK = named_EK & (category_EK >= 0)
    pair_EKK = known_EK[:, :, None] & known_EK[:, None, :]
    pair_EKK &= ~np.eye(known_EK.shape[1], dtype=np.bool_)
    differ_EKK = pair_EKK & (category_EK[:, :, None] != category_EK[:, None, :])
    share_E: Floats = differ_EKK.sum(axis=(1, 2)) / np.maximum(pair_EKK.sum(axis=(1, 2)), 1)
    return share_E


def _feature_diversity(unit_NF: Features, safe_EK: Ints, named_EK: Bools) -> Floats:
    """Mean distance of pairs, by the square of the sum of unit vectors."""
    distance_E = np.zeros(len(safe_EK))
    part = max(1, _PAIRS_AT_ONCE // (safe_EK.shape[1] * unit_NF.shape[1]))
    for start in range(0, len(safe_EK), part):
        rows = slice(start, start + part)
        unit_EKF = unit_NF[safe_EK[rows]] * named_EK[rows, :, None]
        own_E = (unit_EKF**2).sum(axis=(1, 2))
        cosine_E = (unit_EKF.sum(axis=1) ** 2).sum(axis=1) - own_E
        number_E = named_EK[rows].sum(axis=1)
        pairs_E = number_E * (number_E - 1)
        distance_E[rows] = np.where(pairs_E > 0, 1 - cosine_E / np.maximum(pairs_E, 1), 0)
    return distance_E


def _miscalibration(
    histories: list[Ints], safe_EK: Ints, named_EK: Bools, background: Background
) -> Floats:
    divergence_E = np.zeros(len(safe_EK))
    for e, history in enumerate(histories):
        wanted_C = _shares(background.category_N[history], len(background.categories))
        given = background.category_N[safe_EK[e, named_EK[e]]]
        given_C = _shares(given, len(background.categories))
        smooth_C = (1 - _STECK) * given_C + _STECK * wanted_C
        has = wanted_C > 0
        divergence_E[e] = (wanted_C[has] * np.log2(wanted_C[has] / smooth_C[has])).sum()
    return divergence_E


def _shares(categories: Ints, number: int) -> Floats:
    count_C = np.bincount(categories[categories >= 0], minlength=number)
    shares_C: Floats = count_C / max(count_C.sum(), 1)
    return shares_C


def _exposure(
    answers: Ranked, safe_EK: Ints, named_EK: Bools, background: Background
) -> tuple[Exposure, ...]:
    group_N = background.popularity_N
    weight_EK = named_EK / np.log2(np.arange(safe_EK.shape[1]) + 2)
    share_G = np.bincount(group_N[safe_EK].ravel(), weight_EK.ravel(), minlength=len(POPULARITIES))
    wanted_G = np.bincount(group_N[answers.target_E], minlength=len(POPULARITIES))
    return tuple(
        Exposure(
            group,
            int((group_N == g).sum()),
            float(share_G[g] / max(share_G.sum(), 1e-12)),
            float(wanted_G[g] / max(wanted_G.sum(), 1)),
        )
        for g, group in enumerate(POPULARITIES)
    )
