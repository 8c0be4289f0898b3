"""Items as they stand in files, brought into a catalogue."""

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from genrec.data.catalogue import ITEM_ID, Catalogue, check_item_ids
from genrec.data.errors import DataError, did_you_mean
from genrec.data.pictures import read_pictures
from genrec.data.reading import ROW

_PRICE = re.compile(r"\$?\s*(\d[\d,]*(?:\.\d+)?)")


def catalogue_of(
    table: pl.DataFrame, *, path: Path, pictures: Path | None = None
) -> tuple[Catalogue, dict[str, Any]]:
    """Build a catalogue, with pictures where there are some, and report on those.

    Args:
        table: Columns ``ROW``, ``item_id``, then the attributes.
        path: The file that errors name.
        pictures: A folder or zip file, see :func:`read_pictures`.
    """
    check_item_ids(table[ITEM_ID], source=str(path), rows=table[ROW])
    table = table.drop(ROW)
    if pictures is None:
        return Catalogue(table), {}
    found = read_pictures(pictures, table[ITEM_ID].to_list())
    return Catalogue(table.with_columns(found.column)), {"pictures": found.report}


def check_attributes(attributes: Sequence[str], known: Sequence[str]) -> None:
    """Refuse attributes that a loader does not know."""
    for name in attributes:
        if name not in known:
            raise ValueError(f"there is no attribute {name!r}; {did_you_mean(name, known)}")


def clean_text(value: object) -> str | None:
    """Resolve HTML entities and runs of blanks; join lists; ``None`` where nothing is left."""
    if isinstance(value, list):
        value = " ".join(str(part) for part in value)
    if not isinstance(value, str):
        return None
    return " ".join(html.unescape(value).split()) or None


def category_path(value: object) -> str | None:
    """Write categories, coarsest first, as ``A > B > C``; of several paths, the first."""
    if isinstance(value, list) and value and isinstance(value[0], list):
        value = value[0]
    if not isinstance(value, list):
        return clean_text(value)
    return " > ".join(part for name in value if (part := clean_text(name))) or None


def price_of(value: object) -> float | None:
    """Read a price such as 12.99, "12.0" or "$1,299.00"; ``None`` where it is empty or a dash.

    Raises:
        DataError: When it is anything else.
    """
    if isinstance(value, (int, float)):
        return float(value)
    text = str(value or "").strip()
    if text in ("", "-", "\N{EM DASH}", "None", "nan"):
        return None
    match = _PRICE.fullmatch(text)
    if match is None:
        raise DataError(f"the price {text!r} is no number")
    return float(match.group(1).replace(",", ""))
