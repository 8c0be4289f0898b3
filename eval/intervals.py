"""How sure a number is: bootstrap intervals by user, and two runs compared on the same users.

Every metric here is a function of sums over events: a mean, the root of a mean, BLEU. So a
resample of users is a vector of weights, and all metrics of all resamples cost one matrix product.

Shape letters in this file: E events, U users, D distinct users, S statistics, M metrics,
R resamples.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np

Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

RESAMPLES: Final = 2000
LEVEL: Final = 0.95

Verdict = Literal["better", "worse", "cannot tell"]

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
    """Two-sided: how often a difference as far from 0 arises when there is none."""

    verdict: Verdict
    """What the first run is; ``"cannot tell"`` when the interval of the difference holds 0."""


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

    lower_is_better: bool = False
    """Whether the metrics are errors."""

    @classmethod
    def of_means(cls, scores: Mapping[str, Floats], user_E: Ints) -> "Statistics":
        """Describe metrics that are means over the events of scores of shape (E,)."""
        ones_E = np.ones(len(user_E))
        return cls(tuple(scores), np.column_stack([*scores.values(), ones_E]), user_E, means)

    @property
    def values(self) -> dict[str, float]:
        """The metrics of all events."""
        return dict(zip(self.names, self._metrics(self.stat_ES.sum(axis=0)).tolist(), strict=True))

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

    Both are summed over the same draws of users, so what makes users easy or hard for both cancels.
    The p-value is the share of resamples on the other side of 0, doubled (section 15.4 of Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993); it is not corrected for many metrics.

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
    gap_RM = np.concatenate([
        first._metrics(sum_RS[:, :width]) - second._metrics(sum_RS[:, width:])
        for sum_RS in _resample(both_US, resamples, seed)
    ])  # fmt: skip
    low_M, high_M = _percentiles(gap_RM, level)
    tail_M = np.minimum((gap_RM <= 0).sum(axis=0), (gap_RM >= 0).sum(axis=0))
    p_M = np.minimum(1.0, 2 * (tail_M + 1) / (resamples + 1))
    comparisons = {}
    for m, name in enumerate(first.names):
        gap = first.values[name] - second.values[name]
        difference = Interval(gap, float(low_M[m]), float(high_M[m]))
        verdict = _verdict(difference, lower_is_better=first.lower_is_better)
        comparisons[name] = Comparison(difference, float(p_M[m]), verdict)
    return comparisons


def _verdict(difference: Interval, *, lower_is_better: bool) -> Verdict:
    if difference.low > 0:
        return "worse" if lower_is_better else "better"
    if difference.high < 0:
        return "better" if lower_is_better else "worse"
    return "cannot tell"


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


def _percentiles(value_RM: Floats, level: float) -> tuple[Floats, Floats]:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it is a part between 0 and 1, such as 0.95")
    low_M, high_M = np.quantile(value_RM, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low_M, high_M
