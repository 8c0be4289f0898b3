"""Items of the catalogue as clients read them, and how they are found."""

import itertools
import math
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
import polars as pl

from genrec.data.catalogue import PICTURE
from genrec.recommender import Ranking
from genrec.serving.service.answers import Item, ItemsAnswer, Ranked
from genrec.serving.service.schemas import Wanted
from genrec.serving.service.versions import CatalogueVersion

_CATEGORIES_TOLD = 500


class Picture(NamedTuple):
    """A picture as a file."""

    content: bytes
    media_type: str


def item_of(version: CatalogueVersion, row: int) -> Item:
    """Tell all about an item."""
    catalogue = version.catalogue
    item_id, known = catalogue.item_ids[row], catalogue.describe(row)
    title = known.get(version.renderer.config.title)
    return Item(
        item_id=item_id, title=None if title is None else str(title), attributes=known,
        in_stock=bool(version.in_stock_N[row]),
        picture=f"/v1/items/{quote(item_id, safe='')}/picture"
        if catalogue.has_picture[row] else None,
    )  # fmt: skip


def ranked(version: CatalogueVersion, ranking: Ranking, body: Wanted) -> list[Ranked]:
    """Name the items of a list, as many as were asked for."""
    return [
        Ranked(
            item_id=version.catalogue.item_ids[row], score=float(score),
            item=item_of(version, int(row)) if body.details else None,
        )
        for row, score in itertools.islice(zip(*ranking, strict=True), body.k)
    ]  # fmt: skip


def picture_of(version: CatalogueVersion, row: int) -> Picture | None:
    """Read the picture of an item as it is kept."""
    if not version.catalogue.has_picture[row]:
        return None
    content: bytes = version.catalogue.table[PICTURE][row]
    return Picture(content, "image/png" if content.startswith(b"\x89PNG") else "image/jpeg")


def find_items(
    version: CatalogueVersion,
    *,
    text: str,
    rows: Sequence[int] | None,
    category: str | None,
    attribute: str,
    in_stock: bool | None,
    page: int,
    page_size: int,
) -> ItemsAnswer:
    """List the items that hold all words of a text, a page at a time, in the catalogue's order.

    Args:
        version: The version to look in.
        text: The words, in any attribute and any order; none at all finds everything.
        rows: Items to list instead of searching.
        category: A category: a whole path, or a step of it.
        attribute: The attribute that tells the category.
        in_stock: Only those that are, or are not.
        page: Counted from 1.
        page_size: Items per page.
    """
    if rows is None:
        is_in_N = np.full(len(version.catalogue), True)
        if in_stock is not None:
            is_in_N &= version.in_stock_N == in_stock
        if category is not None:
            is_in_N &= version.of_category(attribute, [category])
        for word in re.findall(r"\S+", text.lower()):
            is_in_N &= version.words_N.str.contains(word, literal=True).to_numpy()
        rows = is_in_N.nonzero()[0].tolist()
    start = (page - 1) * page_size
    return ItemsAnswer(
        catalogue_version=version.number, total=len(rows), page=page,
        pages=math.ceil(len(rows) / page_size),
        items=[item_of(version, row) for row in rows[start : start + page_size]],
    )  # fmt: skip


def categories_of(version: CatalogueVersion, attribute: str) -> dict[str, int]:
    """Count the items of each category, the largest first; those beyond some hundreds are left."""
    table = version.catalogue.table
    if table.schema.get(attribute) != pl.String:
        return {}
    counts = table[attribute].drop_nulls().value_counts(sort=True).head(_CATEGORIES_TOLD)
    return dict(counts.iter_rows())
