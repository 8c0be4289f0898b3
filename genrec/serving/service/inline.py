"""Items as clients write them, turned into rows of a table like the catalogue's."""

import base64
import binascii
import io
import math
from collections.abc import Sequence
from typing import Any

import polars as pl
from PIL import Image

from genrec.data import Catalogue
from genrec.data.catalogue import ITEM_ID, PICTURE
from genrec.data.errors import did_you_mean
from genrec.serving.service.errors import Refusal
from genrec.serving.service.schemas import NewItem

FORMATS = ("JPEG", "PNG")


def table_of(
    items: Sequence[NewItem], like: Catalogue, *, field: str, picture_pixels: int
) -> pl.DataFrame:
    """Write items as a table with the columns of a catalogue.

    Args:
        items: The items.
        like: The catalogue.
        field: What refusals call the list.
        picture_pixels: Largest picture, width times height.

    Raises:
        Refusal: When an attribute is unknown, of another type or too large a number, or a picture
            cannot be read.
    """
    schema = like.table.schema
    rows = []
    for place, item in enumerate(items):
        spot = f"{field}.{place}"
        row: dict[str, Any] = {ITEM_ID: item.item_id}
        for name, value in item.attributes.items():
            if name not in like.attributes:
                raise Refusal(
                    422, "unknown_attribute", f"no item has an attribute {name!r}",
                    field=f"{spot}.attributes.{name}", remedy=did_you_mean(name, like.attributes),
                )  # fmt: skip
            row[name] = _value(value, schema[name], f"{spot}.attributes.{name}")
        if item.picture is not None:
            if PICTURE not in schema:
                raise Refusal(
                    422, "no_pictures", "the items of this catalogue have no pictures",
                    field=f"{spot}.picture", remedy="leave it out",
                )  # fmt: skip
            row[PICTURE] = _picture(item.picture, f"{spot}.picture", picture_pixels)
        rows.append(row)
    return pl.DataFrame(rows, schema=schema)


def _value(value: str | int | float | None, dtype: pl.DataType, field: str) -> Any:
    if value is None:
        return None
    if dtype == pl.String:
        return str(value)
    if isinstance(value, str):
        raise Refusal(
            422, "wrong_type", f"{field} must be a number, not a text", field=field,
            remedy="write it without quotes",
        )  # fmt: skip
    if dtype.is_integer() and value != int(value):
        raise Refusal(
            422, "wrong_type", f"{field} must be a whole number", field=field, remedy="round it"
        )
    try:
        number = int(value) if dtype.is_integer() else float(value)
        is_held = math.isfinite(pl.select(pl.lit(number, dtype=dtype)).item())
    except (OverflowError, pl.exceptions.PolarsError):
        is_held = False
    if not is_held:
        raise Refusal(
            422, "too_large", f"{field} is beyond the numbers that the catalogue holds",
            field=field, remedy=f"give one that fits into {dtype}",
        )  # fmt: skip
    return number


def _picture(text: str, field: str, most_pixels: int) -> bytes:
    """Decode a picture to its last pixel, so that a broken one is refused here."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal(
            422, "broken_picture", f"{field} is not base64", field=field,
            remedy="send the bytes of a JPEG or PNG file in base64, without a data: prefix",
        ) from None  # fmt: skip
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > most_pixels:
                raise Refusal(
                    422, "too_large", f"{field} has {image.width} x {image.height} pixels; at most "
                    f"{most_pixels:,} are allowed", field=field, remedy="scale it down",
                )  # fmt: skip
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise Refusal(
            422, "broken_picture", f"{field} cannot be decoded", field=field,
            remedy="send a JPEG or PNG file",
        ) from None  # fmt: skip
    return content
