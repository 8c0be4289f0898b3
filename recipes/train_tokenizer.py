"""Give every item of a catalogue a semantic ID: encode its text, train a quantizer, resolve ties.

    python recipes/train_tokenizer.py --config recipes/configs/tokenizer_beauty.yaml
    accelerate launch recipes/train_tokenizer.py --config recipes/configs/tokenizer_toy.yaml

Several processes share the encoding; the first one trains, since a quantizer fits anywhere. Chunks
of features are kept beside the tokenizer, so a second run skips the encoding.
"""

import logging
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from accelerate import PartialState

from genrec.artifacts import ArtifactError
from genrec.config import parse_args, to_dict
from genrec.data import Catalogue, DataError, Dataset, SplitConfig
from genrec.tokenization import (
    AssignmentConfig,
    CollaborativeConfig,
    CollapsedCodebookError,
    RQKMeansConfig,
    RQVAEConfig,
    SemanticTokenizer,
    TrainingConfig,
    collaborative_features,
    encode_chunks,
    item_texts,
    text_features,
)
from genrec.tokenization.arrays import Features, Labels
from genrec.tokenization.encoders import MINILM


@dataclass(frozen=True, kw_only=True)
class Config:
    dataset: Path
    """The data set that recipes/prepare.py wrote."""

    out: Path
    """Where the tokenizer goes; one that stands there is replaced when all went well."""

    method: Literal["rqvae", "rqkmeans"] = "rqvae"
    """The quantizer: one trained by gradients, or residual k-means, which takes seconds."""

    rqvae: RQVAEConfig = field(default_factory=RQVAEConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    rqkmeans: RQKMeansConfig = field(default_factory=RQKMeansConfig)
    assignment: AssignmentConfig = field(default_factory=AssignmentConfig)
    attributes: list[str] | None = None
    """What an item's text tells, in this order; all attributes of the catalogue when left out."""

    attribute_names: bool = False
    """Write ``brand: Acme`` for ``Acme``; it blurs the features of a small encoder."""

    encoder: str = MINILM
    """A sentence-transformers or CLIP-like model, by name on the hub or by path."""

    collaborative: CollaborativeConfig | None = None
    """Join features of who met which items together; texts alone when left out."""

    split: SplitConfig = field(default_factory=SplitConfig)
    """Collaborative features come from this split's training events only."""

    label: str | None = None
    """An attribute that classes items, such as categories, for the quality report."""

    seed: int = 0
    """Decides the start and the order of training."""


def labels_of(catalogue: Catalogue, attribute: str | None) -> Labels | None:
    """Number the values of an attribute; items without one form a class of their own."""
    if attribute is None:
        return None
    values = catalogue.table[attribute].cast(pl.String).fill_null("").to_numpy()
    return np.unique(values.astype(str), return_inverse=True)[1].astype(np.int64)


def source_of(config: Config) -> dict[str, Any]:
    """Tell what the features are, for the record."""
    names = ["encoder", "attributes", "attribute_names", "collaborative"]
    names += ["split"] if config.collaborative else []
    return {name: to_dict(getattr(config, name)) for name in names}


def features_of(dataset: Dataset, texts: list[str], config: Config, cache: Path) -> Features:
    """Join what texts tell and, if asked for, what users do."""
    text_NF = text_features(texts, config.encoder, cache=cache)
    if config.collaborative is None:
        return text_NF
    together_NF = collaborative_features(
        dataset.interactions,
        config.split.split(dataset.interactions).train,
        len(dataset.catalogue),
        config.collaborative,
        generator=torch.Generator().manual_seed(config.seed),
    )
    return np.concatenate([text_NF, together_NF], axis=1)


def main(config: Config) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    state = PartialState()
    dataset = Dataset.load(config.dataset)
    texts = item_texts(dataset.catalogue, config.attributes, names=config.attribute_names)
    cache = config.out.with_name(f"{config.out.name}-features")
    start = time.perf_counter()
    encode_chunks(
        texts, config.encoder, cache=cache, device=state.device, progress=state.is_main_process,
        process=state.process_index, processes=state.num_processes,
    )  # fmt: skip
    state.wait_for_everyone()
    if state.is_main_process:
        features_NF = features_of(dataset, texts, config, cache)
        encoded = time.perf_counter()
        tokenizer = SemanticTokenizer.train(
            features_NF,
            config.rqvae if config.method == "rqvae" else config.rqkmeans,
            training=config.training,
            assignment=config.assignment,
            catalogue=dataset.catalogue,
            labels=labels_of(dataset.catalogue, config.label),
            source=source_of(config),
            seed=config.seed,
            device=state.device,
            progress=True,
        )
        trained = time.perf_counter()
        tokenizer.save_pretrained(config.out)
        print(tokenizer.quality.table())
        print(f"features {encoded - start:.1f} s, {config.method} {trained - encoded:.1f} s")
        print(f"{config.out}: e.g. {texts[0]!r} is {tokenizer.ids.text(0)}")
    state.wait_for_everyone()
    state.destroy_process_group()


if __name__ == "__main__":
    try:
        main(parse_args(Config, __doc__))
    except (ArtifactError, CollapsedCodebookError, DataError) as error:
        sys.exit(f"train_tokenizer: {error}")
