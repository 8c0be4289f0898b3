"""Items that the tokenizer has not met: from what is told of them to features and codes.

Shape letters in this file: M new items, F features, L levels.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from genrec.artifacts import ArtifactError
from genrec.data import Catalogue
from genrec.semantic_ids import Codes
from genrec.tokenization import FeaturesConfig, ItemTable, SemanticTokenizer
from genrec.tokenization.arrays import Features
from genrec.tokenization.encoders import (
    blank_picture,
    load_picture_encoder,
    load_text_encoder,
)
from genrec.tokenization.items import Pictures, Texts


class Newcomers:
    """Makes features of new items as those of training were made."""

    def __init__(self, tokenizer: SemanticTokenizer, *, device: str = "cpu") -> None:
        """Load what made a tokenizer's features.

        Raises:
            ArtifactError: When they cannot be made of what a request tells of an item.
            MissingDependencyError: When an encoder's package is not installed.
        """
        if tokenizer.blend is None:
            raise ArtifactError(
                "the tokenizer does not say how its features were made; "
                "recipes/train_tokenizer.py writes tokenizers that do"
            )
        self.tokenizer = tokenizer
        self._blend = tokenizer.blend
        self._config = FeaturesConfig.from_json(tokenizer.recipe["features"])
        if self._config.vectors is not None:
            raise ArtifactError(
                "the tokenizer's features are given vectors, which no request can bring; train "
                "one on texts or pictures to take new items in"
            )
        text, pictures = self._config.text, self._config.pictures
        # Now, and not when the first new item comes.
        self._read = None if text is None else load_text_encoder(text.encoder, device=device)
        self._look = (
            None if pictures is None else load_picture_encoder(pictures.encoder, device=device)
        )
        # Tokenizers of texts change their state when they are asked.
        self._one_at_a_time = threading.Lock()

    def features(self, table: pl.DataFrame) -> Features:
        """Make the features of new items, (M, F), from a table like the catalogue's."""
        with self._one_at_a_time:
            return self._features(ItemTable.of(Catalogue(table)))

    def codes(self, table: pl.DataFrame) -> Codes:
        """Choose the nearest codes, (M, L); items of the catalogue may have the same ones."""
        codes_ML = self.tokenizer.encode(self.features(table))
        levels = len(self.tokenizer.codebook_sizes)
        # A level beyond the quantizer's only tells items with the same codes apart.
        return np.pad(codes_ML, ((0, 0), (0, levels - codes_ML.shape[1])))

    def _features(self, items: ItemTable) -> Features:
        sources: dict[str, Features | None] = {}
        if self._config.text is not None and self._read is not None:
            told = self._config.text
            texts = Texts(items, told.attributes, names=told.attribute_names)[:]
            sources["text"] = _encoded(texts, self._read, "")
        if self._look is not None:
            sources["pictures"] = _encoded(Pictures(items)[:], self._look, blank_picture())
        if self._config.collaborative is not None:
            sources["collaborative"] = None  # nobody has met them yet
        return self._blend.apply({name: sources[name] for name in self._config.weights})


def _encoded(
    values: Sequence[Any], encode: Callable[[Any], Features], blank: str | bytes
) -> Features:
    """Encode the values that are there; the others become rows of NaN, to be filled in."""
    there = [row for row, value in enumerate(values) if value is not None]
    found = encode([values[row] for row in there] or [blank])
    features_MF = np.full((len(values), found.shape[1]), np.nan, dtype=np.float32)
    features_MF[there] = found[: len(there)]
    return features_MF
