"""Prompts about items that are in no catalogue: a user owns something that the shop does not sell.

Such a guest has codes, attributes and maybe a picture, but no place in the trie: prompts may speak
of it, and no beam can name it.
"""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from genrec.data import Catalogue
from genrec.prompts import Renderer
from genrec.prompts.render import Example, RightAnswer
from genrec.recommender import Request
from genrec.semantic_ids import Codes, SemanticIds


class GuestRenderer(Renderer):
    """A renderer whose requests may also name guests, by rows beyond the catalogue's."""

    def __init__(self, **parts: Any) -> None:
        """Write prompts of the same parts as any renderer, with no guest yet."""
        super().__init__(**parts)
        self._guests: dict[int, tuple[pl.DataFrame, Codes]] = {}
        self._next = itertools.count(len(self.catalogue))

    @classmethod
    def like(cls, renderer: Renderer, *, catalogue: Catalogue, ids: SemanticIds) -> "GuestRenderer":
        """Write prompts as another renderer does, about another catalogue."""
        return cls(
            vocabulary=renderer.vocabulary, ids=ids, catalogue=catalogue, tasks=renderer.tasks,
            config=renderer.config,
        )  # fmt: skip

    def host(self, item: pl.DataFrame, codes_L: Codes) -> int:
        """Take in one item until it is dismissed.

        Args:
            item: One row with the columns of the catalogue; its id must not be in the catalogue.
            codes_L: Its semantic ID, which an item of the catalogue may have too.

        Returns:
            The row by which requests name it.
        """
        row = next(self._next)
        self._guests[row] = (item.select(self.catalogue.table.columns), codes_L)
        return row

    def dismiss(self, row: int) -> None:
        """Forget a guest."""
        self._guests.pop(row, None)

    def render(
        self,
        request: Request,
        *,
        phrasing: int | None = 0,
        answer: RightAnswer | None = None,
        blank: bool = False,
    ) -> Example:
        """Write a request; see :meth:`Renderer.render`."""
        item = () if request.item is None else (request.item,)
        spoken = [row for turn in request.dialogue for row in turn.items]
        rows = sorted({*request.history, *item, *request.candidates, *spoken})
        if not rows or rows[-1] < len(self.catalogue):
            return super().render(request, phrasing=phrasing, answer=answer, blank=blank)
        assert answer is None, "guests are asked about, not learnt from"
        place = {row: number for number, row in enumerate(rows)}
        few = self._renderer_of(rows)
        example = few.render(
            replace(
                request,
                history=tuple(place[row] for row in request.history),
                item=None if request.item is None else place[request.item],
                candidates=tuple(place[row] for row in request.candidates),
                dialogue=tuple(
                    turn._replace(items=tuple(place[row] for row in turn.items))
                    for turn in request.dialogue
                ),
                exclude=(), only=None, within=None, boosts=(),
            ),
            phrasing=phrasing, blank=blank,
        )  # fmt: skip
        return example._replace(pictures=tuple(rows[number] for number in example.pictures))

    def _renderer_of(self, rows: list[int]) -> Renderer:
        """Write about a few items, as if they were the whole catalogue."""
        known = [row for row in rows if row < len(self.catalogue)]
        guests = [self._guests[row] for row in rows[len(known) :]]
        table = pl.concat([self.catalogue.table[known], *(item for item, _ in guests)])
        codes_NL = np.concatenate([self.ids.codes_NL[known], *(codes[None] for _, codes in guests)])
        return Renderer(
            vocabulary=self.vocabulary, ids=SemanticIds(codes_NL, self.ids.codebook_sizes),
            catalogue=Catalogue(table), tasks=self.tasks, config=self.config,
        )  # fmt: skip
