"""Any CSV, TSV, Parquet or JSON-lines table of interactions, and of items where there is one."""

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from genrec.data.catalogue import ITEM_ID, PICTURE
from genrec.data.dataset import Dataset
from genrec.data.errors import DataError
from genrec.data.events import EventRules, check_events
from genrec.data.interactions import EXTRAS, Interactions
from genrec.data.items import catalogue_of
from genrec.data.reading import ROW, reading, scan_rows


@dataclass(frozen=True, kw_only=True)
class EventColumns:
    """What the file of interactions calls its columns; ``null`` where it has no such column."""

    user: str = "user"
    """Who."""

    item: str = "item"
    """Which item."""

    time: str | None = "time"
    """When. Without it, the order of the rows is the order of time."""

    rating: str | None = None
    """How much they liked it."""

    text: str | None = None
    """What they wrote: a review, an explanation."""

    summary: str | None = None
    """Its headline."""

    query: str | None = None
    """The words of the search that led to the event."""

    behaviour: str | None = None
    """What they did: view, buy."""

    scenario: str | None = None
    """Where: a domain, a shelf, a page."""


@dataclass(frozen=True, kw_only=True)
class TabularConfig:
    """Tables of interactions and items, with the names of their columns."""

    interactions: Path
    """A .csv, .tsv, .parquet or .jsonl file, text also with .gz."""

    columns: EventColumns = field(default_factory=EventColumns)
    """What the interactions' columns are called."""

    items: Path | None = None
    """A file of the same kinds; without it, items are those of the interactions."""

    item_id: str = "item_id"
    """The column of ``items`` that the interactions name."""

    attributes: tuple[str, ...] = ()
    """Columns of ``items`` to keep, in this order."""

    numbers: tuple[str, ...] = ()
    """Which of the attributes are numbers, such as ``[price]``; a text file does not say."""

    pictures: Path | None = None
    """A folder or zip file with ``<item id>.jpg``."""

    rules: EventRules = field(default_factory=EventRules)
    """What events must look like."""

    def __post_init__(self) -> None:
        for name in self.numbers:
            if name not in self.attributes:
                raise ValueError(f"numbers names {name!r}, which is not among the attributes")
        if self.attributes and self.items is None:
            raise ValueError("attributes need a file of items to be read from; give items")


def load_tabular(config: TabularConfig, *, name: str = "tabular") -> Dataset:
    """Load tables; the interactions are streamed, so they may be larger than memory as text."""
    rows = _rows(config)
    if config.items is None:
        table, path = _items_of(rows, config.interactions), config.interactions
    else:
        table, path = _items(config, config.items), config.items
    catalogue, info = catalogue_of(table, path=path, pictures=config.pictures)
    checked = check_events(
        rows, config.rules, path=config.interactions, item_ids=catalogue.table[ITEM_ID]
    )
    with reading(config.interactions):
        interactions = Interactions.from_table(
            checked.table, catalogue, time_is_relative=config.columns.time is None
        )
    return Dataset(catalogue, interactions, name, {**info, "dropped_events": checked.dropped})


def _rows(config: TabularConfig) -> pl.LazyFrame:
    columns = config.columns
    optional = {name: getattr(columns, name) for name in ("rating", *EXTRAS)}
    given = {name: column for name, column in optional.items() if column is not None}
    named = {"user": columns.user, "item": columns.item, **given}
    if columns.time is not None:
        named["time"] = columns.time
    scan = scan_rows(config.interactions, list(dict.fromkeys(named.values())))
    order = [] if columns.time is not None else [pl.col(ROW).alias("time")]
    return scan.select(ROW, *(pl.col(named[name]).alias(name) for name in named), *order)


def _items_of(rows: pl.LazyFrame, path: Path) -> pl.DataFrame:
    with reading(path):
        return (
            rows.select(ROW, pl.col("item").cast(pl.String).str.strip_chars().alias(ITEM_ID))
            .filter(pl.col(ITEM_ID) != "")
            .group_by(ITEM_ID, maintain_order=True)
            .agg(pl.col(ROW).first())
            .collect(engine="streaming")
        )


def _items(config: TabularConfig, path: Path) -> pl.DataFrame:
    for name in config.attributes:
        if name in (ITEM_ID, PICTURE):
            raise DataError(f"an attribute cannot be called {name!r}; rename the column of {path}")
    scan = scan_rows(path, list(dict.fromkeys((config.item_id, *config.attributes))))
    with reading(path):
        table = scan.select(
            ROW,
            # As those of events, which are taken without blanks around them.
            pl.col(config.item_id).cast(pl.String).str.strip_chars().alias(ITEM_ID),
            *config.attributes,
        ).collect()
    for name in config.numbers:
        table = table.with_columns(_number(table, name, path))
    return table


def _number(table: pl.DataFrame, name: str, path: Path) -> pl.Series:
    written = table[name].cast(pl.String).str.strip_chars().replace("", None)
    numbers = written.cast(pl.Float64, strict=False).alias(name)
    wrong = table.filter(numbers.is_null() & written.is_not_null())
    if not wrong.is_empty():
        raise DataError(
            f"{path}, row {wrong[ROW][0]} has the {name} {wrong[name][0]!r}, which is no number; "
            "correct it or take it out of numbers"
        )
    return numbers
