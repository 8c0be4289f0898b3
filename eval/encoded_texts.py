"""What is written of the items, through a text encoder: for methods that read it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genrec.data import Catalogue

Features = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, kw_only=True)
class EncodedTexts:
    """Which texts are encoded by what."""

    encoder: str = "all-MiniLM-L6-v2"
    """A sentence-transformers or CLIP-like model, by name on the hub or by path."""

    attributes: list[str] | None = None
    """What an item's text tells, in this order; all attributes of the catalogue when left out."""

    cache: Path | None = None
    """A folder that keeps the features, such as the one where a tokenizer's training keeps those of
    the same texts; without it they are encoded each time."""

    def features(self, catalogue: Catalogue) -> Features:
        """Encode the text of every item into a vector of unit length, shape (N, F)."""
        from genrec.tokenization import item_texts, text_features  # torch only where texts are read

        texts = item_texts(catalogue, self.attributes)
        return text_features(texts, self.encoder, cache=self.cache)


def unit_rows(features_NF: Features) -> Features:
    """Scale features to the length 1; rows of 0 stay.

    Raises:
        ValueError: When they are no matrix of finite numbers.
    """
    features_NF = np.asarray(features_NF, dtype=np.float32)
    if features_NF.ndim != 2 or not np.isfinite(features_NF).all():
        raise ValueError(
            f"features of shape {features_NF.shape} are no matrix of finite numbers; "
            "give one row per item"
        )
    length_N1 = np.linalg.norm(features_NF, axis=1, keepdims=True)
    unit_NF: Features = features_NF / np.where(length_N1 > 0, length_N1, 1)
    return unit_NF
