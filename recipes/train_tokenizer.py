"""Give every item of a catalogue a semantic ID: encode what is known, train a quantizer, part ties.

    python recipes/train_tokenizer.py --config recipes/configs/tokenizer_beauty.yaml
    accelerate launch recipes/train_tokenizer.py --config recipes/configs/tokenizer_toy.yaml

Several processes share the encoding; the first one trains, since a quantizer fits anywhere. Chunks
of features are kept beside the tokenizer, so a second run skips the encoding.
"""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from accelerate import PartialState

from genrec.artifacts import check_writable
from genrec.config import to_dict
from genrec.data import Dataset, SplitConfig
from genrec.optional import require
from genrec.recipe import run_recipe
from genrec.tokenization import (
    AssignmentConfig,
    Blend,
    FeaturesConfig,
    FSQConfig,
    ItemTable,
    OPQConfig,
    RQKMeansConfig,
    RQVAEConfig,
    SemanticTokenizer,
    TrainingConfig,
    collaborative_features,
    encode_sources,
    join_sources,
)
from genrec.tokenization.arrays import Features
from genrec.tokenization.page import render_page


@dataclass(frozen=True, kw_only=True)
class Config:
    dataset: Path
    """The data set that recipes/prepare.py wrote."""

    out: Path
    """Where the tokenizer goes; one that stands there is replaced when all went well."""

    method: Literal["rqvae", "rqkmeans", "opq", "fsq"] = "rqvae"
    """The quantizer: rqvae and fsq are trained by gradients, rqkmeans and opq take seconds."""

    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    """What is known of items: texts, pictures, who met them together, given vectors."""

    rqvae: RQVAEConfig = field(default_factory=RQVAEConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    rqkmeans: RQKMeansConfig = field(default_factory=RQKMeansConfig)
    opq: OPQConfig = field(default_factory=OPQConfig)
    fsq: FSQConfig = field(default_factory=FSQConfig)
    assignment: AssignmentConfig = field(default_factory=AssignmentConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    """Collaborative features come from this split's training events only."""

    label: str | None = None
    """An attribute that classes items, such as categories, for the quality report."""

    withhold: float = 0.0
    """Share of items, drawn with the seed, that stay unknown; recipes/update_catalogue.py adds them
    later, which shows how the tokenizer does on items that it has not seen."""

    cache: Path | None = None
    """Where features that are slow to encode are kept, for several tokenizers of the same items;
    by default beside ``out``."""

    page: bool = True
    """Write quality.html too: plots, and items whose IDs begin alike, with their pictures."""

    seed: int = 0
    """Decides the start and the order of training."""

    def __post_init__(self) -> None:
        if not 0 <= self.withhold < 1:
            raise ValueError(f"withhold is {self.withhold}; give a share from 0 to below 1")


def together(items: ItemTable, config: Config) -> Features | None:
    """Learn who is met with whom, from training events on known items."""
    if config.features.collaborative is None:
        return None
    interactions = Dataset.load(config.dataset).interactions
    learnable = config.split.split(interactions).train & np.isin(interactions.item, items.rows)
    together_NF = collaborative_features(
        interactions, learnable, int(items.rows.max()) + 1, config.features.collaborative,
        generator=torch.Generator().manual_seed(config.seed),
    )  # fmt: skip
    return together_NF[items.rows]


def main(config: Config) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if config.page:
        require("jinja2", extra="eval", why="quality.html (--page false does without)")
    check_writable(config.out, sign="semantic_ids.safetensors")
    state = PartialState()
    items = ItemTable.open(config.dataset).withhold(config.withhold, seed=config.seed)
    cache = config.cache or config.out.with_name(f"{config.out.name}-features")
    start = time.perf_counter()
    encoded = encode_sources(
        items, config.features, cache=cache, device=state.device, progress=state.is_main_process,
        process=state.process_index, processes=state.num_processes,
    )  # fmt: skip
    state.wait_for_everyone()
    if state.is_main_process:
        sources = join_sources(items, config.features, encoded, together(items, config))
        blend = Blend.fit(sources, list(config.features.weights.values()))
        features_NF = blend.write(sources, cache / "features.npy")
        ready = time.perf_counter()
        tokenizer = SemanticTokenizer.train(
            features_NF, getattr(config, config.method), training=config.training,
            assignment=config.assignment, catalogue=items,
            labels=items.labels(config.label) if config.label else None,
            source={**to_dict(config.features), "split": to_dict(config.split)}, blend=blend,
            seed=config.seed, device=state.device, progress=True,
        )  # fmt: skip
        trained = time.perf_counter()
        page = render_page(tokenizer, items, label=config.label) if config.page else None
        tokenizer.save_pretrained(config.out, page=page)
        print(tokenizer.quality.table())
        print(f"features {ready - start:.1f} s, {config.method} {trained - ready:.1f} s")
        print(f"{config.out}: e.g. {items.item_ids[0]!r} is {tokenizer.ids.text(0)}")
    state.wait_for_everyone()
    state.destroy_process_group()


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
