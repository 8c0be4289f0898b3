"""Scores of predicted ratings.

Shape letters in this file: E events, B bins, S statistics, R resamples.
"""

import math
import re
from typing import Final, NamedTuple

import numpy as np

from genrec.eval.intervals import Floats, Ints, Statistics, means

BINS: Final = 10
"""Bins of equal width, from the lowest rating that was given to the highest."""

_NAMES: Final = ("calibration", "mae-likeliest", "rmse-likeliest", "mae", "rmse")

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
    """Describe MAE, RMSE and calibration error over the predictions that are numbers.

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
    stat_ES = np.column_stack([calibration_gaps(predicted_E, target_E), *errors, parsed_E])
    return Statistics(_NAMES, stat_ES, user_E, _combine, dict.fromkeys(_NAMES, "lower"))


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


def calibration_gaps(predicted_E: Floats, target_E: Floats) -> Floats:
    r"""Distance of every prediction with its sign, in the column of its bin, of shape (E, B).

    The calibration error is made of these sums: how far, bin by bin, the mean prediction lies from
    the mean rating that was given where it was predicted.

    .. math::
        \mathrm{ECE} = \sum_b \frac{|E_b|}{|E|} \left| \frac{1}{|E_b|}
            \sum_{e \in E_b} (\hat r_e - r_e) \right|

    It is equation 3 of Guo et al. (https://arxiv.org/abs/1706.04599), of expected ratings in place
    of confidences.
    """
    bin_E, parsed_E = _bins(predicted_E, target_E), ~np.isnan(predicted_E)
    gap_EB = np.zeros((len(target_E), BINS))
    rows = np.flatnonzero(parsed_E)
    gap_EB[rows, bin_E[rows]] = (predicted_E - target_E)[rows]
    return gap_EB


class Bin(NamedTuple):
    """Predictions that are about alike, and what was given where they were made."""

    predicted: float
    """Their mean."""

    given: float
    """The mean rating of the same events."""

    events: int


def reliability(predicted_E: Floats, target_E: Floats) -> list[Bin]:
    """Tell for each bin of predictions, the lowest first, what was given; empty bins are left out.

    For a calibrated method both numbers of a bin agree.
    """
    bin_E, parsed_E = _bins(predicted_E, target_E), ~np.isnan(predicted_E)
    found = []
    for number in range(BINS):
        inside_E = parsed_E & (bin_E == number)
        if inside_E.any():
            told = float(predicted_E[inside_E].mean()), float(target_E[inside_E].mean())
            found.append(Bin(*told, int(inside_E.sum())))
    return found


def _bins(predicted_E: Floats, target_E: Floats) -> Ints:
    """Number the bin of every prediction; one beyond what was ever given is in an outer bin."""
    if not len(target_E):
        return np.zeros(0, dtype=np.int64)
    low, high = float(target_E.min()), float(target_E.max())
    share_E = (np.nan_to_num(predicted_E, nan=low) - low) / max(high - low, 1e-9)
    return np.clip((share_E * BINS).astype(np.int64), 0, BINS - 1)


def _combine(sum_RS: Floats) -> Floats:
    count_R1 = sum_RS[..., -1:]
    calibration_R1 = np.abs(sum_RS[..., :BINS]).sum(axis=-1, keepdims=True) / count_R1
    mean_R4 = means(sum_RS[..., BINS:])
    mean_R4[..., 1::2] = np.sqrt(mean_R4[..., 1::2])
    return np.concatenate([calibration_R1, mean_R4], axis=-1)
