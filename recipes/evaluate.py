"""Score a fine-tuned model beside baselines and write a report.

    python recipes/evaluate.py --config recipes/configs/evaluate_toy.yaml
    python recipes/evaluate.py --config recipes/configs/evaluate_beauty.yaml --model null

All methods answer the same requests. In the toy shop, whose users are known, the best achievable
recommender stands beside them.
"""

import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from genrec.artifacts import ArtifactError, check_same
from genrec.config import parse_args, to_dict
from genrec.data import Dataset, Split, SplitConfig
from genrec.data.toy_shop import ToyShopConfig, toy_shop
from genrec.eval import (
    RANKING_TASKS,
    TASKS,
    ItemKNNConfig,
    ItemKNNRecommender,
    MeanRatingRecommender,
    PopularityRecommender,
    Results,
    Task,
    TaskError,
    evaluate,
    sample_users,
    summarize,
    text_table,
    tune_item_knn,
    write_report,
)
from genrec.recommender import Recommender

Baseline = Literal["popularity", "item_knn", "mean_rating"]
MODEL, OPTIMUM = "genrec", "optimum"


@dataclass(frozen=True, kw_only=True)
class Config:
    dataset: Path
    """The data set that recipes/prepare.py wrote."""

    out: Path
    """Where the report goes; one that stands there is replaced."""

    model: Path | None = None
    """The model directory that recipes/finetune.py wrote; without it only baselines are scored."""

    baselines: tuple[Baseline, ...] = get_args(Baseline)
    """What stands beside the model."""

    tasks: tuple[Task, ...] = ("recommend",)
    """What is scored; every method does those that it can."""

    candidates: int = 10
    """How many items the tasks direct and select choose among."""

    split: SplitConfig = field(default_factory=SplitConfig)
    """The split that the model was trained on; its test events are predicted."""

    users: int = 0
    """Predict the events of so many users, drawn by the seed; 0 takes all."""

    item_knn: ItemKNNConfig | None = None
    """How item-kNN counts; tuned on the validation events when left out."""

    k: int = 10
    """Length of the rankings."""

    beams: int = 20
    """Fewest beams of the model's searches."""

    users_shown: int = 12
    """Users to show with their pictures."""

    seed: int = 0
    """Decides who is asked about."""


def main(config: Config) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    start = time.perf_counter()
    dataset = Dataset.load(config.dataset)
    split = config.split.split(dataset.interactions)
    events = sample_users(dataset.interactions, split.test, config.users, seed=config.seed)
    results: dict[str, Results] = {}
    recommenders = dict(methods(config, dataset, split))
    for name, recommender in recommenders.items():
        able = getattr(recommender, "tasks", TASKS)
        tasks = [task for task in config.tasks if task in able]
        print(f"{name}: {', '.join(tasks)} for {len(events):,} events", flush=True)
        results[name] = evaluate(
            recommender, dataset, events, tasks=tasks, k=config.k, train=split.train,
            candidates=config.candidates, progress=sys.stderr.isatty(),
        )  # fmt: skip
    page = write_report(
        config.out, results, dataset, summary=summarize(results, subject=MODEL),
        optimum=OPTIMUM if OPTIMUM in results else None, seeds={"seed": config.seed},
        config=to_dict(config), users_shown=config.users_shown,
        prompt_of=getattr(recommenders.get(MODEL), "prompt_text", None),
    )  # fmt: skip
    for task in config.tasks:
        print(f"\n{text_table(results, task)}")
    print(f"\n{page} ({time.perf_counter() - start:.0f} s)")


def methods(config: Config, dataset: Dataset, split: Split) -> Iterator[tuple[str, Recommender]]:
    """Make the methods: the model, the baselines, and the optimum where it is known."""
    ranks, rates = set(RANKING_TASKS) & set(config.tasks), "rate" in config.tasks
    if config.model is not None:
        yield MODEL, load_model(config.model, dataset, beams=config.beams)
    if "popularity" in config.baselines and ranks:
        yield "popularity", PopularityRecommender(dataset, split.train)
    if "item_knn" in config.baselines and ranks:
        tuned = config.item_knn or tune_item_knn(dataset, split, seed=config.seed)
        yield "item_knn", ItemKNNRecommender(dataset, split.train, tuned)
    if "mean_rating" in config.baselines and rates:
        yield "mean_rating", MeanRatingRecommender(dataset, split.train)
    if (optimum := optimum_of(dataset)) is not None:
        yield OPTIMUM, optimum


def load_model(path: Path, dataset: Dataset, *, beams: int) -> Recommender:
    from genrec.serving import GenRec  # torch is imported only where there is a model

    rec = GenRec.from_pretrained(path, beams=beams)
    check_same(
        "catalogue", rec.catalogue.fingerprint, dataset.catalogue.fingerprint,
        ours_from=str(path), theirs_from=dataset.name,
    )  # fmt: skip
    return rec.recommender


def optimum_of(dataset: Dataset) -> Recommender | None:
    """Open the toy shop that the data are of again; other data have no known optimum."""
    if "toy_shop" not in dataset.info.get("source", ""):
        return None
    shop = toy_shop(ToyShopConfig(**dataset.info["config"]), seed=dataset.info["seed"])
    return shop.optimum if shop.dataset == dataset else None


if __name__ == "__main__":
    try:
        main(parse_args(Config, __doc__))
    except (ArtifactError, TaskError) as error:
        sys.exit(f"evaluate: {error}")
