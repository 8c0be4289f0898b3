"""Who met which item, when, and what they thought of it.

Shape letters in this file: I events, U users.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl

from genrec.artifacts import fingerprint
from genrec.data.catalogue import Bools, Catalogue
from genrec.data.columns import series_fingerprint, table_fingerprint
from genrec.data.errors import DataError, did_you_mean

Int32s = np.ndarray[Any, np.dtype[np.int32]]
Int64s = np.ndarray[Any, np.dtype[np.int64]]
Float32s = np.ndarray[Any, np.dtype[np.float32]]

EXTRAS: Final = ("text", "summary", "query", "behaviour", "scenario")
"""Columns that events may have besides user, item, time and rating."""


@dataclass(frozen=True, eq=False)
class Interactions:
    """Events in flat columns, sorted by user, then time, then the order in which they came.

    Build them with :meth:`from_table`. Every user has at least one event.
    """

    users: pl.Series
    """Raw user ids, of length U, in the order in which they first came."""

    offsets: Int64s
    """The events of user ``u`` are the rows ``offsets[u]`` to ``offsets[u + 1]``; U + 1 numbers."""

    item: Int32s
    """The row of the catalogue that each event is about, of shape (I,)."""

    time: Int64s
    """Seconds of each event, of shape (I,): since 1970, or see ``time_is_relative``."""

    rating: Float32s
    """Ratings of shape (I,); NaN where there is none."""

    extras: pl.DataFrame = field(default_factory=pl.DataFrame)
    """Optional text columns, some of ``EXTRAS``, each of length I."""

    time_is_relative: bool = False
    """Whether times count from each user's first event, so that they compare only within a user."""

    def __post_init__(self) -> None:
        for array in (self.offsets, self.item, self.time, self.rating):
            array.setflags(write=False)
        for name, length in (
            ("time", len(self.time)),
            ("rating", len(self.rating)),
            *((name, self.extras.height) for name in self.extras.columns),
        ):
            if length != len(self.item):
                raise DataError(f"{name} has {length} events, but item has {len(self.item)}")
        offsets = self.offsets
        if len(offsets) != len(self.users) + 1 or offsets[0] != 0 or offsets[-1] != len(self):
            raise DataError(
                f"{len(offsets)} offsets from {offsets[0]} to {offsets[-1]} do not fit "
                f"{len(self.users)} users and {len(self)} events"
            )
        if len(self.users) == 0 or (np.diff(offsets) < 1).any():
            raise DataError("every user must have an event, and there must be a user")
        backwards = np.flatnonzero(np.diff(self.time) < 0) + 1
        unsorted = backwards[~np.isin(backwards, offsets)]
        if len(unsorted):
            raise DataError(f"event {unsorted[0]} is earlier than the one before it, same user")

    def __len__(self) -> int:
        return len(self.item)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Interactions) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @classmethod
    def from_table(
        cls,
        table: pl.DataFrame | pl.LazyFrame,
        catalogue: Catalogue,
        *,
        source: str = "the table of interactions",
        time_is_relative: bool = False,
    ) -> "Interactions":
        """Sort events and turn raw ids into rows, streaming where the table is lazy.

        Args:
            table: Columns ``user`` and ``item`` (raw ids), ``time`` (whole seconds), and optionally
                ``rating`` and some of ``EXTRAS``.
            catalogue: The items that events may name.
            source: What errors call the table; its rows count from 0.
            time_is_relative: Whether times count from each user's first event.

        Raises:
            DataError: When a column is missing or unknown, the table is empty, or a value is
                missing or names no item.
        """
        table = table.lazy()
        names = table.collect_schema().names()
        _check_columns(names, source)
        users = table.select(pl.col("user").cast(pl.String).unique(maintain_order=True))
        user_ids = users.collect(engine="streaming")["user"].drop_nulls()
        if user_ids.is_empty():
            raise DataError(f"{source} has no rows; an interaction is a user, an item, a time")
        rating = pl.col("rating") if "rating" in names else pl.lit(None)
        events = (
            table.select(
                _code_of("user", user_ids).alias("user"),
                _code_of("item", catalogue.table["item_id"]).alias("item"),
                pl.col("time").cast(pl.Int64),
                rating.cast(pl.Float32).fill_null(np.nan).alias("rating"),
                *(pl.col(name).cast(pl.String) for name in EXTRAS if name in names),
            )
            .sort("user", "time", maintain_order=True)
            .collect(engine="streaming")
        )
        if any(events[name].has_nulls() for name in ("user", "item", "time")):
            raise _first_gap(table, catalogue, source)
        counts = np.bincount(events["user"].to_numpy(), minlength=len(user_ids))
        return cls(
            users=user_ids,
            offsets=np.concatenate([[0], counts.cumsum()]).astype(np.int64),
            item=_array(events, "item", np.int32),
            time=_array(events, "time", np.int64),
            rating=_array(events, "rating", np.float32),
            extras=events.select(name for name in EXTRAS if name in names).rechunk(),
            time_is_relative=time_is_relative,
        )

    @property
    def user_count(self) -> int:
        """Number of users, U."""
        return len(self.users)

    @cached_property
    def events_per_user(self) -> Int64s:
        """How many events each user has, of shape (U,)."""
        return np.diff(self.offsets)

    @cached_property
    def user_of(self) -> Int32s:
        """The user of every event, of shape (I,)."""
        users_U = np.arange(self.user_count, dtype=np.int32)
        return np.repeat(users_U, self.events_per_user)

    def history(self, event: int) -> Int32s:
        """Items of the same user before an event, oldest first."""
        return self.item[self._start(event) : event]

    def history_ratings(self, event: int) -> Float32s:
        """Ratings of the same user before an event, oldest first; NaN where there is none."""
        return self.rating[self._start(event) : event]

    def _start(self, event: int) -> int:
        if not 0 <= event < len(self):
            raise IndexError(f"there is no event {event}; there are {len(self)}")
        return int(self.offsets[np.searchsorted(self.offsets, event, side="right") - 1])

    def column(self, name: str) -> pl.Series | None:
        """Return an optional column such as ``"text"``; ``None`` where the data has none."""
        if name not in EXTRAS:
            raise DataError(f"there is no column {name!r}; {did_you_mean(name, EXTRAS)}")
        return self.extras[name] if name in self.extras.columns else None

    def select(self, keep: Bools) -> "Interactions":
        """Keep the events that are marked, and the users that still have one."""
        counts_U = np.add.reduceat(keep, self.offsets[:-1], dtype=np.int64)
        offsets = np.concatenate([[0], counts_U[counts_U > 0].cumsum()]).astype(np.int64)
        return Interactions(
            users=self.users.filter(counts_U > 0),
            offsets=offsets,
            item=self.item[keep],
            time=self.time[keep],
            rating=self.rating[keep],
            extras=self.extras.filter(keep) if self.extras.width else self.extras,
            time_is_relative=self.time_is_relative,
        )

    def to_table(self, catalogue: Catalogue) -> pl.DataFrame:
        """Write the events with raw ids: the table that :meth:`from_table` reads."""
        return pl.DataFrame(
            [
                self.users.gather(self.user_of).alias("user"),
                catalogue.table["item_id"].gather(self.item).alias("item"),
                pl.Series("time", self.time),
                pl.Series("rating", self.rating).fill_nan(None),
                *self.extras,
            ]
        )

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all users, events and columns."""
        return fingerprint(
            series_fingerprint(self.users.alias("user")),
            self.offsets,
            self.item,
            self.time,
            self.rating,
            table_fingerprint(self.extras),
            str(self.time_is_relative),
        )


def _code_of(column: str, ids: pl.Series) -> pl.Expr:
    """Number the raw ids of a column by their place in ``ids``; null where they are not there."""
    return pl.col(column).cast(pl.String).cast(pl.Enum(ids), strict=False).to_physical()


def _check_columns(names: list[str], source: str) -> None:
    for name in ("user", "item", "time"):
        if name not in names:
            raise DataError(f"{source} has no column {name!r}; it has {names}")
    for name in names:
        if name not in ("user", "item", "time", "rating", *EXTRAS):
            hint = did_you_mean(name, ("rating", *EXTRAS))
            raise DataError(f"{source} has an unknown column {name!r}; {hint}")


def _first_gap(table: pl.LazyFrame, catalogue: Catalogue, source: str) -> DataError:
    """Describe the first event without a user or a time, or about an item that does not exist."""
    known = _code_of("item", catalogue.table["item_id"]).is_not_null()
    gap = pl.col("user").is_null() | pl.col("time").is_null() | ~known
    row = table.with_row_index("row").filter(gap).head(1).collect().row(0, named=True)
    where = f"{source}, row {row['row']}"
    for name in ("user", "item", "time"):
        if row[name] is None:
            return DataError(f"{where} has no {name}; drop the row or fill it in")
    hint = did_you_mean(str(row["item"]), catalogue.item_ids)
    return DataError(
        f"{where} names the item {row['item']!r}, which the catalogue does not have; {hint}"
    )


def _array(events: pl.DataFrame, name: str, dtype: type[np.generic]) -> Any:
    return np.ascontiguousarray(events[name].to_numpy(), dtype=dtype)
