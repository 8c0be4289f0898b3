"""Catch recommenders that look at what they must predict."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl

from genrec.data import Dataset
from genrec.eval.intervals import Ints
from genrec.eval.leaks import LeakError, name_of
from genrec.eval.questions import Questions
from genrec.recommender import Recommender


def refuse_peeking(
    make: Callable[[Dataset], Recommender],
    dataset: Dataset,
    events: Ints,
    *,
    k: int = 10,
    seed: int = 0,
) -> None:
    """Make a recommender twice, with the true held-out events and with others in their place.

    Who learns from nothing that is held out cannot tell the difference: both must answer the same
    requests with the same rankings, item by item. It is a test of how a recommender is *made*, so
    it finds what no check of a train mask can, such as a table of all histories.

    Args:
        make: Makes the recommender from data, with a split that it knows already.
        dataset: The data.
        events: Rows of the events to predict.
        k: Length of the rankings.
        seed: Draws the other events; a recommender's own seeds must be fixed.

    Raises:
        LeakError: At the first ranking that differs.
    """
    events = np.asarray(events, dtype=np.int64)
    requests = [question.request for question in Questions.about(dataset, events, "recommend")]
    honest, blind = (
        make(data).recommend(requests, k) for data in (dataset, _other_truth(dataset, events, seed))
    )
    for event, ours, theirs in zip(events.tolist(), honest, blind, strict=True):
        if not np.array_equal(ours.items, theirs.items):
            raise LeakError(
                f"the ranking for {name_of(dataset.interactions, event)} is another one when the "
                "held-out events are exchanged, so the recommender reads them: learn from "
                "split.train only"
            )


def _other_truth(dataset: Dataset, events: Ints, seed: int) -> Dataset:
    """Put other items into the held-out events, and nothing into their ratings and words."""
    interactions, items = dataset.interactions, len(dataset.catalogue)
    steps = np.random.default_rng(seed).integers(1, max(items, 2), size=len(events))
    item, rating = interactions.item.copy(), interactions.rating.copy()
    item[events] = (item[events] + steps) % items
    rating[events] = np.nan
    keep = np.ones(len(interactions), dtype=np.bool_)
    keep[events] = False
    extras = interactions.extras.with_columns(
        pl.when(pl.Series(keep)).then(pl.col(name)).alias(name)
        for name in interactions.extras.columns
    )
    other = replace(interactions, item=item, rating=rating, extras=extras)
    return Dataset(dataset.catalogue, other, dataset.name, dataset.info)
