"""From how likely a model finds each rating to the rating that a user will give.

Shape letters in this file: E events, S ratings of the scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from genrec.prompts import AnswerError
from genrec.recommender import Rating

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

LEAST_MASS: Final = 0.01
"""A model that gives less probability than this to all ratings together does not answer in
ratings: it was never taught to."""

_STEEPEST: Final = 0.01
"""Smallest inverse temperature; a fit that wants less finds nothing in the model's ratings."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    r"""Temperature and biases that make a model's probabilities of ratings those of users.

    .. math:: P(r) \propto \exp(\log p_r / T + b_r)

    Bias-corrected temperature scaling (https://arxiv.org/abs/1901.06852). The temperature mends
    over-confidence (https://arxiv.org/abs/1706.04599), the biases how often each rating comes.
    """

    scale: tuple[float, ...]
    """The ratings that can be given."""

    temperature: float = 1.0

    biases: tuple[float, ...] = ()
    """One per rating; empty for none."""

    events: int = 0
    """How many held-out ratings it was fitted to; 0 for none at all."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", tuple(self.scale))
        object.__setattr__(self, "biases", tuple(self.biases) or (0.0,) * len(self.scale))
        if len(self.biases) != len(self.scale):
            raise ValueError(f"{len(self.biases)} biases do not fit {len(self.scale)} ratings")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"the temperature is {self.temperature}; it must be above 0")

    def check_scale(self, scale: Sequence[float]) -> None:
        """Refuse another scale than the one that this was fitted to."""
        if tuple(scale) != self.scale:
            raise ValueError(
                f"ratings were calibrated on the scale {self.scale}, "
                f"but prompts have {tuple(scale)}"
            )

    def shares(self, log_prob_ES: Floats) -> Floats:
        """Return the probability of each rating, given what the model says, of shape (E, S)."""
        score_ES = np.asarray(log_prob_ES) / self.temperature + np.asarray(self.biases)
        weight_ES = np.exp(score_ES - score_ES.max(axis=1, keepdims=True))
        share_ES: Floats = weight_ES / weight_ES.sum(axis=1, keepdims=True)
        return share_ES

    def ratings(self, log_prob_ES: Floats) -> list[Rating]:
        """Return the expected and the likeliest rating of every event."""
        log_prob_ES = np.asarray(log_prob_ES, dtype=np.float64).reshape(-1, len(self.scale))
        scale_S = np.asarray(self.scale)
        share_ES = self.shares(log_prob_ES)
        answers_E = np.exp(log_prob_ES).sum(axis=1) >= LEAST_MASS
        expected_E = np.where(answers_E, share_ES @ scale_S, np.nan)
        likeliest_E = np.where(answers_E, scale_S[share_ES.argmax(axis=1)], np.nan)
        return list(map(Rating, expected_E.tolist(), likeliest_E.tolist()))


def read_rating(text: str) -> float:
    """Read a rating that was answered in words.

    Raises:
        AnswerError: When it is none.
    """
    try:
        return float(text)
    except ValueError:
        raise AnswerError(
            f"the model answered {text!r}, which is no rating; was it trained on the task 'rate'?"
        ) from None


def fit_calibration(
    log_prob_ES: Floats, rating_E: Sequence[float] | Floats, scale: Sequence[float]
) -> Calibration:
    """Fit temperature and biases to ratings that a model has not learned from.

    Maximum likelihood, with the weight of one event drawing the temperature to 1 and the biases to
    0: a rating that never comes has no infinite bias. The problem is convex.

    Args:
        log_prob_ES: What the model says.
        rating_E: What the users gave.
        scale: All ratings that can be given.

    Raises:
        ValueError: When there is no event, or a rating is not on the scale.
    """
    scale_S, rating_E = np.asarray(scale, dtype=np.float64), np.asarray(rating_E, dtype=np.float64)
    log_prob_ES = np.asarray(log_prob_ES, dtype=np.float64)
    if not len(rating_E) or log_prob_ES.shape != (len(rating_E), len(scale_S)):
        raise ValueError(
            f"{log_prob_ES.shape} log-probabilities do not fit {len(rating_E)} ratings on a scale "
            f"of {len(scale_S)}; give one row per rating and at least one"
        )
    right_E = np.abs(rating_E[:, None] - scale_S).argmin(axis=1)
    if (off_E := np.abs(rating_E - scale_S[right_E]) > 1e-4).any():
        raise ValueError(f"the rating {rating_E[off_E][0]:g} is not on the scale {tuple(scale)}")
    steepness, bias_S = _most_likely(log_prob_ES, right_E)
    if steepness < _STEEPEST:  # the best that is allowed lies on the border, as all is convex
        steepness, bias_S = _most_likely(log_prob_ES, right_E, steepness=_STEEPEST)
    return Calibration(
        scale=tuple(scale),
        temperature=1 / steepness,
        biases=tuple((bias_S - bias_S.mean()).tolist()),
        events=len(rating_E),
    )


def _most_likely(
    log_prob_ES: Floats, right_E: Ints, *, steepness: float | None = None
) -> tuple[float, Floats]:
    """Find the inverse temperature, where it is not given, and the biases."""
    model_ES, right = torch.from_numpy(log_prob_ES), torch.from_numpy(right_E)
    steep = torch.tensor(1.0 if steepness is None else steepness, dtype=torch.float64)
    bias_S = torch.zeros(model_ES.shape[1], dtype=torch.float64, requires_grad=True)
    fitted = [bias_S] if steepness is not None else [bias_S, steep.requires_grad_()]
    solver = torch.optim.LBFGS(
        fitted, max_iter=500, tolerance_grad=1e-8, tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss() -> Tensor:
        solver.zero_grad()
        surprise = cross_entropy(steep * model_ES + bias_S, right, reduction="sum")
        total = surprise + ((steep - 1) ** 2 + (bias_S**2).sum()) / 2
        torch.autograd.backward(total)
        return total

    with torch.enable_grad():
        solver.step(loss)  # type: ignore[no-untyped-call]
    return float(steep.detach()), bias_S.detach().numpy()
