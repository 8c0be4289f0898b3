"""MovieLens as GroupLens publishes it (https://grouplens.org/datasets/movielens/), with posters.

``ratings.csv`` (userId, movieId, rating, timestamp) and ``movies.csv`` (movieId, title, genres); a
title ends in its year, genres are joined by ``|``.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from genrec.data.catalogue import ITEM_ID, check_item_ids
from genrec.data.dataset import Dataset
from genrec.data.events import EventRules, check_events
from genrec.data.interactions import Interactions
from genrec.data.items import catalogue_of
from genrec.data.reading import ROW, reading, scan_rows

_YEAR: Final = r"\s*\((\d{4})(?:[-\x{2013}]\d{0,4})?\)\s*$"
"""The year at the end of a title, of a series the first one: (1995), (2006-2007), (2016-)."""


@dataclass(frozen=True, kw_only=True)
class MovieLensConfig:
    """MovieLens ratings and movies, and a poster for each where there is one."""

    folder: Path
    """Where ratings.csv and movies.csv are."""

    pictures: Path | None = None
    """A folder or zip file of posters, ``<movieId>.jpg``."""

    keep_unrated: bool = False
    """Whether movies that nobody rated stay in the catalogue."""

    rules: EventRules = field(default_factory=EventRules)
    """What events must look like."""


def load_movielens(config: MovieLensConfig, *, name: str = "movielens") -> Dataset:
    """Load ratings, movies (title, genres, year) and posters."""
    ratings, movies = config.folder / "ratings.csv", config.folder / "movies.csv"
    rows = scan_rows(ratings, ["userId", "movieId", "rating", "timestamp"]).rename(
        {"userId": "user", "movieId": "item", "timestamp": "time"}
    )
    with reading(movies):
        table = _movies(scan_rows(movies, ["movieId", "title", "genres"])).collect()
    check_item_ids(table[ITEM_ID], source=str(movies), rows=table[ROW])
    checked = check_events(rows, config.rules, path=ratings, item_ids=table[ITEM_ID])
    with reading(ratings):
        if not config.keep_unrated:
            rated = checked.table.select(pl.col("item").unique()).collect(engine="streaming")
            table = table.filter(pl.col(ITEM_ID).is_in(rated["item"].implode()))
        catalogue, info = catalogue_of(table, path=movies, pictures=config.pictures)
        interactions = Interactions.from_table(checked.table, catalogue)
    return Dataset(catalogue, interactions, name, {**info, "dropped_events": checked.dropped})


def _movies(scan: pl.LazyFrame) -> pl.LazyFrame:
    title, genres = pl.col("title"), pl.col("genres")
    return scan.select(
        ROW,
        pl.col("movieId").alias(ITEM_ID),
        title.str.replace(_YEAR, "").str.strip_chars().alias("title"),
        pl.when(genres != "(no genres listed)")
        .then(genres.str.replace_all("|", ", ", literal=True))
        .alias("genres"),
        title.str.extract(_YEAR).cast(pl.Int64).alias("year"),
    )
