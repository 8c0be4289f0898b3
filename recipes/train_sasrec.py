"""Train SASRec, the sequential baseline, and score it on the test events.

    python recipes/train_sasrec.py --config recipes/configs/sasrec_beauty.yaml
    python recipes/train_sasrec.py --config recipes/configs/sasrec_toys.yaml --seed 1

Every epoch leaves its state beside the model, so the same command goes on after a kill.
"""

import logging
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from genrec.artifacts import check_writable, write_json
from genrec.config import to_dict
from genrec.data import Dataset, SplitConfig
from genrec.eval import evaluate, text_table
from genrec.eval.sasrec import SASRecConfig, SASRecTrainingConfig, train_sasrec
from genrec.recipe import run_recipe
from genrec.training import claim_run_folder


@dataclass(frozen=True, kw_only=True)
class Config:
    dataset: Path
    """The data set that recipes/prepare.py wrote."""

    out: Path
    """Where the model goes; the states of the epochs go to a folder of that name and -run."""

    model: SASRecConfig = field(default_factory=SASRecConfig)
    training: SASRecTrainingConfig = field(default_factory=SASRecTrainingConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    """Its train events are learned from, its validation events decide when to stop."""

    seed: int = 0
    """Decides the first weights, the batches, what is dropped and what is drawn."""


def main(config: Config) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    check_writable(config.out, sign="config.json")
    dataset = Dataset.load(config.dataset)
    split = config.split.split(dataset.interactions)
    run = config.out.with_name(f"{config.out.name}-run")
    claim_run_folder(run, {**to_dict(config), "data": dataset.fingerprint})
    start = time.perf_counter()
    trained = train_sasrec(
        dataset, split, config.model, config.training, folder=run, seed=config.seed,
        device="cuda" if torch.cuda.is_available() else "cpu", progress=sys.stderr.isatty(),
    )  # fmt: skip
    trained.recommender.save_pretrained(config.out)
    write_json(run / "epochs.json", [epoch._asdict() for epoch in trained.epochs])
    spent = sum(epoch.seconds for epoch in trained.epochs)
    print(
        f"{config.out}: epoch {trained.best} of {len(trained.epochs)} validated best, with an "
        f"NDCG@10 of {trained.epochs[trained.best].score:.4f}; {spent:.0f} s of training"
    )
    results = evaluate(trained.recommender, dataset, split.test, train=split.train)
    print(f"\n{text_table({'sasrec': results}, 'recommend')}")
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
