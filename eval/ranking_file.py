"""Rankings of any other system, as a plain file of users, items and scores."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from genrec.data import Catalogue, DataError
from genrec.eval.questions import Asked
from genrec.recommender import Ranking

_COLUMNS = ("user", "item", "score")
_EMPTY = Ranking(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))


class RankingFile:
    """Rankings from a table with the columns ``user``, ``item`` (raw ids) and ``score``.

    It is given to ``evaluate`` in place of a recommender. A user's items are ranked by their score,
    the highest first; of equal scores the one that comes first in the file. Everything is scored as
    it stands: an item that the catalogue lacks, or that the user has met already, counts as invalid
    and takes its place; a user without a row has an empty ranking.
    """

    def __init__(self, path: Path | str, catalogue: Catalogue) -> None:
        """Read the file.

        Args:
            path: A table ``.csv``, ``.tsv`` or ``.parquet``.
            catalogue: The items that it names.

        Raises:
            DataError: When a column is missing, a value is none, or a user has an item twice.
        """
        self._path = Path(path)
        table = _read(self._path)
        missing = [name for name in _COLUMNS if name not in table.columns]
        if missing:
            raise DataError(
                f"{path} has no column {missing[0]!r}; it has {table.columns}, but a ranking file "
                "has user, item and score"
            )
        table = table.select(
            pl.col("user").cast(pl.String),
            pl.col("item").cast(pl.String),
            pl.col("score").cast(pl.Float64, strict=False).fill_nan(None),
        )
        for name in _COLUMNS:
            rows = table[name].is_null().arg_true()
            if len(rows):
                raise DataError(f"{path}, row {rows[0]} has no {name} that can be read")
        twice = table.select("user", "item").is_duplicated().arg_true()
        if len(twice):
            user, item = table.row(twice[0])[:2]
            raise DataError(f"{path} ranks the item {item!r} twice for user {user!r}; keep one row")
        codes = pl.col("item").cast(pl.Enum(catalogue.item_ids), strict=False).to_physical()
        ranked = (
            table.with_columns(codes.cast(pl.Int64).fill_null(len(catalogue)).alias("row"))
            .sort("score", descending=True, maintain_order=True)
            .group_by("user", maintain_order=True)
            .agg("row", "score")
        )
        self._ranking_of = {
            user: (rows, scores)
            for user, rows, scores in ranked.select("user", "row", "score").iter_rows()
        }

    def recorded(self, asked: Asked, k: int) -> Iterator[Ranking]:
        """Yield the first ``k`` items of the user of each question.

        Raises:
            DataError: When a task is no ranking of a user, or no user of the file is asked about.
        """
        if asked.task != "recommend":
            raise DataError(f"{self._path} ranks items for users; it answers no {asked.task!r}")
        users = [asked.user_name(question) for question in asked]
        if users and not any(user in self._ranking_of for user in users):
            theirs = next(iter(self._ranking_of), None)
            raise DataError(
                f"{self._path} has none of the users that are asked about: it has {theirs!r}, the "
                f"data {users[0]!r}; use the raw ids of the data"
            )
        for user in users:
            rows, scores = self._ranking_of.get(user, ([], []))
            if rows:
                yield Ranking(np.array(rows[:k], np.int64), np.array(scores[:k], np.float32))
            else:
                yield _EMPTY


def _read(path: Path) -> pl.DataFrame:
    if not path.is_file():
        raise DataError(f"{path} does not exist; a ranking file is a .csv, .tsv or .parquet")
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    if path.suffix in (".csv", ".tsv"):
        separator = "," if path.suffix == ".csv" else "\t"
        return pl.read_csv(path, separator=separator, infer_schema=False)
    raise DataError(f"{path} is no table that can be read; use .csv, .tsv or .parquet")
