"""Amazon reviews and metadata as their publishers give them: JSON lines, plain or gzipped.

Two editions are told apart by their columns: 2014 (and 2018, of the same form) by Julian McAuley,
https://jmcauley.ucsd.edu/data/amazon/, and 2023, https://amazon-reviews-2023.github.io/.
The metadata of 2014 are Python literals rather than JSON; both are read.
"""

import ast
import html.entities
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl
from tqdm import tqdm

from genrec.data.catalogue import ITEM_ID
from genrec.data.dataset import Dataset
from genrec.data.errors import DataError
from genrec.data.events import EventRules, check_events
from genrec.data.interactions import Interactions
from genrec.data.items import catalogue_of, category_path, check_attributes, clean_text, price_of
from genrec.data.reading import ROW, json_lines, reading, scan_rows

_EDITIONS: Final = {
    "2014": {
        "user": "reviewerID",
        "item": "asin",
        "rating": "overall",
        "time": "unixReviewTime",
        "text": "reviewText",
        "summary": "summary",
    },
    "2023": {
        "user": "user_id",
        "item": "parent_asin",
        "rating": "rating",
        "time": "timestamp",
        "text": "text",
        "summary": "title",
    },
}

_ENTITIES: Final = (
    {f"&{name}": text for name, text in html.entities.html5.items() if name.endswith(";")}
    | {f"&#{code};": chr(code) for code in (*range(32, 127), *range(160, 256))}
    | {f"&#{code};": chr(code) for code in range(0x2000, 0x2040)}  # dashes, quotes
    | {"<br />": " ", "<br/>": " ", "<br>": " "}
)

_ATTRIBUTES: Final = ("title", "brand", "categories", "price", "description", "features")


@dataclass(frozen=True, kw_only=True)
class AmazonConfig:
    """Raw Amazon reviews, and the metadata of the products where they are at hand."""

    reviews: Path
    """Reviews of the 2014, 2018 or 2023 edition."""

    metadata: Path | None = None
    """Metadata of the same edition; without them an item is known by its id only."""

    attributes: tuple[str, ...] = ("title", "brand", "categories", "price", "description")
    """What to keep of each item, in this order; ``features`` is there too."""

    texts: bool = True
    """Whether to keep the text and the summary of reviews."""

    keep_unreviewed: bool = False
    """Whether products without a review stay in the catalogue."""

    pictures: Path | None = None
    """A folder or zip file with ``<item id>.jpg``."""

    rules: EventRules = field(default_factory=EventRules)
    """What events must look like."""

    def __post_init__(self) -> None:
        check_attributes(self.attributes, _ATTRIBUTES)


def load_amazon(config: AmazonConfig, *, name: str = "amazon") -> Dataset:
    """Load raw reviews and metadata; errors name the file, the row, the value and the remedy."""
    edition = _edition(config.reviews)
    columns = _EDITIONS[edition]
    optional = ["text", "summary"] if config.texts else []
    scan = scan_rows(
        config.reviews,
        [columns[name] for name in ("user", "item", "rating", "time")],
        optional=[columns[name] for name in optional],
    )
    wanted = ["user", "item", "rating", "time", *optional]
    rows = scan.select(ROW, *(pl.col(columns[name]).alias(name) for name in wanted)).with_columns(
        unescape(pl.col(optional))
    )
    table = _items(config, rows)
    path = config.metadata or config.reviews
    catalogue, info = catalogue_of(table, path=path, pictures=config.pictures)
    checked = check_events(
        rows, config.rules, path=config.reviews, item_ids=catalogue.table[ITEM_ID]
    )
    with reading(config.reviews):
        interactions = Interactions.from_table(checked.table, catalogue)
    info = {"edition": edition, **info, "dropped_events": checked.dropped}
    return Dataset(catalogue, interactions, name, info)


def unescape(text: pl.Expr) -> pl.Expr:
    """Resolve the HTML that reviews hold: entities and line breaks."""
    return text.str.replace_many(_ENTITIES)


def _edition(path: Path) -> str:
    _, first = next(json_lines(path))
    for edition, columns in _EDITIONS.items():
        if columns["user"] in first:
            return edition
    raise DataError(
        f"{path} has neither a column 'reviewerID' (edition 2014) nor 'user_id' (2023); "
        f"it has {[*first]}"
    )


def _items(config: AmazonConfig, rows: pl.LazyFrame) -> pl.DataFrame:
    """Make one row per item, in the order of the metadata, or else of the reviews."""
    with reading(config.reviews):
        reviewed = (
            rows.group_by("item", maintain_order=True)
            .agg(pl.col(ROW).first())
            .select(ROW, pl.col("item").alias(ITEM_ID))
            .drop_nulls()
            .collect(engine="streaming")
        )
    if config.metadata is None:
        return reviewed
    wanted = None if config.keep_unreviewed else set(reviewed[ITEM_ID])
    records = tqdm(
        json_lines(config.metadata, _json_or_literal), "metadata", unit="items", disable=None
    )
    items = []
    for number, record in records:
        item_id = record.get("parent_asin") or record.get("asin")
        if item_id is None:
            raise DataError(f"{config.metadata}, row {number} has neither 'asin' nor 'parent_asin'")
        if wanted is None or item_id in wanted:
            attributes = _attributes(record)
            told = {name: attributes[name] for name in config.attributes}
            items.append({ROW: number, ITEM_ID: item_id, **told})
    floats = {"price": pl.Float64} if "price" in config.attributes else {}
    texts = dict.fromkeys((ITEM_ID, *config.attributes), pl.String)
    return pl.DataFrame(items, schema={ROW: pl.Int64, **texts, **floats})


def _json_or_literal(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return ast.literal_eval(line.strip())


def _attributes(record: dict[str, Any]) -> dict[str, str | float | None]:
    """Read what the editions call by different names; what the crowd thought of it stays out."""
    try:
        price = price_of(record.get("price"))
    except DataError:
        price = None  # raw metadata hold ranges, styles and scraps of HTML in this field
    brand = clean_text(record.get("brand") or record.get("store"))
    return {
        "title": clean_text(record.get("title")),
        "brand": None if brand == "Unknown" else brand,
        "categories": category_path(record.get("categories") or record.get("category")),
        "price": price,
        "description": clean_text(record.get("description")),
        "features": clean_text(record.get("features") or record.get("feature")),
    }
