"""Items that the tokenizer has not met: from what is told of them to features and codes.

Shape letters in this file: M new items, F features, L levels.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from genrec.artifacts import ArtifactError
from genrec.data import Catalogue
from genrec.semantic_ids import Codes
from genrec.tokenization import FeaturesConfig, ItemTable, SemanticTokenizer
from genrec.tokenization.arrays import Features
from genrec.tokenization.encoders import (
    PictureEncoder,
    TextEncoder,
    blank_picture,
    load_picture_encoder,
    load_text_encoder,
)
from genrec.tokenization.items import Pictures, Texts


class Newcomers:
    """Makes features of new items as those of training were made; one thread at a time may ask."""

    def __init__(self, tokenizer: SemanticTokenizer, *, device: str = "cpu") -> None:
        """Look at how a tokenizer's features were made.

        Raises:
            ArtifactError: When they cannot be made of what a request tells of an item.
        """
        if tokenizer.blend is None:
            raise ArtifactError(
                "the tokenizer does not say how its features were made; "
                "recipes/train_tokenizer.py writes tokenizers that do"
            )
        self.tokenizer = tokenizer
        self._blend = tokenizer.blend
        self._config = FeaturesConfig.from_json(tokenizer.recipe["features"])
        self._device = device
        if self._config.vectors is not None:
            raise ArtifactError(
                "the tokenizer's features are given vectors, which no request can bring; train "
                "one on texts or pictures to take new items in"
            )

    def features(self, table: pl.DataFrame) -> Features:
        """Make the features of new items, (M, F), from a table like the catalogue's."""
        items = ItemTable.of(Catalogue(table))
        sources: dict[str, Features | None] = {}
        if self._config.text is not None:
            told = self._config.text
            texts = Texts(items, told.attributes, names=told.attribute_names)[:]
            sources["text"] = _encoded(texts, self._read, "")
        if self._config.pictures is not None:
            sources["pictures"] = _encoded(Pictures(items)[:], self._look, blank_picture())
        if self._config.collaborative is not None:
            sources["collaborative"] = None  # nobody has met them yet
        return self._blend.apply({name: sources[name] for name in self._config.weights})

    def codes(self, table: pl.DataFrame) -> Codes:
        """Choose the nearest codes, (M, L); items of the catalogue may have the same ones."""
        codes_ML = self.tokenizer.encode(self.features(table))
        levels = len(self.tokenizer.codebook_sizes)
        # A level beyond the quantizer's only tells items with the same codes apart.
        return np.pad(codes_ML, ((0, 0), (0, levels - codes_ML.shape[1])))

    @cached_property
    def _read(self) -> TextEncoder:
        assert self._config.text is not None
        return load_text_encoder(self._config.text.encoder, device=self._device)

    @cached_property
    def _look(self) -> PictureEncoder:
        assert self._config.pictures is not None
        return load_picture_encoder(self._config.pictures.encoder, device=self._device)


def _encoded(
    values: Sequence[Any], encode: Callable[[Any], Features], blank: str | bytes
) -> Features:
    """Encode the values that are there; the others become rows of NaN, to be filled in."""
    there = [row for row, value in enumerate(values) if value is not None]
    found = encode([values[row] for row in there] or [blank])
    features_MF = np.full((len(values), found.shape[1]), np.nan, dtype=np.float32)
    features_MF[there] = found[: len(there)]
    return features_MF
