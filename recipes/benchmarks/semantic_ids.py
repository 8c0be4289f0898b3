"""Measure what semantic IDs are worth in the end: the same small generator on ours and on others.

    OMP_NUM_THREADS=1 python recipes/benchmarks/semantic_ids.py --data data/amazon-beauty
    python recipes/benchmarks/semantic_ids.py --quick

On Amazon Beauty stand ours, the same IDs dealt to the items at random, and those that LETTER
published (https://arxiv.org/abs/2405.07314), which some items share: where a beam names such an ID,
its items follow each other in the ranking, and one of them at most is the hit.
Every run is kept, and one that was killed goes on where it was. The last line is JSON.
"""

import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from genrec.artifacts import read_json, write_json
from genrec.config import to_dict
from genrec.data import DataError, Dataset, Split, leave_one_out
from genrec.eval import bootstrap, compare, evaluate, ndcg_at, recall_at
from genrec.eval.intervals import Ints, Statistics
from genrec.recipe import run_recipe
from genrec.semantic_ids import SemanticIds
from genrec.tokenization import (
    CollaborativeConfig,
    RQKMeansConfig,
    SemanticTokenizer,
    collaborative_features,
    item_texts,
    text_features,
)

if not __package__:  # run by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from recipes.benchmarks.generator import (
    COUNTED,
    QUANTIZER,
    GeneratorConfig,
    benchmark_data,
    train_generator,
)

Name = Literal["ours", "random", "letter"]


@dataclass(frozen=True, kw_only=True)
class Config:
    data: Path = Path("data/amazon-beauty")
    """Folder with ``sequences.tsv``, ``items.jsonl`` and LETTER's ``letter.index.json``."""

    out: Path = Path("runs/benchmarks/semantic_ids")
    """Where the runs are kept."""

    features: Path = Path("runs/benchmarks/features")
    """Where the features of texts are kept."""

    ids: tuple[Name, ...] = ("ours", "letter", "random")
    """The IDs to train on; the first are compared with each of the others."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """One run each. A seed decides all that is made: the tokenizer, random IDs, the generator."""

    quantizer: RQKMeansConfig = QUANTIZER
    """The quantizer of our IDs; a last level counts the items that share all codes."""

    collaborative: CollaborativeConfig = field(default_factory=lambda: CollaborativeConfig(dim=128))
    """Features of who met what together in train events; they are joined to those of texts."""

    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    quick: bool = False
    """Run on a small toy shop, where LETTER's IDs do not exist, just to see that it works."""


def make_ids(name: Name, dataset: Dataset, split: Split, config: Config, seed: int) -> SemanticIds:
    if name == "letter":
        ids = SemanticIds.from_index_json(config.data / "letter.index.json", (256,) * 4)
    else:
        ids = our_ids(dataset, split, config, seed)
        ids = ids if name == "ours" else dealt(ids, seed)
    if len(ids) != len(dataset.catalogue):
        raise DataError(
            f"there are {name} IDs of {len(ids)} items, but {config.data} has "
            f"{len(dataset.catalogue)} items; give the folder of the data they were made for"
        )
    return ids


def our_ids(dataset: Dataset, split: Split, config: Config, seed: int) -> SemanticIds:
    texts = item_texts(dataset.catalogue)
    together_ND = collaborative_features(
        dataset.interactions, split.train, len(texts), config.collaborative,
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    features_NF = np.hstack([text_features(texts, cache=config.features), together_ND])
    return SemanticTokenizer.train(
        features_NF, config.quantizer, assignment=COUNTED,
        catalogue=dataset.catalogue, seed=seed,
    ).ids  # fmt: skip


def dealt(ids: SemanticIds, seed: int) -> SemanticIds:
    """Deal IDs to the items at random: their shape stays, and what they mean is lost."""
    return SemanticIds(np.random.default_rng(seed).permutation(ids.codes_NL), ids.codebook_sizes)


def run(name: Name, seed: int, dataset: Dataset, split: Split, config: Config) -> Ints:
    """Train and score a generator, unless that was done; return the ranks of the test targets."""
    path = config.out / f"{name}-{seed}.json"
    ids = make_ids(name, dataset, split, config, seed)
    made_of = {"ids": ids.fingerprint, "dataset": dataset.fingerprint}
    made_of["generator"] = to_dict(config.generator)
    if not path.is_file() or read_json(path)["made_of"] != made_of:
        print(f"{name}, seed {seed}: codes {ids.codebook_sizes}", flush=True)
        start = time.perf_counter()
        recommender, trained = train_generator(
            dataset, split, ids, config.generator, folder=config.out / f"{name}-{seed}", seed=seed
        )
        results = evaluate(recommender, dataset, split.test, train=split.train)
        write_json(path, {
            "made_of": made_of, **trained._asdict(), "sharing": int((ids.items_per_id > 1).sum()),
            "total_seconds": round(time.perf_counter() - start, 1),
            "ranks": results.ranks.tolist(),
        })  # fmt: skip
    return np.array(read_json(path)["ranks"], dtype=np.int64)


def statistics(rank_SE: Sequence[Ints], user_E: Ints) -> Statistics:
    """Score every user by the mean over seeds, so that an interval bounds the mean of the runs."""
    scores = {
        name: np.mean([score_at(rank_E, 10) for rank_E in rank_SE], axis=0)
        for name, score_at in (("recall@10", recall_at), ("ndcg@10", ndcg_at))
    }
    return Statistics.of_means(scores, user_E)


def main(config: Config) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if config.quick:
        config = replace(
            config, ids=("ours", "random"), generator=config.generator.hurried(),
            quantizer=RQKMeansConfig(codebook_sizes=(8, 8, 8)),
        )  # fmt: skip
    dataset = benchmark_data(config.data, quick=config.quick)
    split = leave_one_out(dataset.interactions)
    user_E = dataset.interactions.user_of[split.test].astype(np.int64)
    rank_SE: dict[Name, list[Ints]] = {name: [] for name in config.ids}
    for seed in config.seeds:
        for name in config.ids:
            rank_SE[name].append(run(name, seed, dataset, split, config))
    scored = {name: statistics(ranks, user_E) for name, ranks in rank_SE.items()}
    summary: dict[str, Any] = {"seeds": config.seeds, "users": len(user_E)}
    print(f"{'':<10}{'Recall@10':>22}{'NDCG@10':>22}   Recall@10 of each seed")
    for name in config.ids:
        bounds = bootstrap(scored[name])
        each = [float(recall_at(rank_E, 10).mean()) for rank_E in rank_SE[name]]
        shown = "".join(f"{v:>10.4f} ({low:.4f}-{high:.4f})" for v, low, high in bounds.values())
        print(f"{name:<10}{shown}   {' '.join(f'{value:.4f}' for value in each)}")
        summary[name] = {**{key: bound._asdict() for key, bound in bounds.items()}, "each": each}
    first, *others = config.ids
    for other in others:
        found = compare(scored[first], scored[other])
        summary[f"{first}_over_{other}"] = {
            key: {**gap.difference._asdict(), "p": gap.p_value, "verdict": gap.verdict}
            for key, gap in found.items()
        }
    print(json.dumps(summary))


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
