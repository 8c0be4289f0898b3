"""Scores of selections: which of some candidates a recommender takes to fit.

Shape letters in this file: E events.
"""

from collections.abc import Sequence

import numpy as np

from genrec.eval.intervals import Floats, Ints, Statistics

Rows = tuple[int, ...]


def selection_statistics(
    chosen: Sequence[Rows], fitting: Sequence[Rows], user_E: Ints
) -> Statistics:
    r"""Describe precision, recall and F1, each averaged over the events.

    .. math:: P = |C \cap F| / |C| \qquad R = |C \cap F| / |F| \qquad F_1 = 2PR / (P + R)

    for the chosen items :math:`C` and the fitting ones :math:`F`. Who chooses nothing has a
    precision of 0, as there is always one that fits.

    Args:
        chosen: What was chosen for each event.
        fitting: What is right.
        user_E: The user of each event.
    """
    pairs = [(set(one), set(other)) for one, other in zip(chosen, fitting, strict=True)]
    hits_E = np.array([len(one & other) for one, other in pairs], dtype=np.float64)
    chosen_E = np.array([len(one) for one, _ in pairs], dtype=np.float64)
    fitting_E = np.array([len(other) for _, other in pairs], dtype=np.float64)
    scores: dict[str, Floats] = {
        "precision": hits_E / np.maximum(chosen_E, 1),
        "recall": hits_E / np.maximum(fitting_E, 1),
        "f1": 2 * hits_E / np.maximum(chosen_E + fitting_E, 1),
    }
    return Statistics.of_means(scores, user_E)
