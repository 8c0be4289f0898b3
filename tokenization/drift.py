"""Drift: how much worse the codes describe new items than those that the tokenizer learnt from.

Shape letters in this file: N training items, M new items, Q quantiles.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np

from genrec.tokenization.arrays import Bools, Features

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Where the two distributions of errors are compared."""

WATCH_BEYOND: Final = 0.05
RETRAIN_BEYOND: Final = 0.1
"""Share of new items beyond the 99th percentile of training. Items that the quantizer has not seen
are always described a little worse: docs/tokenizer.md has the shares without any drift."""

WATCH_COST: Final = 0.05
RETRAIN_COST: Final = 0.1
"""By how much errors grow, as a share of them, since the codes nearest to new items are taken."""

SIGNIFICANT: Final = 0.01
"""Chance of such a difference without drift, above which a share beyond says nothing."""


@dataclass(frozen=True, kw_only=True)
class Drift:
    """The reconstruction errors of new items against those of the items of training.

    An error is an item's squared distance from what its nearest codes stand for, in units of the
    variance of the training items' features: 1 says that the codes tell nothing of it.
    """

    training_items: int
    """How many items the tokenizer was trained on."""

    items: int
    """How many new items there are."""

    training_error: float
    """Mean error of the training items."""

    error: float
    """Mean error of the new items by the codes nearest to them."""

    final_error: float
    """Mean error of the new items by the codes that they got."""

    training_quantiles: tuple[float, ...]
    """Errors of the training items at :data:`QUANTILES`."""

    quantiles: tuple[float, ...]
    """Errors of the new items at the same quantiles."""

    worse_share: float
    """How often a new item has a larger error than one of training: 0.5 where nothing drifted."""

    p_value: float
    """Chance of so large a share without drift (one-sided Mann-Whitney test)."""

    beyond_share: float
    """Share of new items with errors above the 99th percentile of training."""

    moved_share: float
    """Share of new items whose nearest codes were taken, so that they got others."""

    @property
    def cost(self) -> float:
        """By how much the new items' errors grew since the codes nearest to them were taken."""
        return self.final_error / self.error - 1 if self.error > 0 else 0.0

    @property
    def verdict(self) -> Literal["keep", "watch", "retrain"]:
        """What to do with the tokenizer."""
        beyond = self.beyond_share if self.p_value < SIGNIFICANT else 0.0
        if beyond >= RETRAIN_BEYOND or self.cost >= RETRAIN_COST:
            return "retrain"
        if beyond >= WATCH_BEYOND or self.cost >= WATCH_COST:
            return "watch"
        return "keep"

    @property
    def advice(self) -> str:
        """The verdict with its reason."""
        reason = (
            f"{self.beyond_share:.1%} of {self.items:,} new items lie beyond the 99th percentile "
            f"of training; {self.moved_share:.1%} found their codes taken, which adds "
            f"{self.cost:.1%} to the error"
        )
        return {
            "keep": f"keep the tokenizer: {reason}",
            "watch": f"keep the tokenizer, but look at the new items: {reason}",
            "retrain": f"train a new tokenizer and model soon: {reason}",
        }[self.verdict]

    def table(self) -> str:
        """Lay the report out for a terminal."""
        lines = ["error at quantile" + "".join(f"{quantile:>8.0%}" for quantile in QUANTILES)]
        for name, errors in (
            (f"training {self.training_items:>8,}", self.training_quantiles),
            (f"new      {self.items:>8,}", self.quantiles),
        ):
            lines.append(name + "".join(f"{error:>8.3f}" for error in errors))
        lines.append(
            f"mean error {self.training_error:.3f} in training, {self.error:.3f} of new items; a "
            f"new one is worse in {self.worse_share:.1%} of pairs (p = {self.p_value:.2g})"
        )
        return "\n".join([*lines, self.advice])

    def to_json(self) -> dict[str, Any]:
        """Turn the report into plain values, with the advice for readers."""
        return {**asdict(self), "verdict": self.verdict, "advice": self.advice}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Drift":
        """Read what :meth:`to_json` gave."""
        plain = {name: value[name] for name in cls.__dataclass_fields__}
        plain["training_quantiles"] = tuple(plain["training_quantiles"])
        plain["quantiles"] = tuple(plain["quantiles"])
        return cls(**plain)


def measure_drift(
    training_N: Features, new_M: Features, final_M: Features, moved_M: Bools
) -> Drift:
    """Compare the reconstruction errors of new items with those of training.

    Args:
        training_N: Errors of the training items by their nearest codes.
        new_M: Errors of the new items by theirs.
        final_M: Errors of the new items by the codes that they got.
        moved_M: Which of them got other codes than the nearest.

    Raises:
        ValueError: When one side has no items.
    """
    if len(training_N) == 0 or len(new_M) == 0:
        raise ValueError(f"{len(training_N)} training and {len(new_M)} new items say no drift")
    worse_share, p_value = mann_whitney(training_N, new_M)
    return Drift(
        training_items=len(training_N),
        items=len(new_M),
        training_error=float(training_N.mean(dtype=np.float64)),
        error=float(new_M.mean(dtype=np.float64)),
        final_error=float(final_M.mean(dtype=np.float64)),
        training_quantiles=tuple(np.quantile(training_N, QUANTILES).tolist()),
        quantiles=tuple(np.quantile(new_M, QUANTILES).tolist()),
        worse_share=worse_share,
        p_value=p_value,
        beyond_share=float((new_M > np.quantile(training_N, 0.99)).mean()),
        moved_share=float(moved_M.mean()),
    )


def mann_whitney(first_N: Features, second_M: Features) -> tuple[float, float]:
    """Find how often a value of the second sample is the larger, and the chance of that by luck.

    Ties count half. The one-sided chance is the normal approximation of Mann and Whitney
    (https://doi.org/10.1214/aoms/1177730491) without correction for ties.
    """
    sorted_N = np.sort(first_N)
    below_M = np.searchsorted(sorted_N, second_M, side="left")
    not_above_M = np.searchsorted(sorted_N, second_M, side="right")
    n, m = len(first_N), len(second_M)
    share = float((below_M + not_above_M).sum() / (2 * n * m))
    spread = math.sqrt((n + m + 1) / (12 * n * m))
    return share, 0.5 * math.erfc((share - 0.5) / spread / math.sqrt(2))
