"""The items of a shop: what is known about each, row by row.

Shape letters in this file: N items.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import polars as pl
from PIL import Image

from genrec.data.columns import table_fingerprint
from genrec.data.errors import DataError, did_you_mean

ITEM_ID = "item_id"
PICTURE = "picture"

Bools = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, eq=False)
class Catalogue:
    """All items, in a fixed order. An item is its row, 0..N-1; raw ids are only for the outside."""

    table: pl.DataFrame
    """One row per item: ``item_id`` first, then the attributes (text or numbers, in the order in
    which they are told), then an optional ``picture`` (encoded JPEG or PNG bytes). Null is missing;
    empty strings and NaN become null."""

    def __post_init__(self) -> None:
        table = self.table
        if not table.columns or table.columns[0] != ITEM_ID:
            raise DataError(f"the first column must be {ITEM_ID!r}; there are {table.columns}")
        for name, dtype in table.schema.items():
            _check_type(name, dtype)
        check_item_ids(table[ITEM_ID])
        floats = [name for name, dtype in table.schema.items() if dtype.is_float()]
        texts = [name for name, dtype in table.schema.items() if dtype == pl.String]
        table = table.with_columns(
            pl.col(floats).fill_nan(None),
            pl.when(pl.col(texts) != "").then(pl.col(texts)),
        ).rechunk()
        object.__setattr__(self, "table", table)

    def __len__(self) -> int:
        return self.table.height

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Catalogue) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @cached_property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes, in the order in which they are told."""
        return tuple(name for name in self.table.columns if name not in (ITEM_ID, PICTURE))

    @cached_property
    def item_ids(self) -> list[str]:
        """The raw id of every row."""
        return self.table[ITEM_ID].to_list()

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    def rows(self, item_ids: Iterable[str]) -> list[int]:
        """Find the rows of raw ids.

        Raises:
            DataError: When an id is not in the catalogue; the message suggests the nearest one.
            TypeError: When there is no list of texts; one text would be read letter by letter.
        """
        if isinstance(item_ids, str) or not isinstance(item_ids, Iterable):
            raise TypeError(f"item ids come in a list, such as ['item-1'], not as {item_ids!r}")
        try:
            return [self._row_of[item_id] for item_id in item_ids]
        except TypeError as error:  # what cannot be hashed, such as a list in the list
            raise TypeError(f"item ids are texts, such as 'item-1': {error}") from None
        except KeyError as error:
            name = str(error.args[0])
            hint = did_you_mean(name, self.item_ids)
            raise DataError(f"the catalogue has no item {error.args[0]!r}; {hint}") from None

    def describe(
        self, row: int, attributes: Sequence[str] | None = None
    ) -> dict[str, str | float | int]:
        """Tell the attributes of an item that are known, in their declared order.

        Args:
            row: The item.
            attributes: The ones to tell; all when left out.
        """
        wanted = self.attributes if attributes is None else attributes
        for name in wanted:
            if name not in self.attributes:
                hint = did_you_mean(name, self.attributes)
                raise DataError(f"the catalogue has no attribute {name!r}; {hint}")
        row = self._existing(row)
        told = ((name, self._columns[name][row]) for name in self.attributes if name in wanted)
        return {name: value for name, value in told if value is not None}

    @cached_property
    def _columns(self) -> dict[str, pl.Series]:
        return {name: self.table[name] for name in self.attributes}

    @cached_property
    def has_picture(self) -> Bools:
        """Which items have a picture, of shape (N,)."""
        if PICTURE not in self.table.columns:
            return np.zeros(len(self), dtype=np.bool_)
        return self.table[PICTURE].is_not_null().to_numpy()

    def picture(self, row: int) -> Image.Image | None:
        """Decode the picture of an item as RGB; ``None`` where it has none."""
        row = self._existing(row)
        if not self.has_picture[row]:
            return None
        encoded = cast("bytes", self.table[PICTURE][row])
        return Image.open(io.BytesIO(encoded)).convert("RGB")

    def _existing(self, row: int) -> int:
        """Refuse -1 and the like, which would quietly mean another item."""
        if not 0 <= row < len(self):
            raise IndexError(f"there is no item {row}; the catalogue has {len(self)}")
        return int(row)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all ids, attributes and pictures."""
        return table_fingerprint(self.table)

    def select(self, rows: Sequence[int] | np.ndarray[Any, np.dtype[np.int64]]) -> "Catalogue":
        """Keep some items, in the order given."""
        return Catalogue(self.table[np.asarray(rows, dtype=np.int64)])


def in_words(value: str | float | int) -> str:
    """Write an attribute as prompts and answers tell it: 9.0 is ``9``."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _check_type(name: str, dtype: pl.DataType) -> None:
    if name == PICTURE:
        if dtype != pl.Binary:
            raise DataError(f"{PICTURE!r} must hold encoded bytes (Binary), not {dtype}")
    elif name == ITEM_ID:
        if dtype != pl.String:
            raise DataError(f"{ITEM_ID!r} must be a String column, not {dtype}; cast it")
    elif not (dtype == pl.String or dtype.is_numeric()):
        raise DataError(
            f"the attribute {name!r} has the type {dtype}; write it as text or as a number"
        )


def check_item_ids(
    ids: pl.Series, *, source: str = "the catalogue", rows: pl.Series | None = None
) -> None:
    """Refuse a catalogue that is empty, or in which an item has no id or the id of another.

    Args:
        ids: The raw ids.
        source: What errors call the place where they come from.
        rows: Their row numbers there; counted from 0 when left out.
    """
    if ids.is_empty():
        raise DataError(f"{source} has no items")
    number = rows if rows is not None else pl.Series(np.arange(len(ids)))
    unnamed = (ids.is_null() | (ids == "")).arg_true()
    if len(unnamed):
        raise DataError(f"{source}, row {number[unnamed[0]]} has no {ITEM_ID}; drop it or name it")
    repeated = (~ids.is_first_distinct()).arg_true()
    if len(repeated):
        second = ids[repeated[0]]
        first = number[(ids == second).arg_true()[0]]
        raise DataError(
            f"{source}, row {number[repeated[0]]} repeats the {ITEM_ID} {second!r} of row {first}; "
            "keep one row per item"
        )
