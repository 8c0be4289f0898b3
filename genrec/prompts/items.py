"""The unified item format: an item as tokens (UniMP, section 2.1).

An item is written as ``<codes> [IMG] key value key value ... [EOC]``. Its semantic ID comes first,
so that the next item's ID directly continues a history. The codes see no picture: a decoder learns
to predict them, and codes that it writes itself have none to look at. What follows them does.

Shape letters in this file: N items, L levels.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from genrec.data import Catalogue
from genrec.data.catalogue import in_words
from genrec.prompts.config import PromptConfig
from genrec.prompts.pieces import Piece, Tokens
from genrec.prompts.vocabulary import Vocabulary
from genrec.semantic_ids import SemanticIds

_KEPT = 65_536
"""Items whose tokens are remembered, each way to write them for itself."""


class ItemWriter:
    """Writes the items of one catalogue, and remembers what it wrote."""

    def __init__(
        self, vocabulary: Vocabulary, ids: SemanticIds, catalogue: Catalogue, config: PromptConfig
    ) -> None:
        self._vocabulary = vocabulary
        self._catalogue = catalogue
        self._config = config
        self._attributes = config.attributes or tuple(catalogue.attributes)
        self._refuse_unknown_attributes()
        self.tokens_NL: np.ndarray[Any, np.dtype[np.int32]] = vocabulary.item_tokens(ids)
        """The tokens of every semantic ID."""

        self._key = lru_cache(maxsize=None)(self._write_key)
        self._described = lru_cache(maxsize=_KEPT)(self._describe)
        self.card = lru_cache(maxsize=_KEPT)(self._write_card)
        self.short = lru_cache(maxsize=_KEPT)(self._write_short)
        self.past_card = lru_cache(maxsize=_KEPT)(self._write_past_card)
        self.past_short = lru_cache(maxsize=_KEPT)(self._write_past_short)

    def codes(self, rows: Sequence[int], *, weight: float = 0.0) -> Piece:
        """Write semantic IDs alone, one after the other.

        Raises:
            IndexError: When there is no such item; -1 would quietly mean another one.
        """
        if rows and not 0 <= min(rows) <= max(rows) < len(self.tokens_NL):
            wrong = min(rows) if min(rows) < 0 else max(rows)
            raise IndexError(f"there is no item {wrong}; the catalogue has {len(self.tokens_NL)}")
        return Piece.of(self.tokens_NL[list(rows)].reshape(-1), weight)

    def description(self, row: int) -> Piece:
        """Write picture and attributes, without the semantic ID."""
        tokens = self._described(row)
        return Piece.of(tokens)._replace(picture=self._picture_of(row))

    def picture(self, row: int) -> Piece:
        """Write where the picture stands.

        Raises:
            ValueError: When pictures are off, or the item has none.
        """
        if not self._config.pictures:
            raise ValueError("a prompt shows a picture, but pictures are off; set prompts.pictures")
        if self._picture_of(row) < 0:
            raise ValueError(f"the item {self._catalogue.item_ids[row]!r} has no picture to show")
        return Piece.of(self._frame(row))._replace(picture=row)

    def told(self, row: int, attribute: str) -> str:
        """Tell one attribute as it is written on cards.

        Raises:
            ValueError: When the item lacks it.
            DataError: When no item has it.
        """
        known = self._catalogue.describe(row, [attribute])
        if attribute not in known:
            raise ValueError(f"the item {self._catalogue.item_ids[row]!r} has no {attribute!r}")
        return in_words(known[attribute])

    def title(self, row: int) -> str:
        """Tell the attribute that names the item."""
        self._refuse_without_titles()
        return self.told(row, self._config.title)

    def has_title(self, row: int) -> bool:
        """Whether the item has the attribute that names it."""
        self._refuse_without_titles()
        return bool(self._catalogue.describe(row, [self._config.title]))

    def attribute_tokens(self, attribute: str) -> int:
        """How many tokens of an attribute's value are written."""
        return self._config.attribute_limits.get(attribute, self._config.attribute_tokens)

    def _write_card(self, row: int) -> Piece:
        return self._behind_codes(row, self._described(row))

    def _write_short(self, row: int) -> Piece:
        return self._behind_codes(row, self._frame(row))

    def _write_past_card(self, row: int) -> Piece:
        return self._to_learn(self.card(row))

    def _write_past_short(self, row: int) -> Piece:
        return self._to_learn(self.short(row))

    def _behind_codes(self, row: int, tokens: Tokens) -> Piece:
        codes = self.codes((row,)).tokens
        piece = Piece.of(np.concatenate([codes, tokens]))
        return piece._replace(picture=self._picture_of(row), sees_from=len(codes))

    def _to_learn(self, piece: Piece) -> Piece:
        """Weigh codes and attributes as those of a history."""
        marks = [self._vocabulary.image, self._vocabulary.end_of_chunk]
        weights = np.full(len(piece.tokens), self._config.attribute_weight)
        weights[np.isin(piece.tokens, marks)] = 0.0
        weights[: self.tokens_NL.shape[1]] = self._config.context_weight
        return piece._replace(weights=weights)

    def _frame(self, row: int) -> Tokens:
        """What stands for an item's picture where no attributes are told."""
        marks = self._marks(row)
        return np.asarray([*marks, self._vocabulary.end_of_chunk] if marks else [], dtype=np.int32)

    def _describe(self, row: int) -> Tokens:
        """Flatten picture and attributes: key, value, key, value (UniMP, equation 1)."""
        tokens = self._marks(row)
        known = self._catalogue.describe(row, self._attributes)
        for name in self._attributes:
            value = in_words(known[name]) if name in known else self._config.missing
            if value:
                tokens += self._key(name)
                tokens += self._vocabulary.encode(value, max_tokens=self.attribute_tokens(name))
        return np.asarray([*tokens, self._vocabulary.end_of_chunk], dtype=np.int32)

    def _marks(self, row: int) -> list[int]:
        if not self._config.pictures:
            return []
        if self._picture_of(row) >= 0:
            return [self._vocabulary.image] * self._config.picture_tokens
        words = self._config.missing
        return self._vocabulary.encode(f"picture {words}") if words else []

    def _picture_of(self, row: int) -> int:
        return row if self._config.pictures and self._catalogue.has_picture[row] else -1

    def _write_key(self, name: str) -> list[int]:
        return self._vocabulary.encode(self._config.attribute_words.get(name, name))

    def _refuse_without_titles(self) -> None:
        if self._config.title not in self._catalogue.attributes:
            raise ValueError(
                f"no attribute is called {self._config.title!r}; set prompts.title to the one that "
                f"names an item: {list(self._catalogue.attributes)}"
            )

    def _refuse_unknown_attributes(self) -> None:
        named = {
            *self._config.attributes,
            *self._config.attribute_words,
            *self._config.attribute_limits,
        }
        unknown = sorted(named - set(self._catalogue.attributes))
        if unknown:
            raise ValueError(
                f"prompts name the attributes {unknown}, "
                f"but the catalogue has {list(self._catalogue.attributes)}"
            )
