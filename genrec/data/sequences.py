"""Sequences of items with gaps of time: the form in which Beauty and Toys are often passed on.

``sequences.tsv`` has a user and the items in time order (``user item item ...``), a tab, and the
seconds between each event and the one before it (the first is 0). ``items.jsonl`` has one object an
item, whose ``item_id`` the sequences name.

Only gaps are known, so times count from each user's first event: they compare within a user, never
between users, and :func:`genrec.data.temporal` refuses them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from genrec.data.catalogue import ITEM_ID
from genrec.data.dataset import Dataset
from genrec.data.errors import DataError
from genrec.data.events import EventRules, check_events
from genrec.data.interactions import Interactions
from genrec.data.items import catalogue_of, category_path, check_attributes, clean_text, price_of
from genrec.data.reading import ROW, json_lines, reading

Attribute = str | float | None

_READ: Final[dict[str, Callable[[object], Attribute]]] = {
    "title": clean_text,
    "brand": lambda value: None if value == "Unknown" else clean_text(value),
    "categories": category_path,
    "price": price_of,
    "keywords": clean_text,
}


@dataclass(frozen=True, kw_only=True)
class SequencesConfig:
    """Sequences of items, and what is known about the items."""

    sequences: Path
    """A user and items, a tab, gaps in seconds, on every line."""

    items: Path
    """One JSON object an item."""

    attributes: tuple[str, ...] = ("title", "brand", "categories", "price")
    """What to keep of each item, in this order; ``keywords`` is there too."""

    pictures: Path | None = None
    """A folder or zip file with ``<item_id>.jpg``."""

    rules: EventRules = field(default_factory=EventRules)
    """What events must look like."""

    def __post_init__(self) -> None:
        check_attributes(self.attributes, list(_READ))


def load_sequences(config: SequencesConfig, *, name: str = "sequences") -> Dataset:
    """Load sequences with gaps; see the module for the form of the files."""
    catalogue, info = catalogue_of(_items(config), path=config.items, pictures=config.pictures)
    checked = check_events(
        _events(config.sequences).lazy(),
        config.rules,
        path=config.sequences,
        item_ids=catalogue.table[ITEM_ID],
    )
    interactions = Interactions.from_table(checked.table, catalogue, time_is_relative=True)
    return Dataset(catalogue, interactions, name, {**info, "dropped_events": checked.dropped})


def _items(config: SequencesConfig) -> pl.DataFrame:
    rows = []
    for number, record in json_lines(config.items):
        if ITEM_ID not in record:
            raise DataError(f"{config.items}, row {number} has no {ITEM_ID!r}; it has {[*record]}")
        row: dict[str, Attribute] = {ROW: number, ITEM_ID: str(record[ITEM_ID])}
        try:
            row |= {name: _READ[name](record.get(name)) for name in config.attributes}
        except DataError as error:
            raise DataError(f"{config.items}, row {number}: {error}; correct it") from None
        rows.append(row)
    floats = {"price": pl.Float64} if "price" in config.attributes else {}
    texts = dict.fromkeys((ITEM_ID, *config.attributes), pl.String)
    return pl.DataFrame(rows, schema={ROW: pl.Int64, **texts, **floats})


def _events(path: Path) -> pl.DataFrame:
    """Read one row per event, with the line it came from."""
    with reading(path):
        lines = (
            pl.read_csv(
                path,
                separator="\0",  # no separator: a line is one text
                has_header=False,
                new_columns=["line"],
                quote_char=None,
                infer_schema=False,
            )
            .with_row_index(ROW, 1)
            .drop_nulls()
        )
    halves = pl.col("line").str.split("\t")
    words, gaps = (halves.list.get(n, null_on_oob=True).str.split(" ") for n in range(2))
    sequences = lines.select(
        ROW,
        "line",
        halves.list.len().alias("halves"),
        words.list.first().alias("user"),
        words.list.slice(1).alias("item"),
        gaps.list.eval(pl.element().cast(pl.Int64, strict=False)).alias("gap"),
    )
    _check_sequences(sequences, path)
    events = sequences.explode("item", "gap")
    return events.select(ROW, "user", "item", pl.col("gap").cum_sum().over(ROW).alias("time"))


def _check_sequences(sequences: pl.DataFrame, path: Path) -> None:
    items, gaps = pl.col("item").list.len(), pl.col("gap").list.len().fill_null(0)
    bad = pl.col("gap").list.eval(pl.element().is_null() | (pl.element() < 0)).list.any()
    for wrong, what in (
        (pl.col("halves") != 2, "not one tab, between the items and the gaps"),
        (items == 0, "no item behind its user"),
        (items != gaps, "not as many gaps as items"),
        (bad, "a gap that is no number of seconds from 0 up"),
        (~pl.col("user").is_first_distinct(), "the user of an earlier row; keep one row per user"),
    ):
        found = sequences.filter(wrong).select(ROW, "line").head(1)
        if not found.is_empty():
            row, line = found.row(0)
            raise DataError(
                f"{path}, row {row} has {what}: {line[:60]!r}; "
                "write 'user item item ...', a tab, the gaps in seconds, the first 0"
            )
