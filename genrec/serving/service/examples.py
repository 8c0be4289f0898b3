"""Histories to begin with on the demo page: of a data set's users, or of nobody."""

import random
from collections.abc import Sequence

from genrec.data import Dataset
from genrec.serving.service.versions import CatalogueVersion

_ITEMS_OF_NOBODY = 4


class Examples:
    """Draws somebody's history."""

    def __init__(self, histories: Sequence[Sequence[str]] = (), *, seed: int | None = None) -> None:
        """Draw among histories of raw ids, or, where there are none, draw a few items."""
        self._histories, self._draw = histories, random.Random(seed)

    @classmethod
    def of(
        cls, dataset: Dataset, *, users: int = 500, items: int = 12, seed: int = 0
    ) -> "Examples":
        """Take the latest items of some users of a data set; who they are is forgotten."""
        log, names = dataset.interactions, dataset.catalogue.item_ids
        chosen = random.Random(seed).sample(range(log.user_count), min(users, log.user_count))
        histories = []
        for user in chosen:
            start, stop = int(log.offsets[user]), int(log.offsets[user + 1])
            rows = log.item[max(start, stop - items) : stop].tolist()
            histories.append([names[row] for row in rows])
        return cls(histories)

    def draw(self, version: CatalogueVersion) -> list[str]:
        """Draw a history; items that have left the catalogue are left out."""
        if not self._histories:
            names = version.catalogue.item_ids
            return self._draw.sample(names, min(_ITEMS_OF_NOBODY, len(names)))
        return [name for name in self._draw.choice(self._histories) if name in version]
