"""Several runs that differ by their seed alone, told as one.

Shape letters in this file: E events, S statistics.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from genrec.eval.intervals import LEVEL, Interval, Statistics
from genrec.optional import require


class Seeds(NamedTuple):
    """One metric of several runs."""

    interval: Interval
    """Their mean, and the bounds of what other seeds would have as theirs."""

    deviation: float
    """The standard deviation of the runs, with n - 1."""

    runs: int


def across_seeds(values: Sequence[float], *, level: float = LEVEL) -> Seeds:
    r"""Tell a metric of runs with several seeds by its mean and Student's interval.

    .. math:: \bar x \pm t_{n-1} \; s / \sqrt{n}

    The interval is about training and drawing again, on the same users; that of one run is about
    other users.

    Raises:
        ValueError: When there are fewer than two runs.
    """
    if len(values) < 2:
        raise ValueError(f"{len(values)} run tells nothing of other seeds; give at least 2")
    stats = require("scipy.stats", extra="eval", why="intervals across seeds")
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    quantile = float(stats.t.ppf((1 + level) / 2, df=len(values) - 1))
    half = quantile * deviation / len(values) ** 0.5
    return Seeds(Interval(mean, mean - half, mean + half), deviation, len(values))


def mean_of_runs(runs: Sequence[Statistics]) -> Statistics:
    """Average runs on the same events, event by event: what one of them does at its typical seed.

    Two such means are compared as two runs are, user by user. Only metrics that are means over the
    events are exact then; of others, such as BLEU, it is the metric of the mean counts.

    Raises:
        ValueError: When the runs have other metrics or events.
    """
    first = runs[0]
    for run in runs:
        if run.names != first.names or not np.array_equal(run.user_E, first.user_E):
            raise ValueError(
                "runs of several seeds must have the same metrics on the same events, but one has "
                f"{len(first.user_E)} events and another {len(run.user_E)} or other metrics"
            )
    stat_ES = np.mean([run.stat_ES for run in runs], axis=0)
    return replace(first, stat_ES=stat_ES)
