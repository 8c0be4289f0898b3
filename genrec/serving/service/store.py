"""The catalogue that is served, and how one version becomes the next.

A change makes a new version beside the old one, over the same weights, and takes its place in one
assignment: questions that were asked of the old version are still answered by it.
"""

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import polars as pl

from genrec.artifacts import check_same
from genrec.data import Catalogue
from genrec.data.catalogue import ITEM_ID
from genrec.semantic_ids import SemanticIds
from genrec.serving.guests import GuestRenderer
from genrec.serving.service.changes import Arrivals, Change, ChangeLog
from genrec.serving.service.errors import Refusal, item_exists, no_tokenizer, unknown_item
from genrec.serving.service.newcomers import Newcomers
from genrec.serving.service.past import Past, Shelf
from genrec.serving.service.versions import CatalogueVersion, Engine
from genrec.tokenization import SemanticTokenizer

log = logging.getLogger(__name__)

Build = Callable[[Callable[[], Engine]], Engine]
"""Runs what builds an engine where engines may be asked."""


class CatalogueStore:
    """Serves one version of the catalogue, and makes the next.

    One thread at a time may change it; any may read :attr:`current`.
    """

    def __init__(
        self, engine: Engine, changes: ChangeLog, newcomers: Newcomers | None = None
    ) -> None:
        """Serve the version that the changes lead to.

        Args:
            engine: Serves the catalogue of the model directory.
            changes: What has happened since.
            newcomers: Gives new items their IDs; without it none can be added.

        Raises:
            ArtifactError: When tokenizer and model do not fit, or a change cannot be read.
        """
        base = engine.renderer
        self._log, self.newcomers = changes, newcomers
        if newcomers is not None:
            check_same(
                "semantic IDs", newcomers.tokenizer.ids.fingerprint, base.ids.fingerprint,
                ours_from="the tokenizer", theirs_from="the model",
            )  # fmt: skip
        self._past = Past(base.catalogue.table, base.ids.codes_NL, base.ids.codebook_sizes)
        self._shelf = self._past.shelf()
        first = GuestRenderer.like(base, catalogue=base.catalogue, ids=base.ids)
        self.current = CatalogueVersion(1, engine.following(first))
        self.catch_up()

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes so far, oldest first."""
        return self._past.changes

    def catch_up(self, build: Build = lambda work: work()) -> bool:
        """Follow the changes that were made elsewhere; tell whether there were any.

        Args:
            build: Where the engine is built.
        """
        news = self._log.after(self.current.number)
        if not news:
            return False
        past = self._past
        for change in news:
            past = past.then(change, self._log.arrivals(change))
        if self.newcomers is not None:
            kept = (self._log.tokenizer(change) for change in reversed(news))
            now = self.newcomers.tokenizer
            self.newcomers.tokenizer = next((one for one in kept if one is not None), now)
        shelf = past.shelf()
        self.current = self._version(past, shelf, build, ids=past.ids(shelf))
        self._past, self._shelf = past, shelf
        log.info("version %d of the catalogue is taken over", self.current.number)
        return True

    def change(
        self,
        *,
        remove: Sequence[str] = (),
        add: pl.DataFrame | None = None,
        stock: Mapping[str, bool] | None = None,
        rollback: int | None = None,
        build: Build = lambda work: work(),
    ) -> CatalogueVersion:
        """Make the next version and serve it, once it is on the disk.

        Args:
            remove: Items that leave.
            add: Items that come, with the columns of the catalogue.
            stock: Items that are in stock from now on, or no longer.
            rollback: The version to go back to, instead of all else.
            build: Where the engine is built.

        Raises:
            Refusal: When the change makes no sense.
            ConflictError: When another process has made this version.
        """
        change = Change(
            version=self.current.number + 1,
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            remove=tuple(remove),
            add=() if add is None else tuple(add[ITEM_ID].to_list()),
            stock=dict(stock or {}),
            rollback=rollback,
        )
        _check(change, self._shelf, can_add=self.newcomers is not None)
        arrivals, tokenizer = self._tokenized(change, add)
        change = self._log.prepare(change, arrivals, tokenizer)
        try:
            past = self._past.then(change, arrivals)
            first_row = self._past.table_P.height
            shelf = past.shelf() if rollback else self._shelf.after(change, first_row)
            ids = past.ids(shelf) if tokenizer is None else tokenizer.ids
            version = self._version(past, shelf, build, ids=ids)
            self._log.commit(change)
        except BaseException:
            self._log.discard(change)
            raise
        self.current, self._past, self._shelf = version, past, shelf
        if tokenizer is not None and self.newcomers is not None:
            self.newcomers.tokenizer = tokenizer
        return version

    def _tokenized(
        self, change: Change, add: pl.DataFrame | None
    ) -> tuple[Arrivals | None, SemanticTokenizer | None]:
        """Let a copy of the tokenizer follow a change of the items, and give new ones their IDs."""
        is_same = not (change.add or change.remove or change.rollback)
        if is_same or self.newcomers is None:
            return None, None
        tokenizer = copy.copy(self.newcomers.tokenizer)
        if change.rollback is not None:
            tokenizer.update(self._past.catalogue(self._past.shelf(change.rollback)))
            return None, tokenizer
        gone = set(change.remove)
        stays = [row for name, row in self._shelf.row_of.items() if name not in gone]
        table = self._past.table_P[stays]
        if add is None:
            tokenizer.update(Catalogue(table))
            return None, tokenizer
        catalogue = Catalogue(pl.concat([table, add.select(table.columns)]))
        new = tokenizer.new_items(catalogue)
        features = self.newcomers.features(catalogue.table[new]) if len(new) else None
        tokenizer.update(catalogue, features)
        codes_NL = tokenizer.ids.codes_NL[-add.height :]
        return Arrivals(add, SemanticIds(codes_NL, tokenizer.codebook_sizes)), tokenizer

    def _version(
        self, past: Past, shelf: Shelf, build: Build, *, ids: SemanticIds
    ) -> CatalogueVersion:
        """Make a version; where the items are the same, it shares the engine of the current one."""
        before = self.current
        if shelf.row_of is self._shelf.row_of or shelf.row_of == self._shelf.row_of:
            return CatalogueVersion(past.version, before.engine, shelf.sold_out)
        renderer = GuestRenderer.like(before.renderer, catalogue=past.catalogue(shelf), ids=ids)
        engine = build(lambda: before.engine.following(renderer))
        return CatalogueVersion(past.version, engine, shelf.sold_out)


def _check(change: Change, shelf: Shelf, *, can_add: bool) -> None:
    """Refuse a change that names what is not there, or adds what is."""
    here, gone, come = shelf.row_of, set(change.remove), set(change.add)
    for place, name in enumerate(change.remove):
        if name not in here:
            raise unknown_item(name, f"remove.{place}")
    for name in change.stock:
        if name not in come and (name not in here or name in gone):
            raise unknown_item(name, "stock")
    seen: set[str] = set()
    for place, name in enumerate(change.add):
        if name in seen or (name in here and name not in gone):
            raise item_exists(name, f"add.{place}.item_id", remedy="remove it in the same change")
        seen.add(name)
    if come and not can_add:
        raise no_tokenizer("add")
    if len(here) + len(come) == len(gone):
        raise Refusal(422, "no_items", "no item would be left", field="remove")
    before = change.version - 1
    if change.rollback is not None and not 1 <= change.rollback < before:
        raise Refusal(
            422, "unknown_version", f"there is no version {change.rollback} to go back to from "
            f"version {before}", field="rollback", remedy="GET /v1/catalogue lists the latest",
        )  # fmt: skip
