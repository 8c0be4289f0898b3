"""Take a recipe apart: change one thing at a time, and leave the rest alone.

    OMP_NUM_THREADS=1 python recipes/benchmarks/ablations.py
    python recipes/benchmarks/ablations.py --only '[whole]' --steps 5000 --seeds '[0,1,2]' --users 0
    python recipes/benchmarks/ablations.py --quick

Every way is made by recipes/train_tokenizer.py and recipes/finetune.py with options that
recipes/configs/ablations_beauty.yaml names, and asked about the same test users. What was made is
kept; a run that was killed goes on where it was. The last line is JSON.
"""

import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genrec.config import to_dict
from genrec.data import Dataset, Split, leave_one_out, sample_events
from genrec.eval import bootstrap, compare, evaluate, ndcg_at, recall_at
from genrec.eval.intervals import Ints, Statistics
from genrec.eval.seeds import mean_of_runs
from genrec.recipe import run_recipe
from genrec.serving.restated import open_for_evaluation
from genrec.training import claim_run_folder

RECIPES = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Way:
    """What is changed, as options of the two recipes."""

    tokenizer: tuple[str, ...] = ()
    model: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Config:
    dataset: Path
    """The data set that recipes/prepare.py wrote."""

    out: Path
    """Where the runs are kept."""

    tokenizer: str
    """Name of the tokenizer's config among recipes/configs."""

    model: str
    """Name of the model's config."""

    ways: dict[str, Way]
    """What is made; each is compared with the first."""

    only: tuple[str, ...] = ()
    """Names of the ways to take; empty takes all."""

    seeds: tuple[int, ...] = (0,)
    """One run each. A seed decides the tokenizer and the model."""

    steps: int = 1000
    """Optimizer steps of every model."""

    users: int = 5000
    """Ask about the test events of so many users, drawn by seed 0; 0 takes all."""

    beams: int = 20
    quick: bool = False
    """Take few steps, just to see that everything works."""

    def __post_init__(self) -> None:
        if unknown := {*self.only} - {*self.ways}:
            raise ValueError(f"only names {sorted(unknown)}; ways has {', '.join(self.ways)}")


def make(name: str, seed: int, config: Config) -> Path:
    """Run the recipes, as anybody would for a shop of their own; return the folder of the run."""
    folder = config.out / f"{name.replace(' ', '-')}-{seed}"
    way, steps = config.ways[name], 4 if config.quick else config.steps
    claim_run_folder(folder, {
        "way": to_dict(way), "steps": steps, "seed": seed,
        "dataset": str(config.dataset), "configs": [config.tokenizer, config.model],
    })  # fmt: skip
    few = ("--training.warmup_steps=2", "--validation_users=20") if config.quick else ()
    options = {
        "tokenizer": (
            "train_tokenizer", config.tokenizer, "--page=false", *way.tokenizer,
            f"--cache={config.out / 'features'}",
        ),
        "model": (
            "finetune", config.model, f"--tokenizer={folder / 'tokenizer'}",
            f"--work={folder / 'training'}", f"--training.steps={steps}",
            f"--training.validate_every={steps}", "--training.threads=1", *way.model, *few,
        ),
    }  # fmt: skip
    for part, (recipe, settings, *more) in options.items():
        if not (folder / part).exists():
            yaml = RECIPES / "configs" / f"{settings}.yaml"
            command = [sys.executable, str(RECIPES / f"{recipe}.py"), f"--config={yaml}"]
            command += [f"--dataset={config.dataset}", f"--seed={seed}", *more]
            subprocess.run([*command, f"--out={folder / part}"], check=True)
    return folder


def rank(
    name: str, seed: int, dataset: Dataset, split: Split, event_E: Ints, config: Config
) -> Ints:
    """Make and score one way, unless that was done; return the ranks of the test targets."""
    folder = make(name, seed, config)
    kept = folder / f"ranks-{len(event_E)}-{config.beams}.npy"
    if not kept.is_file():
        model = open_for_evaluation(folder / "model", dataset, beams=config.beams)
        results = evaluate(model.recommender, dataset, event_E, train=split.train)
        np.save(kept, results.ranks)
    ranks: Ints = np.load(kept)
    return ranks


def main(config: Config) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    dataset = Dataset.load(config.dataset)
    split = leave_one_out(dataset.interactions)
    event_E = sample_events(split.test, config.users, seed=0)
    user_E = dataset.interactions.user_of[event_E].astype(np.int64)
    summary: dict[str, Any] = {"config": to_dict(config), "users": len(user_E)}
    scored: dict[str, Statistics] = {}
    names = config.only or tuple(config.ways)
    print(f"{'':<20}{'Recall@10':>26}{'NDCG@10':>26}   NDCG@10 over {names[0]}", flush=True)
    for name in names:
        runs = []
        for seed in config.seeds:
            rank_E = rank(name, seed, dataset, split, event_E, config)
            scores = {"recall@10": recall_at(rank_E, 10), "ndcg@10": ndcg_at(rank_E, 10)}
            runs.append(Statistics.of_means(scores, user_E))
        scored[name] = mean_of_runs(runs)
        bounds = bootstrap(scored[name])
        gap = compare(scored[name], scored[names[0]])["ndcg@10"]
        shown = "".join(f"{b.value:>10.4f} ({b.low:.4f}-{b.high:.4f})" for b in bounds.values())
        value, low, high = gap.difference
        print(f"{name:<20}{shown}{value:>+10.4f} ({low:+.4f} to {high:+.4f})", flush=True)
        summary[name] = {key: bound._asdict() for key, bound in bounds.items()}
        summary[name] |= {"gap": gap.difference._asdict(), "p": gap.p_value}
        summary[name]["each"] = [run.values for run in runs]
    print(json.dumps(summary))


if __name__ == "__main__":
    options = sys.argv[1:]
    if not any(option.startswith("--config") for option in options):
        options = [f"--config={RECIPES / 'configs' / 'ablations_beauty.yaml'}", *options]
    run_recipe(main, Config, __doc__, options)
