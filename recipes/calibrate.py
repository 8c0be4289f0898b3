"""Calibrate a model's ratings on validation events, which it has not learned from.

    python recipes/calibrate.py --model runs/demo/model --dataset runs/demo/data

Fits temperature and biases of the probabilities of ratings and keeps them in the model directory,
from where ``GenRec.from_pretrained`` reads them. Prints how far the ratings are off before and
after, by the likeliest and by the expected one, on the other half of the validation events.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from genrec.data import Dataset, SplitConfig, sample_events
from genrec.eval import TaskError, rated_requests
from genrec.recipe import run_recipe
from genrec.recommender import Rating
from genrec.serving import (
    Calibration,
    TransformersRecommender,
    fit_calibration,
    load_bundle,
    load_pictures,
    save_calibration,
)

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Config:
    model: Path
    """The model directory that recipes/finetune.py wrote."""

    dataset: Path
    """The data set that recipes/prepare.py wrote."""

    split: SplitConfig = field(default_factory=SplitConfig)
    """The split that the model was trained on; its validation events are used."""

    events: int = 5000
    """Use so many validation events, drawn by the seed; 0 takes all."""

    batch_size: int = 64
    """Requests that are computed at once."""

    seed: int = 0
    """Decides which events are used."""


def main(config: Config) -> None:
    dataset = Dataset.load(config.dataset)
    split = config.split.split(dataset.interactions)
    events = sample_events(split.validation, config.events, seed=config.seed)
    requests, ratings = rated_requests(dataset, events)
    rating_E = np.array(ratings)
    bundle, shows_bars = load_bundle(config.model), sys.stderr.isatty()
    recommender = TransformersRecommender(
        *bundle, batch_size=config.batch_size, progress=shows_bars,
        pictures=load_pictures(config.model, bundle, progress=shows_bars),
    )  # fmt: skip
    log_prob_ES, scale = recommender.rating_log_probs(requests), bundle.renderer.config.rating_scale
    if np.isnan(np.array(Calibration(scale=scale).ratings(log_prob_ES))).any():
        raise TaskError(f"{config.model} does not answer in ratings; was it trained on 'rate'?")
    half = len(rating_E) // 2
    untouched = Calibration(scale=scale)
    fitted_on_half = fit_calibration(log_prob_ES[:half], rating_E[:half], scale)
    for name, calibration in (("as it is", untouched), ("calibrated", fitted_on_half)):
        print(f"{name}: {errors(calibration.ratings(log_prob_ES[half:]), rating_E[half:])}")
    calibration = fit_calibration(log_prob_ES, rating_E, scale)
    save_calibration(config.model, calibration)
    biases = ", ".join(f"{bias:.2f}" for bias in calibration.biases)
    print(
        f"temperature {calibration.temperature:.2f}, biases {biases}: {calibration.events} events"
    )


def errors(predicted: list[Rating], rating_E: Floats) -> str:
    """Tell the root mean squared errors of the likeliest and of the expected ratings."""
    gap_E2 = np.array(predicted) - rating_E[:, None]
    likeliest, expected = np.sqrt(np.square(gap_E2[:, ::-1]).mean(axis=0))
    return f"RMSE {likeliest:.3f} by the likeliest rating, {expected:.3f} by the expected one"


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
