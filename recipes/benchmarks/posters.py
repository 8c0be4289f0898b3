"""Measure what posters are worth on MovieLens, and what wrong ones and missing attributes cost.

    OMP_NUM_THREADS=1 python recipes/benchmarks/posters.py
    python recipes/benchmarks/posters.py --quick

One small decoder recommends and rates movies from genres, years and ratings: without posters, with
them, with a fifth of the posters dealt to other movies, and with a fifth of the attributes missing
(UniMP, table 6: https://arxiv.org/abs/2403.10667), each in training and in use. Its frozen encoder
has learned from posters and genres alone. Nothing is chosen by validation events, so they are
scored too. The last line is JSON.
"""

import dataclasses
import json
import logging
import math
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genrec.artifacts import fingerprint, read_json, write_json
from genrec.config import to_dict
from genrec.data import Catalogue, Dataset, MovieLensConfig, k_core, leave_one_out, load_movielens
from genrec.eval import bootstrap, compare, evaluate, ndcg_at, recall_at
from genrec.eval.intervals import Statistics
from genrec.eval.ratings import rating_statistics
from genrec.eval.results import Ranked, Rated
from genrec.models import TinyConfig
from genrec.models.picture_pretraining import PretrainingConfig
from genrec.prompts import PromptConfig
from genrec.recipe import run_recipe
from genrec.semantic_ids import SemanticIds
from genrec.tokenization import RQKMeansConfig, SemanticTokenizer, item_texts, text_features

if not __package__:  # run by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from recipes.benchmarks.seeing import SeeingConfig, deal_pictures, train_seeing
from recipes.pretrain_encoder import Config as EncoderConfig
from recipes.pretrain_encoder import main as pretrain


@dataclass(frozen=True, kw_only=True)
class Config:
    folder: Path = Path("data/movielens-small")
    """MovieLens, with its posters in ``posters_64x96.zip``."""

    out: Path = Path("runs/benchmarks/posters")
    """Where the runs are kept."""

    ways: tuple[str, ...] = (
        "pictures", "text", "wrong_pictures", "missing_attributes", "text_missing_attributes",
    )  # fmt: skip
    """What to train; the first is compared with each of the others. ``text`` sees no picture."""

    seeds: tuple[int, ...] = (0,)
    """One run of each way; a seed decides weights, order, and what is spoilt."""

    ratings: int = 30
    """Keep the movies with so many ratings."""

    spoilt: float = 0.2
    """Share of the posters that are wrong, or of the attributes that are missing."""

    quantizer: RQKMeansConfig = field(
        default_factory=lambda: RQKMeansConfig(codebook_sizes=(1024,))
    )
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)
    seeing: SeeingConfig = field(
        default_factory=lambda: SeeingConfig(
            model=TinyConfig(
                hidden_size=128, layers=2, heads=4, intermediate_size=256, dropout=0.2,
                text_pieces=500,
            ),
            prompts=PromptConfig(
                history_items=8, history_cards=True, history_context=("rating",),
                context_words={"rating": "{}"}, attributes=("genres", "year"),
                attribute_words={"genres": "", "year": ""}, attribute_tokens=6,
                prompt_tokens=120, answer_tokens=8,
                rating_scale=(0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0),
            ),
            tasks={"recommend": 1.0, "rate": 0.1, "description_to_item": 1.0},
        )
    )  # fmt: skip
    quick: bool = False
    """Take few steps on few movies, just to see that everything works."""


def main(config: Config) -> None:
    logging.basicConfig(level=logging.WARNING)
    if config.quick:
        config = quick(config)
    posters = config.folder / "posters_64x96.zip"
    movies = load_movielens(MovieLensConfig(folder=config.folder, pictures=posters))
    dataset = k_core(movies, item_events=config.ratings)
    ids = text_ids(dataset, config)
    config = with_eyes(movies, config)
    summary: dict[str, Any] = {"movies": len(dataset.catalogue), "seeds": config.seeds}
    scored = {
        way: scores([run(way, seed, dataset, ids, config) for seed in config.seeds])
        for way in config.ways
    }
    for way, (ranking, rating) in scored.items():
        bounds = bootstrap(ranking) | bootstrap(rating)
        shown = {metric: bounds[metric] for metric in ("hr@10", "ndcg@10", "rmse", "mae")}
        cells = [f"{name} {v:.4f} ({low:.4f}-{high:.4f})" for name, (v, low, high) in shown.items()]
        print(f"{way:<16}", *cells, sep="  ")
        summary |= {f"{metric}_{way}": known(bound.value) for metric, bound in shown.items()}
    first = config.ways[0]
    for way in config.ways[1:]:
        gaps = compare(scored[first].ranking, scored[way].ranking)
        gaps |= compare(scored[first].rating, scored[way].rating)
        summary[f"{first}_over_{way}"] = {
            metric: [*map(known, gaps[metric].difference), gaps[metric].verdict]
            for metric in ("hr@10", "rmse")
        }
    print(json.dumps(summary))


def run(way: str, seed: int, dataset: Dataset, ids: SemanticIds, config: Config) -> dict[str, Any]:
    """Train and score one decoder, unless that was done; return its answers and the right ones."""
    path = config.out / f"{way}-{seed}.json"
    shown, seeing = spoilt(dataset, way, config.spoilt, seed=seed), config.seeing
    if way.startswith("text"):
        seeing = replace(seeing, vision=None)
    made_of = {"dataset": shown.fingerprint, "ids": ids.fingerprint, "seeing": to_dict(seeing)}
    if not path.is_file() or read_json(path)["made_of"] != made_of:
        print(f"{way}, seed {seed}", flush=True)
        split = leave_one_out(shown.interactions)
        held_out = np.sort(np.concatenate([split.validation, split.test]))
        trained = train_seeing(
            shown, split, ids, seeing, folder=config.out / f"{way}-{seed}", seed=seed
        )
        results = evaluate(
            trained.serve(shown.catalogue), shown, held_out, tasks=("recommend", "rate"),
            train=split.train,
        )  # fmt: skip
        ranked, rated = results["recommend"].answers, results["rate"].answers
        assert isinstance(ranked, Ranked)
        assert isinstance(rated, Rated)
        write_json(path, {
            "made_of": made_of, **trained.trained._asdict(),
            "user": shown.interactions.user_of[held_out].tolist(),
            "rank": ranked.rank_E.tolist(),
            "predicted": [known(rating) for rating in rated.predicted_E.tolist()],
            "rating": rated.target_E.tolist(),
        })  # fmt: skip
    return read_json(path)


def known(number: float) -> float | None:
    """Write what JSON has no number for, such as an answer that is no rating, as ``None``."""
    return None if math.isnan(number) else number


class Scores(NamedTuple):
    """How one way did."""

    ranking: Statistics
    rating: Statistics


def scores(runs: list[dict[str, Any]]) -> Scores:
    """Score the runs of all seeds together; the events of a user are alike in all of them."""
    rank_E, predicted_E, rating_E, user_E = (
        np.concatenate([np.array(each[name], dtype=kind) for each in runs])
        for name, kind in (
            ("rank", np.int64),
            ("predicted", np.float64),
            ("rating", np.float64),
            ("user", np.int64),
        )
    )
    ranking = {"hr@10": recall_at(rank_E, 10), "ndcg@10": ndcg_at(rank_E, 10)}
    return Scores(
        Statistics.of_means(ranking, user_E), rating_statistics(predicted_E, rating_E, user_E)
    )


def spoilt(dataset: Dataset, way: str, share: float, *, seed: int) -> Dataset:
    """Deal a share of the pictures to other items, or lose a share of the attributes."""
    if way.endswith("wrong_pictures"):
        return deal_pictures(dataset, share, seed=seed)
    if not way.endswith("missing_attributes"):
        return dataset
    rng, table = np.random.default_rng(seed), dataset.catalogue.table
    kept = [
        pl.when(pl.Series(rng.random(len(table)) >= share)).then(pl.col(name)).alias(name)
        for name in dataset.catalogue.attributes
    ]
    return dataclasses.replace(dataset, catalogue=Catalogue(table.with_columns(kept)))


def text_ids(dataset: Dataset, config: Config) -> SemanticIds:
    """Make IDs that know no picture; spoilt texts keep those of the sound ones."""
    features_NF = text_features(item_texts(dataset.catalogue), cache=config.out / "features")
    return SemanticTokenizer.train(
        features_NF, config.quantizer, catalogue=dataset.catalogue, seed=0
    ).ids


def with_eyes(movies: Dataset, config: Config) -> Config:
    """Show an encoder the posters of all movies with their genres, unless one is given or made."""
    eyes = config.seeing.vision
    assert eyes is not None
    if eyes.encoder is not None:
        return config
    told = json.dumps([movies.catalogue.fingerprint, to_dict(config.pretraining)])
    folder = config.out / f"encoder-{fingerprint(told)}"
    if not folder.is_dir():
        movies.save(config.out / "movies")
        pretrain(
            EncoderConfig(
                out=folder, dataset=config.out / "movies", captions=("genres",),
                pretraining=config.pretraining,
            )
        )  # fmt: skip
    seeing = replace(config.seeing, vision=replace(eyes, encoder=str(folder)))
    return replace(config, seeing=seeing)


def quick(config: Config) -> Config:
    """Make everything small."""
    few = replace(config.seeing.training, steps=5, validate_every=5, checkpoint_every=5)
    return replace(
        config, ratings=100, quantizer=RQKMeansConfig(codebook_sizes=(16, 16)),
        seeing=replace(config.seeing, training=few, validation_users=20),
        pretraining=replace(config.pretraining, steps=5, batch_size=16),
    )  # fmt: skip


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
