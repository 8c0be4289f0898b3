"""Measure what the drift report says of items withheld at random, and of whole categories.

    OMP_NUM_THREADS=1 python recipes/benchmarks/drift.py --data data/amazon-beauty
    python recipes/benchmarks/drift.py --quick

Random items are like those of training, so the advice must be to keep the tokenizer; a category
that it never saw is another matter. The last line is JSON.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from genrec.data import Catalogue, DataError
from genrec.recipe import run_recipe
from genrec.tokenization import (
    Drift,
    RQKMeansConfig,
    RQVAEConfig,
    SemanticTokenizer,
    item_texts,
    text_features,
)
from genrec.tokenization.arrays import Bools, Features

if not __package__:  # run by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from recipes.benchmarks.generator import benchmark_data

QuantizerConfig = RQKMeansConfig | RQVAEConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    data: Path = Path("data/amazon-beauty")
    """Folder with ``sequences.tsv`` and ``items.jsonl``."""

    features: Path = Path("runs/benchmarks/features")
    """Where the features of texts are kept."""

    methods: tuple[Literal["rqkmeans", "rqvae"], ...] = ("rqkmeans", "rqvae")
    """The quantizers to train, with their usual settings."""

    shares: tuple[float, ...] = (0.05, 0.2)
    """Parts of all items to withhold at random."""

    label: str = "categories"
    """The attribute whose values are categories; of a path such as ``Beauty > Hair Care > Styling``
    the second part counts."""

    categories: tuple[str, ...] = ("Fragrance", "Tools & Accessories", "Hair Care")
    """Categories to withhold whole."""

    rqkmeans: RQKMeansConfig = field(default_factory=RQKMeansConfig)
    rqvae: RQVAEConfig = field(default_factory=RQVAEConfig)
    seed: int = 0
    """Decides which items are withheld, and the tokenizer."""

    quick: bool = False
    """Run on a small toy shop, just to see that it works."""

    def quantizer(self, method: str) -> QuantizerConfig:
        """Return the settings of a method."""
        return self.rqkmeans if method == "rqkmeans" else self.rqvae


def withheld(catalogue: Catalogue, config: Config) -> Iterator[tuple[str, Bools]]:
    """Name each draw, and tell which items it withholds."""
    draw_N = np.random.default_rng(config.seed).random(len(catalogue))
    for share in config.shares:
        yield f"random {share:.0%}", draw_N < share
    labels = catalogue.table[config.label].fill_null("").str.split(" > ").to_list()
    category_N = np.array([label[min(1, len(label) - 1)] for label in labels])
    for name in config.categories:
        is_new_N = category_N == name
        if not is_new_N.any():
            raise DataError(
                f"no item has the category {name!r} in {config.label!r}; "
                f"there are {', '.join(sorted(set(category_N.tolist())))}"
            )
        yield name, is_new_N


def drift_of(
    features_NF: Features, catalogue: Catalogue, new_N: Bools, config: QuantizerConfig, seed: int
) -> Drift:
    """Train on the other items, then add the withheld ones."""
    known = np.flatnonzero(~new_N)
    tokenizer = SemanticTokenizer.train(
        features_NF[known], config, catalogue=catalogue.select(known), seed=seed
    )
    drift = tokenizer.update(catalogue, features_NF[new_N])
    assert drift is not None
    return drift


def main(config: Config) -> None:
    if config.quick:
        config = replace(
            config, methods=("rqkmeans",), shares=(0.2,), label="category", categories=("camera",),
            rqkmeans=RQKMeansConfig(codebook_sizes=(8, 8, 8)),
        )  # fmt: skip
    catalogue = benchmark_data(config.data, quick=config.quick).catalogue
    features_NF = text_features(item_texts(catalogue), cache=config.features)
    print(f"{'withheld':<22}{'method':<10}{'items':>7}{'training':>10}{'new':>8}{'worse':>8}"
          f"{'beyond':>9}{'moved':>8}  verdict")  # fmt: skip
    rows = []
    for method in config.methods:
        for name, new_N in withheld(catalogue, config):
            drift = drift_of(features_NF, catalogue, new_N, config.quantizer(method), config.seed)
            print(f"{name:<22}{method:<10}{drift.items:>7,}{drift.training_error:>10.3f}"
                  f"{drift.error:>8.3f}{drift.worse_share:>8.3f}{drift.beyond_share:>9.1%}"
                  f"{drift.moved_share:>8.1%}  {drift.verdict}", flush=True)  # fmt: skip
            rows.append({"withheld": name, "method": method, **drift.to_json()})
    print(json.dumps({"seed": config.seed, "items": len(catalogue), "rows": rows}))


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
