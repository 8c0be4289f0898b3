"""One version of the catalogue: all that answers about it need. It never changes.

Shape letters in this file: N items.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
import polars as pl

from genrec.data import Catalogue
from genrec.data.catalogue import ITEM_ID
from genrec.prompts import Renderer
from genrec.recommender import Bools, Recommender, Subset
from genrec.serving.guests import GuestRenderer
from genrec.serving.service.errors import Refusal, unknown_item

STEP = " > "
"""What stands between the steps of a category's path."""

_SETS_KEPT = 64


@runtime_checkable
class Engine(Recommender, Protocol):
    """A recommender whose catalogue can change."""

    @property
    def renderer(self) -> Renderer:
        """What writes its prompts."""
        ...

    def following(self, renderer: Renderer) -> "Engine":
        """Answer with the same model about another catalogue; this one stays as it is."""
        ...


@dataclass(frozen=True, eq=False)
class CatalogueVersion:
    """All that one version needs to answer."""

    number: int
    """Counted from 1, the catalogue of the model directory."""

    engine: Engine
    """Answers about this catalogue."""

    sold_out: frozenset[str] = frozenset()
    """Items that are not in stock."""

    @property
    def renderer(self) -> GuestRenderer:
        """What writes the prompts."""
        assert isinstance(self.engine.renderer, GuestRenderer)
        return self.engine.renderer

    @property
    def catalogue(self) -> Catalogue:
        """The items."""
        return self.renderer.catalogue

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.catalogue.item_ids)}

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._row_of

    def rows(self, item_ids: Sequence[str], field: str) -> tuple[int, ...]:
        """Find the rows of raw ids; a refusal names the first that is unknown by its place."""
        try:
            return tuple(self._row_of[item_id] for item_id in item_ids)
        except KeyError as error:
            name = error.args[0]
            raise unknown_item(name, f"{field}.{list(item_ids).index(name)}") from None

    @cached_property
    def in_stock_N(self) -> Bools:
        """Which items are in stock."""
        in_stock_N = np.ones(len(self.catalogue), dtype=np.bool_)
        in_stock_N[[self._row_of[name] for name in self.sold_out]] = False
        return in_stock_N

    @cached_property
    def words_N(self) -> pl.Series:
        """All that is written of each item, in small letters."""
        told = [pl.col(name).cast(pl.String).fill_null("") for name in self.catalogue.attributes]
        table = self.catalogue.table.select(pl.concat_str([ITEM_ID, *told], separator="\n"))
        return table.to_series().str.to_lowercase()

    @cached_property
    def subset(self) -> Callable[..., Subset | None]:
        """Find the items that requests are held to; the same set is the same object each time."""
        return lru_cache(maxsize=_SETS_KEPT)(self._subset)

    def of_category(self, attribute: str, values: Sequence[str]) -> Bools:
        """Tell which items are of some categories.

        A value ``B`` holds for every path with that step, such as ``A > B > C``, too.
        """
        self._refuse_without(attribute, "category", is_number=False)
        path = pl.concat_str([pl.lit(STEP), pl.col(attribute), pl.lit(STEP)])
        steps = [path.str.contains(f"{STEP}{value}{STEP}", literal=True) for value in values]
        return self._where(pl.any_horizontal(steps))

    def of_price(self, attribute: str, lowest: float | None, highest: float | None) -> Bools:
        """Tell which items have a price in a range, both ends included."""
        self._refuse_without(attribute, "price", is_number=True)
        above = pl.lit(True) if lowest is None else pl.col(attribute) >= lowest
        below = pl.lit(True) if highest is None else pl.col(attribute) <= highest
        return self._where(pl.col(attribute).is_not_null() & above & below)

    def _where(self, is_in: pl.Expr) -> Bools:
        return self.catalogue.table.select(is_in=is_in)["is_in"].fill_null(False).to_numpy()

    def _subset(
        self,
        in_stock: bool,
        category: tuple[str, tuple[str, ...]] | None,
        price: tuple[str, float | None, float | None] | None,
    ) -> Subset | None:
        """Hold to what is in stock, to some categories, and to a range of prices."""
        is_in_N = np.full(len(self.catalogue), True)
        if category is not None:
            is_in_N &= self.of_category(*category)
        if price is not None:
            is_in_N &= self.of_price(*price)
        if in_stock:
            is_in_N &= self.in_stock_N
        if is_in_N.all():
            return None
        if not is_in_N.any():
            raise Refusal(
                422, "no_items", "no item is left to name: none is in stock, of the category and "
                "in the range of prices that were asked for", remedy="ask for less at once",
            )  # fmt: skip
        return Subset(is_in_N)

    def _refuse_without(self, attribute: str, field: str, *, is_number: bool) -> None:
        """Refuse a question about an attribute that no item has, or that is of another type."""
        dtype = self.catalogue.table.schema.get(attribute)
        if dtype is None or dtype.is_numeric() != is_number:
            kind = "number" if is_number else "text"
            raise Refusal(
                422, "unknown_attribute", f"items have no attribute {attribute!r} that is a {kind}",
                field=field, remedy=f"there are {', '.join(self.catalogue.attributes)}; the "
                f"service's setting {field!r} names the one that is meant",
            )  # fmt: skip
