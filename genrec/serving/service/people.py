"""Whom a question is about: the user's items, those that the request brings along among them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from genrec.data import Catalogue
from genrec.data.catalogue import PICTURE
from genrec.models import PictureStore
from genrec.serving.service.errors import item_exists, unknown_item
from genrec.serving.service.inline import table_of
from genrec.serving.service.newcomers import Newcomers
from genrec.serving.service.schemas import NewItem
from genrec.serving.service.versions import CatalogueVersion


class People(NamedTuple):
    """Finds the rows of raw ids, as one request means them."""

    version: CatalogueVersion
    guests: Mapping[str, int] = {}
    """The rows of the items that came with the request."""

    def rows(self, item_ids: Sequence[str], field: str) -> tuple[int, ...]:
        """Find rows; see :meth:`CatalogueVersion.rows`."""
        if not self.guests:
            return self.version.rows(item_ids, field)
        for place, name in enumerate(item_ids):
            if name not in self.guests and name not in self.version:
                raise unknown_item(name, f"{field}.{place}")
        return tuple(
            self.guests[name] if name in self.guests else self.version.rows([name], field)[0]
            for name in item_ids
        )


def host(
    version: CatalogueVersion,
    items: Sequence[NewItem],
    newcomers: Newcomers,
    guests: dict[str, int],
    *,
    picture_pixels: int,
) -> None:
    """Take in the items of a request.

    Args:
        version: The version that answers it.
        items: The items.
        newcomers: Gives them their codes.
        guests: Gets the row of each, as soon as it is there.
        picture_pixels: Largest picture, width times height.

    Raises:
        Refusal: When one has the name of another item, or cannot be read.
    """
    for place, item in enumerate(items):
        if item.item_id in version or item.item_id in {other.item_id for other in items[:place]}:
            raise item_exists(
                item.item_id, f"new_items.{place}.item_id", remedy="give it a name of its own"
            )
    table = table_of(items, version.catalogue, field="new_items", picture_pixels=picture_pixels)
    codes_ML = newcomers.codes(table)
    pictures = _pictures(version)
    if pictures is None and PICTURE in table.columns:
        table = table.with_columns(pl.lit(None, dtype=pl.Binary).alias(PICTURE))
    catalogue = Catalogue(table)
    for number, codes_L in enumerate(codes_ML):
        row = version.renderer.host(catalogue.table[number], codes_L)
        guests[items[number].item_id] = row
        picture = catalogue.picture(number)
        if picture is not None and pictures is not None:
            pictures.host(row, picture)


def dismiss(version: CatalogueVersion, guests: Mapping[str, int]) -> None:
    """Forget the items of a request."""
    pictures = _pictures(version)
    for row in guests.values():
        version.renderer.dismiss(row)
        if pictures is not None:
            pictures.dismiss(row)


def _pictures(version: CatalogueVersion) -> PictureStore | None:
    """Find what shows pictures to the model, where it sees any."""
    pictures = getattr(version.engine, "pictures", None)
    return pictures if isinstance(pictures, PictureStore) else None
