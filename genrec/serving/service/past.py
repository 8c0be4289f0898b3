"""Every item that ever was in the catalogue, and every change: any version can be told from them.

Shape letters in this file: P items that ever were, N items of a version, L levels.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from genrec.data import Catalogue
from genrec.semantic_ids import Codes, SemanticIds
from genrec.serving.service.changes import Arrivals, Change


@dataclass(frozen=True)
class Shelf:
    """Which items there are, and which of them are sold out."""

    row_of: Mapping[str, int]
    """Where each item is among all that ever were; the order is that of the catalogue."""

    sold_out: frozenset[str] = frozenset()

    def after(self, change: Change, first_row: int) -> "Shelf":
        """Apply a change whose new items begin at a row."""
        row_of = self.row_of
        if change.add or change.remove:
            gone = set(change.remove)
            row_of = {name: row for name, row in row_of.items() if name not in gone}
            row_of |= {name: first_row + number for number, name in enumerate(change.add)}
        # What is told of the stock is told last: of an item that leaves and comes again at once it
        # is about the new one.
        back_in = {name for name, is_in in change.stock.items() if is_in}
        left = self.sold_out - {*change.remove, *back_in}
        return Shelf(row_of, left | (change.stock.keys() - back_in))


@dataclass(frozen=True)
class Past:
    """What has happened so far."""

    table_P: pl.DataFrame
    """All items; one that left and came back with other attributes is there twice."""

    codes_PL: Codes
    codebook_sizes: tuple[int, ...]
    changes: tuple[Change, ...] = ()
    first_rows: tuple[int, ...] = ()
    """For every change the row of its first new item."""

    @property
    def version(self) -> int:
        """The latest version."""
        return len(self.changes) + 1

    def then(self, change: Change, arrivals: Arrivals | None) -> "Past":
        """Add a change with the items that come."""
        table_P, codes_PL = self.table_P, self.codes_PL
        if arrivals is not None:
            table_P = pl.concat([table_P, arrivals.table.select(table_P.columns)])
            codes_PL = np.concatenate([codes_PL, arrivals.ids.codes_NL])
        return Past(
            table_P, codes_PL, self.codebook_sizes, (*self.changes, change),
            (*self.first_rows, self.table_P.height),
        )  # fmt: skip

    def shelf(self, version: int | None = None) -> Shelf:
        """Tell what there was at a version, the latest if none is given."""
        version = self.version if version is None else version
        steps = []
        while version > 1:
            change, first_row = self.changes[version - 2], self.first_rows[version - 2]
            if change.rollback is None:
                steps.append((change, first_row))
                version -= 1
            else:
                version = change.rollback
        base = self.first_rows[0] if self.first_rows else self.table_P.height
        names = self.table_P["item_id"].head(base).to_list()
        shelf = Shelf({name: row for row, name in enumerate(names)})
        for change, first_row in reversed(steps):
            shelf = shelf.after(change, first_row)
        return shelf

    def catalogue(self, shelf: Shelf) -> Catalogue:
        """List the items of a shelf."""
        return Catalogue(self.table_P[list(shelf.row_of.values())])

    def ids(self, shelf: Shelf) -> SemanticIds:
        """List their semantic IDs."""
        return SemanticIds(self.codes_PL[list(shelf.row_of.values())], self.codebook_sizes)
