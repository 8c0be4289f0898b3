"""Choosing among settings of a baseline by what it does on validation events."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from genrec.data import Dataset, Split, sample_events
from genrec.eval.harness import evaluate
from genrec.recommender import Recommender

log = logging.getLogger(__name__)

Config = TypeVar("Config")


def tune(
    configs: Iterable[Config],
    build: Callable[[Config], Recommender],
    dataset: Dataset,
    split: Split,
    *,
    task: str,
    metric: str,
    users: int,
    seed: int,
) -> Config:
    """Choose the config that validates best; the first of several that do equally well.

    Args:
        configs: What to choose from, each hashable.
        build: Makes the recommender of a config, from the train events alone.
        dataset: The data.
        split: What to validate on; the test events are not touched.
        task: What is asked, such as ``recommend``.
        metric: What decides, such as ``ndcg@10``; of an error, the lowest.
        users: Validate on so many events at most.
        seed: Draws them.

    Raises:
        ValueError: When there is no config to choose from.
    """
    events = sample_events(split.validation, users, seed=seed)
    scores: dict[Config, float] = {}
    gains: dict[Config, float] = {}
    for config in configs:
        results = evaluate(build(config), dataset, events, tasks=(task,), train=split.train)
        statistics = results[task].statistics
        scores[config] = statistics.values[metric]
        gains[config] = statistics.worth(metric)
    if not gains:
        raise ValueError("there is no config to choose from; give at least one")
    best = max(gains, key=lambda config: gains[config])
    log.info("%s validates best, with a %s of %.4f", best, metric, scores[best])
    return best
