"""Measure how well items are recommended that neither tokenizer nor generator has seen in training.

    OMP_NUM_THREADS=1 python -m recipes.benchmarks.cold_start --data data/amazon-beauty
    python -m recipes.benchmarks.cold_start --quick

A share of the items is withheld: their events do not train, the tokenizer does not know them. Then
the frozen tokenizer gives them IDs, and all test users are asked, whose targets are withheld items
now and then. Beside the generator stands a kNN on the same features of texts; each also with the
last place of a ranking reserved for new items, as in section 4.3 of TIGER
(https://arxiv.org/abs/2305.05065). The last line is JSON.
"""

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from genrec.config import parse_args
from genrec.data import Dataset, Split, leave_one_out, sample_events
from genrec.eval import ContentKNNConfig, ContentKNNRecommender, bootstrap, evaluate, recall_at
from genrec.eval.intervals import Ints, Statistics
from genrec.eval.results import Ranked
from genrec.recommender import Ranking, Recommender, Request
from genrec.semantic_ids import SemanticIds
from genrec.tokenization import RQKMeansConfig, SemanticTokenizer, item_texts, text_features
from genrec.tokenization.arrays import Bools, Features
from recipes.benchmarks.generator import (
    COUNTED,
    QUANTIZER,
    GeneratorConfig,
    benchmark_data,
    train_generator,
)

K = 10
DECAYS = (0.3, 0.5, 0.65, 0.85, 1.0)


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

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    seed: int = 0
    """Decides which items are withheld, the tokenizer and the generator."""

    quick: bool = False
    """Run on a small toy shop, just to see that it works."""


class OnlyNew:
    """A recommender that names new items alone."""

    def __init__(self, recommender: Recommender, new_N: Bools) -> None:
        self._recommender = recommender
        self._items = tuple(np.flatnonzero(new_N).tolist())

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank new items."""
        asked = [replace(request, only=self._items) for request in requests]
        return self._recommender.recommend(asked, k)

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Refuse: nobody asks for words here."""
        raise NotImplementedError


def withhold(split: Split, dataset: Dataset, new_N: Bools) -> Split:
    """Take the events of new items out of training and validation; those of the test stay."""
    is_new_I = new_N[dataset.interactions.item]
    return Split(split.train & ~is_new_I, split.validation[~is_new_I[split.validation]], split.test)


def ids_of(features_NF: Features, dataset: Dataset, new_N: Bools, config: Config) -> SemanticIds:
    """Train the tokenizer on the known items, then add the new ones to it."""
    known = np.flatnonzero(~new_N)
    tokenizer = SemanticTokenizer.train(
        features_NF[known], config.quantizer, assignment=COUNTED,
        catalogue=dataset.catalogue.select(known), seed=config.seed,
    )  # fmt: skip
    drift = tokenizer.update(dataset.catalogue, features_NF[tokenizer.new_items(dataset.catalogue)])
    print(drift)
    return tokenizer.ids


def content_knn(features_NF: Features, dataset: Dataset, split: Split) -> ContentKNNRecommender:
    """Choose the decay that validates best."""
    events = sample_events(split.validation, 2000, seed=0)

    def recall(decay: float) -> float:
        knn = ContentKNNRecommender(features_NF, ContentKNNConfig(decay=decay))
        return float(recall_at(evaluate(knn, dataset, events).ranks, K).mean())

    return ContentKNNRecommender(features_NF, ContentKNNConfig(decay=max(DECAYS, key=recall)))


def items_named(one: Recommender, dataset: Dataset, split: Split) -> Ints:
    """Ask about all test events; -1 stands behind the end of a ranking."""
    answers = evaluate(one, dataset, split.test, k=K, train=split.train)["recommend"].answers
    assert isinstance(answers, Ranked)
    return answers.items_EK


def reserve(all_EK: Ints, new_EK: Ints, places: int) -> Ints:
    """Fill the last places with the best new items that do not stand before them."""
    merged_EK = all_EK.copy()
    for row_K, new_K in zip(merged_EK, new_EK, strict=True):
        row_K[K - places :] = new_K[~np.isin(new_K, row_K[: K - places])][:places]
    return merged_EK


def told(items_EK: Ints, dataset: Dataset, events: Ints, new_N: Bools) -> dict[str, Any]:
    """Sum up rankings: how often they name new items, and how often they hit."""
    target_E = dataset.interactions.item[events]
    user_E = dataset.interactions.user_of[events].astype(np.int64)
    is_new_E, is_new_EK = new_N[target_E], new_N[items_EK] & (items_EK >= 0)
    found_E = (items_EK == target_E[:, None]).any(axis=1)
    return {
        "places_of_new": float(is_new_EK.sum() / (items_EK >= 0).sum()),
        "new_items_named": float(len(np.unique(items_EK[is_new_EK])) / new_N.sum()),
        "recall@10_new": share(found_E[is_new_E], user_E[is_new_E]),
        "recall@10_known": share(found_E[~is_new_E], user_E[~is_new_E]),
    }


def share(found_E: Bools, user_E: Ints) -> dict[str, float]:
    bounds = bootstrap(Statistics.of_means({"share": found_E.astype(np.float64)}, user_E))
    return bounds["share"]._asdict()


def table(summary: dict[str, dict[str, Any]]) -> str:
    lines = [f"{'':<24}{'places':>9}{'named':>9}{'hits, new items':>26}{'hits, others':>26}"]
    for name, row in summary.items():
        cells = [f"{row[key]:>9.2%}" for key in ("places_of_new", "new_items_named")]
        for key in ("recall@10_new", "recall@10_known"):
            hit = row[key]
            cells.append(f"{hit['value']:>10.4f} ({hit['low']:.4f}-{hit['high']:.4f})")
        lines.append(f"{name:<24}{''.join(cells)}")
    return "\n".join(lines)


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
    features_NF = text_features(item_texts(dataset.catalogue), cache=config.features)
    ids = ids_of(features_NF, dataset, new_N, config)
    generator = train_generator(
        dataset, split, ids, config.generator, folder=config.out, seed=config.seed
    ).recommender
    knn = content_knn(features_NF, dataset, split)
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
    options = ["--quick=true" if option == "--quick" else option for option in sys.argv[1:]]
    main(parse_args(Config, __doc__, options))
