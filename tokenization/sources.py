"""What item features are made of: texts, pictures, who met which items together, given vectors.

Shape letters in this file: N items, F features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genrec.data import DataError
from genrec.tokenization.arrays import Features
from genrec.tokenization.blend import Source
from genrec.tokenization.collaborative import CollaborativeConfig
from genrec.tokenization.encoders import MINILM
from genrec.tokenization.features import Encoded, encode_chunks
from genrec.tokenization.items import ItemTable, Pictures, Texts


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Features from what is written of items."""

    encoder: str = MINILM
    """A sentence-transformers or CLIP-like model, by name on the hub or by path."""

    attributes: list[str] | None = None
    """What an item's text tells, in this order; all attributes of the catalogue when left out."""

    attribute_names: bool = False
    """Write ``brand: Acme`` for ``Acme``; it blurs the features of a small encoder."""

    weight: float = 1.0
    """Share of this source in distances between items is its weight squared."""


@dataclass(frozen=True, kw_only=True)
class PictureConfig:
    """Features from how items look."""

    encoder: str
    """A vision model of transformers, by name on the hub or by path, such as
    ``google/siglip2-base-patch16-224``; ``thumbnail`` needs no weights."""

    weight: float = 1.0
    """As for texts."""


@dataclass(frozen=True, kw_only=True)
class VectorConfig:
    """Features that are given, such as item embeddings of a recommender."""

    path: Path
    """A .npy file with one row per item of the data set; a row of NaN or zeros is missing."""

    weight: float = 1.0
    """As for texts."""


@dataclass(frozen=True, kw_only=True)
class FeaturesConfig:
    """The sources of item features; what an item lacks is filled in from what it has."""

    text: TextConfig | None = field(default_factory=TextConfig)
    """What is written of items."""

    pictures: PictureConfig | None = None
    """How they look."""

    collaborative: CollaborativeConfig | None = None
    """Who met which items together, learnt from training events alone."""

    vectors: VectorConfig | None = None
    """Features from elsewhere."""

    def __post_init__(self) -> None:
        if not self.weights:
            raise ValueError(
                "there is no source of features; give text, pictures, collaborative or vectors"
            )
        for name, weight in self.weights.items():
            if weight <= 0:
                raise ValueError(
                    f"the weight of {name} is {weight}; leave out what shall not count"
                )

    @property
    def weights(self) -> dict[str, float]:
        """The weight of every source there is, in the order in which they are blended."""
        sources = {
            "text": self.text, "pictures": self.pictures,
            "collaborative": self.collaborative, "vectors": self.vectors,
        }  # fmt: skip
        return {name: source.weight for name, source in sources.items() if source is not None}

    @classmethod
    def from_json(
        cls, value: Mapping[str, Any], *, vectors: Path | None = None
    ) -> "FeaturesConfig":
        """Read what :func:`genrec.config.to_dict` made of a config.

        Args:
            value: Plain values.
            vectors: Where given vectors are now; where they were when left out.

        Raises:
            ValueError: When the values are of no such config.
        """
        given = dict(value.get("vectors") or {})
        if given:
            given["path"] = vectors or Path(given["path"])
        kinds = {
            "text": TextConfig,
            "pictures": PictureConfig,
            "collaborative": CollaborativeConfig,
        }
        try:
            sources: dict[str, Any] = {
                name: kind(**value[name]) if value.get(name) else None
                for name, kind in kinds.items()
            }
            return cls(**sources, vectors=VectorConfig(**given) if given else None)
        except TypeError as error:
            raise ValueError(f"{dict(value)} does not describe sources of features") from error


def encode_sources(
    items: ItemTable,
    config: FeaturesConfig,
    *,
    cache: Path | str,
    device: str | torch.device = "cpu",
    progress: bool = False,
    process: int = 0,
    processes: int = 1,
) -> dict[str, Encoded]:
    """Encode texts and pictures, see :func:`genrec.tokenization.features.encode_chunks`."""
    inputs: dict[str, tuple[Texts | Pictures, str]] = {}
    if config.text is not None:
        texts = Texts(items, config.text.attributes, names=config.text.attribute_names)
        inputs["text"] = (texts, config.text.encoder)
    if config.pictures is not None:
        inputs["pictures"] = (Pictures(items), config.pictures.encoder)
    return {
        name: encode_chunks(
            values, encoder, cache=cache, device=device, progress=progress,
            process=process, processes=processes,
        )
        for name, (values, encoder) in inputs.items()
    }  # fmt: skip


def join_sources(
    items: ItemTable,
    config: FeaturesConfig,
    encoded: Mapping[str, Encoded],
    together_NF: Features | None = None,
) -> dict[str, Source | None]:
    """Put all sources of a config together, in the order in which they are blended.

    Args:
        items: The items.
        config: What the sources are.
        encoded: What :func:`encode_sources` gave.
        together_NF: Collaborative features; left out where nobody has met the items yet.
    """
    sources: dict[str, Source | None] = dict(encoded)
    if config.collaborative is not None:
        sources["collaborative"] = None if together_NF is None else without_zeros(together_NF)
    if config.vectors is not None:
        sources["vectors"] = given_vectors(config.vectors.path, items)
    return {name: sources[name] for name in config.weights}


def given_vectors(path: Path | str, items: ItemTable) -> Features:
    """Read vectors of items from a .npy file, scaled to unit length; missing ones become NaN.

    Raises:
        DataError: When the file is no matrix of numbers with a row for every item.
    """
    try:
        all_NF = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no .npy file that can be read: {error}") from error
    if all_NF.ndim != 2 or not np.issubdtype(all_NF.dtype, np.number):
        raise DataError(
            f"{path} holds {all_NF.dtype} of shape {all_NF.shape}, not one row of numbers per item"
        )
    if items.rows.max() >= len(all_NF):
        raise DataError(
            f"{path} has {len(all_NF)} rows, but there is an item {items.rows.max()}; "
            "give one row per item of the data set, in its order"
        )
    return without_zeros(all_NF[items.rows].astype(np.float32))


def without_zeros(x_NF: Features) -> Features:
    """Scale rows to unit length; those that say nothing become NaN."""
    length_N1 = np.linalg.norm(x_NF, axis=1, keepdims=True)
    unit_NF: Features = np.divide(
        x_NF, length_N1, out=np.full_like(x_NF, np.nan), where=length_N1 > 0
    )
    return unit_NF
