"""How sure a number is: bootstrap intervals by user, and two runs compared on the same users.

The bounds come from the bootstrap, the p-values from swapping the two runs user by user.

Every metric here is a function of sums over events: a mean, the root of a mean, BLEU. So a
resample of users is a vector of weights, and all metrics of all resamples cost one matrix product.

Shape letters in this file: E events, U users, D distinct users, S statistics, M metrics,
R resamples.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np

Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

RESAMPLES: Final = 2000
LEVEL: Final = 0.95

ROUNDING: Final = 1e-6
"""Runs are alike where they differ by no more than this share of the metric."""

Goal = Literal["higher", "lower", "none"]
"""What to wish for a metric: ``"none"`` is for those that only describe."""

Verdict = Literal["better", "worse", "higher", "lower", "cannot tell"]

_WEIGHTS_AT_ONCE = 1 << 24


class Interval(NamedTuple):
    """A number and the bounds between which it lies, at some level of confidence."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the distance between the bounds: what stands behind a plus-minus sign."""
        return (self.high - self.low) / 2


class Comparison(NamedTuple):
    """One metric of two runs on the same events."""

    difference: Interval
    """The first run's value minus the second's."""

    p_value: float
    """Two-sided: how often a difference as far from 0 arises when the runs are interchangeable."""

    p_adjusted: float
    """The same, corrected for all metrics that are compared at once."""

    verdict: Verdict
    """What the first run is; ``"cannot tell"`` where the corrected p-value is too high. Where the
    metric has no better and worse, it is ``"higher"`` or ``"lower"``."""

    def corrected(self, p_adjusted: float, *, level: float = LEVEL) -> "Comparison":
        """Correct it over more comparisons than its own: the verdict holds only if it is sure."""
        verdict = self.verdict if p_adjusted <= 1 - level else "cannot tell"
        return self._replace(p_adjusted=p_adjusted, verdict=verdict)


@dataclass(frozen=True, eq=False)
class Statistics:
    """Metrics of a run, as functions of sums over its events."""

    names: tuple[str, ...]
    """Names of the metrics, such as ``("mae", "rmse")``; M of them."""

    stat_ES: Floats
    """What each event adds to the sums, of shape (E, S)."""

    user_E: Ints
    """The user of each event: events of one user are drawn together, as they are alike."""

    combine: Callable[[Floats], Floats]
    """Turns sums of shape (..., S) into metrics of shape (..., M)."""

    goals: Mapping[str, Goal] = field(default_factory=dict)
    """What to wish for the metrics; ``"higher"`` for those that are not named."""

    @classmethod
    def of_means(cls, scores: Mapping[str, Floats], user_E: Ints) -> "Statistics":
        """Describe metrics that are means over the events of scores of shape (E,)."""
        ones_E = np.ones(len(user_E))
        return cls(tuple(scores), np.column_stack([*scores.values(), ones_E]), user_E, means)

    @property
    def values(self) -> dict[str, float]:
        """The metrics of all events."""
        return dict(zip(self.names, self._metrics(self.stat_ES.sum(axis=0)).tolist(), strict=True))

    def goal(self, metric: str) -> Goal:
        """Tell what to wish for a metric."""
        return self.goals.get(metric, "higher")

    def worth(self, metric: str) -> float:
        """Turn a metric into what is better the higher it is; nothing to score is the worst."""
        value = self.values[metric] * (-1 if self.goal(metric) == "lower" else 1)
        return -math.inf if math.isnan(value) else value

    def where(self, keep_E: np.ndarray[Any, np.dtype[np.bool_]]) -> "Statistics":
        """Describe the same metrics of some of the events."""
        return replace(self, stat_ES=self.stat_ES[keep_E], user_E=self.user_E[keep_E])

    def only(self, *metrics: str) -> "Statistics":
        """Describe some of the metrics alone."""
        places = [self.names.index(metric) for metric in metrics]
        combine = self.combine
        return replace(self, names=metrics, combine=lambda sum_RS: combine(sum_RS)[..., places])

    def _metrics(self, sum_RS: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):  # nothing to score is NaN
            return self.combine(sum_RS)


def means(sum_RS: Floats) -> Floats:
    """Divide all sums by the last one, the number of events."""
    return sum_RS[..., :-1] / sum_RS[..., -1:]


def bootstrap(
    statistics: Statistics, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> dict[str, Interval]:
    """Bound every metric by the percentiles of its values on users drawn with replacement.

    The percentile bootstrap of Efron (https://doi.org/10.1214/aos/1176344552), by user.

    Args:
        statistics: The run.
        resamples: How many times to draw as many users as there are.
        level: Part of the resamples between the bounds.
        seed: Decides the draws.
    """
    stat_US = _by_user(statistics)
    metric_RM = np.concatenate([
        statistics._metrics(sum_RS) for sum_RS in _resample(stat_US, resamples, seed)
    ])  # fmt: skip
    low_M, high_M = _percentiles(metric_RM, level)
    return {
        name: Interval(value, float(low), float(high))
        for (name, value), low, high in zip(statistics.values.items(), low_M, high_M, strict=True)
    }


def compare(
    first: Statistics,
    second: Statistics,
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Comparison]:
    """Compare two runs on the same events, metric by metric.

    The interval is of the paired bootstrap: both runs are summed over the same draws of users, so
    what makes users easy or hard for both cancels. The p-value is of a permutation test: were the
    runs alike, swapping them for any user would change nothing (Noreen, Computer-Intensive Methods
    for Testing Hypotheses, 1989; compared with other tests by https://doi.org/10.1145/1321440.1321528).
    It is corrected over all metrics by :func:`holm`, and decides the verdict.

    Raises:
        ValueError: When the runs do not have the same metrics and the same users.
    """
    if first.names != second.names or not np.array_equal(first.user_E, second.user_E):
        raise ValueError(
            f"these runs cannot be paired: one has {len(first.user_E)} events and the metrics "
            f"{', '.join(first.names)}, the other {len(second.user_E)} events and "
            f"{', '.join(second.names)}; score both on the same events and tasks"
        )
    width = first.stat_ES.shape[1]
    both_US = np.hstack([_by_user(first), _by_user(second)])

    def gaps(sum_RS: Floats) -> Floats:
        return first._metrics(sum_RS[:, :width]) - second._metrics(sum_RS[:, width:])

    gap_RM = np.concatenate([gaps(sum_RS) for sum_RS in _resample(both_US, resamples, seed)])
    low_M, high_M = _percentiles(gap_RM, level)
    swapped_RM = np.concatenate([gaps(sum_RS) for sum_RS in _swap(both_US, resamples, seed)])
    gap_M = gaps(both_US.sum(axis=0)[None])[0]
    # Sums in another order are not equal to the bit, and a model's float32 answers to the same
    # request differ in their last digits with the batch that it comes in.
    size_M = np.abs(np.nan_to_num(first._metrics(both_US[:, :width].sum(axis=0)[None])[0]))
    tolerance_M = 1e-12 + 1e-9 * np.abs(gap_M) + ROUNDING * size_M
    extreme_M = (np.abs(swapped_RM) >= np.abs(gap_M) - tolerance_M).sum(axis=0)
    p_M = np.where(np.isnan(gap_M), 1.0, (extreme_M + 1) / (resamples + 1))
    comparisons = {}
    for m, (name, adjusted) in enumerate(zip(first.names, holm(p_M.tolist()), strict=True)):
        difference = Interval(float(gap_M[m]), float(low_M[m]), float(high_M[m]))
        verdict = _verdict(difference.value, first.goal(name), is_sure=adjusted <= 1 - level)
        comparisons[name] = Comparison(difference, float(p_M[m]), adjusted, verdict)
    return comparisons


def holm(p_values: Sequence[float]) -> list[float]:
    r"""Correct p-values for being many, so that one is below a level by chance as rarely as that.

    .. math:: \tilde p_{(i)} = \max_{j \le i} \min(1, (m - j + 1) \, p_{(j)})

    for the :math:`m` values in rising order (Holm, https://www.jstor.org/stable/4615733).
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def _verdict(difference: float, goal: Goal, *, is_sure: bool) -> Verdict:
    if not is_sure or not difference:
        return "cannot tell"
    if goal == "none":
        return "higher" if difference > 0 else "lower"
    return "better" if (difference > 0) == (goal == "higher") else "worse"


def _by_user(statistics: Statistics) -> Floats:
    """Sum the statistics of each user's events, into shape (U, S)."""
    if not len(statistics.user_E):
        raise ValueError("there are no events, so there is nothing to be sure of")
    order_E = np.argsort(statistics.user_E, kind="stable")
    first_U = np.unique(statistics.user_E[order_E], return_index=True)[1]
    return np.add.reduceat(statistics.stat_ES[order_E], first_U, axis=0)


def _resample(stat_US: Floats, resamples: int, seed: int) -> Iterator[Floats]:
    """Draw users with replacement and sum their statistics, into parts of shape (R, S).

    Users with equal statistics are interchangeable, so only how many of each kind are drawn counts.
    That follows a multinomial law over few kinds: 11 where users are scored by a rank below 10.
    """
    rng = np.random.default_rng(seed)
    stat_DS, count_D = np.unique(stat_US, axis=0, return_counts=True)
    part = max(1, _WEIGHTS_AT_ONCE // len(count_D))
    for start in range(0, resamples, part):
        size = min(part, resamples - start)
        yield rng.multinomial(len(stat_US), count_D / len(stat_US), size=size) @ stat_DS


def _swap(both_US: Floats, resamples: int, seed: int) -> Iterator[Floats]:
    """Swap two runs for every user by the toss of a coin; sum into parts of shape (R, S).

    The first half of the statistics is of one run, the second of the other. As in the bootstrap
    only how many of each kind of users are swapped counts.
    """
    rng = np.random.default_rng([seed, 1])
    both_DS, count_D = np.unique(both_US, axis=0, return_counts=True)
    half = both_DS.shape[1] // 2
    gap_DS = both_DS[:, half:] - both_DS[:, :half]
    gain_DS = np.hstack([gap_DS, -gap_DS])
    sum_S = both_US.sum(axis=0)
    part = max(1, _WEIGHTS_AT_ONCE // len(count_D))
    for start in range(0, resamples, part):
        size = min(part, resamples - start)
        yield sum_S + rng.binomial(count_D, 0.5, size=(size, len(count_D))) @ gain_DS


def _percentiles(value_RM: Floats, level: float) -> tuple[Floats, Floats]:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it is a part between 0 and 1, such as 0.95")
    low_M, high_M = np.quantile(value_RM, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low_M, high_M
