"""Measure how well items are recommended that neither tokenizer nor generator has seen in training.

    OMP_NUM_THREADS=1 python recipes/benchmarks/cold_start.py --data data/amazon-beauty
    python recipes/benchmarks/cold_start.py --quick

A share of the items is withheld: their events do not train, the tokenizer does not know them. Then
the frozen tokenizer gives them IDs, and all test users are asked, whose targets are withheld items
now and then. Beside the generator stands a kNN on the same features of texts; each also with the
last place of a ranking reserved for new items, as in section 4.3 of TIGER
(https://arxiv.org/abs/2305.05065). The last line is JSON.
"""

import json
import logging
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genrec.data import Dataset, Split, leave_one_out
from genrec.eval import ContentKNNRecommender, tune_content_knn
from genrec.recipe import run_recipe
from genrec.recommender import Recommender
from genrec.semantic_ids import SemanticIds
from genrec.tokenization import (
    Blend,
    CollaborativeConfig,
    RQKMeansConfig,
    SemanticTokenizer,
    collaborative_features,
    item_texts,
    text_features,
)
from genrec.tokenization.arrays import Bools, Features
from genrec.tokenization.sources import without_zeros

if not __package__:  # run by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from recipes.benchmarks.generator import (
    COUNTED,
    QUANTIZER,
    GeneratorConfig,
    benchmark_data,
    train_generator,
)
from recipes.benchmarks.new_items import OnlyNew, items_named, reserve, table, told


@dataclass(frozen=True, kw_only=True)
class Config:
    data: Path = Path("data/amazon-beauty")
    """Folder with ``sequences.tsv`` and ``items.jsonl``."""

    out: Path = Path("runs/benchmarks/cold_start")
    """Where the generator's checkpoints are kept; a run that was killed goes on from there."""

    features: Path = Path("runs/benchmarks/features")
    """Where the features of texts are kept."""

    share: float = 0.05
    """Part of all items to withhold."""

    reserved: int = 1
    """Places of ten that a ranking keeps for new items, where it does."""

    quantizer: RQKMeansConfig = QUANTIZER
    """The quantizer; a last level counts the items that share all codes."""

    collaborative: CollaborativeConfig | None = None
    """Join features of who met what together; those of new items are filled in from their texts."""

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    seed: int = 0
    """Decides which items are withheld, the tokenizer and the generator."""

    quick: bool = False
    """Run on a small toy shop, just to see that it works."""


def withhold(split: Split, dataset: Dataset, new_N: Bools) -> Split:
    """Take the events of new items out of training and validation; those of the test stay."""
    is_new_I = new_N[dataset.interactions.item]
    return Split(split.train & ~is_new_I, split.validation[~is_new_I[split.validation]], split.test)


def features_of(
    text_NF: Features, dataset: Dataset, split: Split, new_N: Bools, config: Config
) -> Features:
    """Join what texts tell and, if asked for, what the training events tell of known items."""
    if config.collaborative is None:
        return text_NF
    together_NF = collaborative_features(
        dataset.interactions, split.train, len(text_NF), config.collaborative,
        generator=torch.Generator().manual_seed(config.seed),
    )  # fmt: skip
    known = {"text": text_NF[~new_N], "together": without_zeros(together_NF[~new_N])}
    sources = {"text": text_NF, "together": without_zeros(together_NF)}
    return Blend.fit(known).apply(sources)


def ids_of(features_NF: Features, dataset: Dataset, new_N: Bools, config: Config) -> SemanticIds:
    """Train the tokenizer on the known items, then add the new ones to it."""
    known = np.flatnonzero(~new_N)
    tokenizer = SemanticTokenizer.train(
        features_NF[known], config.quantizer, assignment=COUNTED,
        catalogue=dataset.catalogue.select(known), seed=config.seed,
    )  # fmt: skip
    drift = tokenizer.update(dataset.catalogue, features_NF[new_N])
    assert drift is not None
    print(drift.advice)
    return tokenizer.ids


def main(config: Config) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if config.quick:
        config = replace(
            config, generator=config.generator.hurried(), share=0.2,
            quantizer=RQKMeansConfig(codebook_sizes=(8, 8, 8)),
        )  # fmt: skip
    dataset = benchmark_data(config.data, quick=config.quick)
    new_N = np.zeros(len(dataset.catalogue), dtype=np.bool_)
    draw = np.random.default_rng(config.seed)
    new_N[draw.choice(len(new_N), size=round(config.share * len(new_N)), replace=False)] = True
    split = withhold(leave_one_out(dataset.interactions), dataset, new_N)
    text_NF = text_features(item_texts(dataset.catalogue), cache=config.features)
    ids = ids_of(features_of(text_NF, dataset, split, new_N, config), dataset, new_N, config)
    generator = train_generator(
        dataset, split, ids, config.generator, folder=config.out, seed=config.seed
    ).recommender
    knn = ContentKNNRecommender(text_NF, tune_content_knn(text_NF, dataset, split))
    rows: dict[str, dict[str, Any]] = {}
    recommender: Recommender
    for name, recommender in (("generator", generator), ("content kNN", knn)):
        all_EK = items_named(recommender, dataset, split)
        new_EK = items_named(OnlyNew(recommender, new_N), dataset, split)
        reserved_EK = reserve(all_EK, new_EK, config.reserved)
        rankings = {name: all_EK, f"{name}, reserved": reserved_EK, f"{name}, new only": new_EK}
        for way, items_EK in rankings.items():
            rows[way] = told(items_EK, dataset, split.test, new_N)
    print(table(rows))
    on_new = int(new_N[dataset.interactions.item[split.test]].sum())
    about = {"seed": config.seed, "withheld_items": int(new_N.sum()), "events_on_withheld": on_new}
    print(json.dumps(about | {"events": len(split.test)} | rows))


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
