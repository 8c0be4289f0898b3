"""Data sets written by hand: every user is a list of items."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from genrec.data import Catalogue, Dataset, Interactions
from genrec.recommender import Ranking, Request


def written(
    histories: Mapping[str, Sequence[int]],
    *,
    items: int = 12,
    ratings: Mapping[str, Sequence[float | None]] | None = None,
    texts: Mapping[str, Sequence[str | None]] | None = None,
    queries: Mapping[str, Sequence[str | None]] | None = None,
) -> Dataset:
    """Make a data set in which users meet items, a second apart, in the order given."""
    catalogue = Catalogue(
        pl.DataFrame({
            "item_id": [f"sku-{row}" for row in range(items)],
            "title": [f"title {row}" for row in range(items)],
        })
    )  # fmt: skip
    columns = {"rating": ratings, "text": texts, "query": queries}
    types = {"rating": pl.Float32, "text": pl.String, "query": pl.String}
    rows = [
        {"user": user, "item": f"sku-{item}", "time": time}
        | {name: told[user][time] for name, told in columns.items() if told is not None}
        for user, history in histories.items()
        for time, item in enumerate(history)
    ]
    table = pl.DataFrame(rows, schema_overrides={n: types[n] for n in types if columns[n]})
    return Dataset(catalogue, Interactions.from_table(table, catalogue), "written")


class Oracle:
    """Answers every request by a function of it, for tests that know what they want."""

    def __init__(self, ranking=None, text=None) -> None:
        self._ranking, self._text = ranking, text
        self.requests: list[Request] = []

    def recommend(self, requests, k):
        self.requests += requests
        rankings = [np.array(self._ranking(request), dtype=np.int64) for request in requests]
        return [Ranking(items, np.zeros(len(items), dtype=np.float32)) for items in rankings]

    def generate(self, requests):
        self.requests += requests
        return [self._text(request) for request in requests]
