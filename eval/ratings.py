"""Scores of predicted ratings.

Shape letters in this file: E events, S statistics, R resamples.
"""

import math
import re
from typing import Final

import numpy as np

from genrec.eval.intervals import Floats, Ints, Statistics, means

_NUMBER: Final = re.compile(r"\s*[-+]?[0-9]+(\.[0-9]*)?\s*")


def parse_rating(text: str) -> float:
    """Read a generated rating: ``"4"`` and ``" 4.5 "`` are numbers, everything else is NaN.

    NaN is counted and reported by the harness. It is never replaced by a rating that might be
    right: a default in the middle of the scale flatters a model that does not answer.
    """
    return float(text) if _NUMBER.fullmatch(text) else math.nan


def rating_statistics(
    predicted_E: Floats, target_E: Floats, user_E: Ints, *, likeliest_E: Floats | None = None
) -> Statistics:
    """Describe MAE and RMSE over the predictions that are numbers.

    Args:
        predicted_E: The predictions, NaN where there is none.
        target_E: What the users gave.
        user_E: The user of each event.
        likeliest_E: The likeliest rating of each event, for a method that also has that; one that
            predicts a single number is scored by it twice.
    """
    parsed_E = ~np.isnan(predicted_E)
    errors = [
        np.where(parsed_E, error(given_E, target_E), 0.0)
        for given_E in (predicted_E if likeliest_E is None else likeliest_E, predicted_E)
        for error in (absolute_errors, squared_errors)
    ]
    names = ("mae-likeliest", "rmse-likeliest", "mae", "rmse")
    stat_ES = np.column_stack([*errors, parsed_E])
    return Statistics(names, stat_ES, user_E, _combine, lower_is_better=True)


def absolute_errors(predicted_E: Floats, target_E: Floats) -> Floats:
    r"""Distance of every prediction; the mean is the MAE.

    .. math:: \mathrm{MAE} = \frac{1}{|E|} \sum_e |\hat r_e - r_e|
    """
    return np.abs(predicted_E - target_E)


def squared_errors(predicted_E: Floats, target_E: Floats) -> Floats:
    r"""Squared distance of every prediction; the root of the mean is the RMSE.

    .. math:: \mathrm{RMSE} = \sqrt{\frac{1}{|E|} \sum_e (\hat r_e - r_e)^2}
    """
    return (predicted_E - target_E) ** 2


def _combine(sum_RS: Floats) -> Floats:
    mean_R4 = means(sum_RS)
    mean_R4[..., 1::2] = np.sqrt(mean_R4[..., 1::2])
    return mean_R4
