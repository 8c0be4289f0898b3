"""What is known beside the answers: how popular items are, of which kind, and what they are like.

Shape letters in this file: N items, F features, U users, I events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl

from genrec.data import Catalogue, Dataset
from genrec.eval.intervals import Floats, Ints
from genrec.eval.questions import Bools

Features = np.ndarray[Any, np.dtype[np.float32]]

HEAD_SHARE: Final = 0.2
"""So many of the items that were ever bought are the head, the most popular ones."""

POPULARITIES: Final = ("head", "tail", "never in training")

_CATEGORY_NAMES: Final = ("category", "categories", "genres")
_PATH: Final = " > "


@dataclass(frozen=True, eq=False)
class Background:
    """A data set, what could be learned from it, and what its items have in common."""

    dataset: Dataset

    train: Bools
    """Which events could be learned from, of shape (I,)."""

    unit_NF: Features | None = None
    """Features of the items, scaled to the length 1; ``None`` for none."""

    @classmethod
    def with_texts(cls, dataset: Dataset, train: Bools) -> "Background":
        """Encode what is written of the items, to tell how unlike those of a ranking are."""
        from genrec.tokenization import item_texts, text_features

        return cls.of(dataset, train, text_features(item_texts(dataset.catalogue)))

    @classmethod
    def of(
        cls, dataset: Dataset, train: Bools, features_NF: Features | None = None
    ) -> "Background":
        """Take features of the items along, such as those of their texts; they need not be scaled.

        Raises:
            ValueError: When the features are not one row per item.
        """
        if features_NF is None:
            return cls(dataset, train)
        if len(features_NF) != len(dataset.catalogue):
            raise ValueError(
                f"there are features of {len(features_NF)} items, but the catalogue has "
                f"{len(dataset.catalogue)}"
            )
        length_N1 = np.linalg.norm(features_NF, axis=1, keepdims=True)
        unit_NF = (features_NF / np.where(length_N1 > 0, length_N1, 1)).astype(np.float32)
        return cls(dataset, train, unit_NF)

    @cached_property
    def count_N(self) -> Floats:
        """How many train events each item has."""
        items = self.dataset.interactions.item[self.train]
        return np.bincount(items, minlength=len(self.dataset.catalogue)).astype(np.float64)

    @cached_property
    def popularity_N(self) -> Ints:
        """To which of ``POPULARITIES`` each item belongs."""
        order_N = np.argsort(-self.count_N, kind="stable")
        group_N = np.where(self.count_N > 0, 1, 2)
        group_N[order_N[: round(HEAD_SHARE * int((self.count_N > 0).sum()))]] = 0
        return group_N

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The names of the categories; empty where the catalogue has no such attribute."""
        return self._categories[0]

    @cached_property
    def category_N(self) -> Ints:
        """The category of each item, as a place in ``categories``; -1 where it is not known."""
        return self._categories[1]

    @cached_property
    def _categories(self) -> tuple[tuple[str, ...], Ints]:
        catalogue = self.dataset.catalogue
        column = next((name for name in _CATEGORY_NAMES if name in catalogue.attributes), None)
        if column is None:
            return (), np.full(len(catalogue), -1, dtype=np.int64)
        values = category_values(catalogue, column)
        names = sorted({value for value in values if value is not None})
        place_of = {name: place for place, name in enumerate(names)}
        rows = [-1 if value is None else place_of[value] for value in values]
        return tuple(names), np.array(rows, dtype=np.int64)

    @cached_property
    def trained_users(self) -> Bools:
        """Which users have a train event, of shape (U,)."""
        interactions = self.dataset.interactions
        known_U = np.zeros(interactions.user_count, dtype=np.bool_)
        known_U[interactions.user_of[self.train]] = True
        return known_U


def category_values(catalogue: Catalogue, column: str) -> Sequence[str | None]:
    """Read the category of each item; of paths such as ``Beauty > Hair Care > Shampoos`` one level.

    It is the first level at which items differ.
    """
    values = catalogue.table[column].cast(pl.String).to_list()
    paths = [[] if value is None else value.split(_PATH) for value in values]
    level = 0
    while len({path[level] for path in paths if len(path) > level}) == 1:
        level += 1
    if not any(len(path) > level for path in paths):
        level = 0
    return [path[level] if len(path) > level else None for path in paths]
