"""Give every row of a table of results several seeds: train and score all of it once for each.

    OMP_NUM_THREADS=1 python recipes/benchmarks/seeds.py
    OMP_NUM_THREADS=1 python recipes/benchmarks/seeds.py --config recipes/configs/seeds_toys.yaml
    python recipes/benchmarks/seeds.py --seeds '[0,1]' --methods '[genrec, item_knn]'

A seed is a chain of recipes, tokenizer, SASRec, model, evaluation, with the configs that
recipes/configs/seeds_beauty.yaml names. Metrics are averaged over seeds user by user; intervals are
over users, and the first method is compared with each other one. What was made is kept; a run that
was killed goes on where it was. The last line is JSON.
"""

import json
import logging
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genrec.config import read_yaml, to_dict
from genrec.data import Dataset
from genrec.eval import bootstrap, compare, read_report
from genrec.eval.intervals import Comparison, Statistics, holm
from genrec.eval.seeds import mean_of_runs
from genrec.recipe import run_recipe
from genrec.training import claim_run_folder

RECIPES = Path(__file__).resolve().parents[1]
CHAIN = {
    "tokenizer": "train_tokenizer", "sasrec": "train_sasrec", "model": "finetune",
    "report": "evaluate",
}  # fmt: skip
METRICS = ("recall@10", "ndcg@10")


@dataclass(frozen=True, kw_only=True)
class Config:
    dataset: Path
    """The data set that recipes/prepare.py wrote."""

    out: Path
    """Where the runs are kept, one folder for each seed."""

    configs: dict[str, str]
    """The configs of tokenizer, sasrec, model and report: names among recipes/configs, or paths,
    without .yaml."""

    methods: tuple[str, ...]
    """The methods of the reports to tell about; the first is compared with the others."""

    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """More options of each recipe."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Each decides tokenizer, SASRec and model. Who is asked about is the same for all."""

    def __post_init__(self) -> None:
        if {*self.configs} != {*CHAIN}:
            raise ValueError(f"configs names {', '.join(self.configs)}; name {', '.join(CHAIN)}")
        if unknown := {*self.options} - {*CHAIN}:
            raise ValueError(f"options are for {', '.join(CHAIN)}, not for {sorted(unknown)}")
        if len({*self.methods}) < max(1, len(self.methods)) or not self.seeds:
            raise ValueError("name at least one seed, and every method once")


def make(seed: int, config: Config) -> Path:
    """Run the recipes for one seed, as anybody would; return the folder of the report."""
    folder = config.out / str(seed)
    claim_run_folder(folder, {
        "dataset": str(config.dataset), "seed": seed, "configs": config.configs,
        "options": to_dict(config)["options"],
    })  # fmt: skip
    yamls = {part: RECIPES / "configs" / f"{name}.yaml" for part, name in config.configs.items()}
    settings = read_yaml(yamls["report"]).get("settings", {})
    settings["sasrec"] = {"path": str(folder / "sasrec")}
    own = {
        "tokenizer": (f"--seed={seed}", "--page=false"),
        "sasrec": (f"--seed={seed}",),
        "model": (
            f"--seed={seed}", f"--tokenizer={folder / 'tokenizer'}",
            f"--work={folder / 'training'}", "--training.threads=1",
        ),
        "report": (f"--model={folder / 'model'}", f"--settings={json.dumps(settings)}"),
    }  # fmt: skip
    for part, recipe in CHAIN.items():
        if not (folder / part).exists():
            command = [sys.executable, str(RECIPES / f"{recipe}.py"), f"--config={yamls[part]}"]
            command += [f"--dataset={config.dataset}", f"--out={folder / part}", *own[part]]
            subprocess.run([*command, *config.options.get(part, ())], check=True)
    return folder / "report"


def read(folder: Path, dataset: Dataset, methods: tuple[str, ...]) -> dict[str, Statistics]:
    """Score what a report kept of every method."""
    results = read_report(folder, dataset, methods=methods)
    return {name: one["recommend"].statistics.only(*METRICS) for name, one in results.items()}


def main(config: Config) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    dataset = Dataset.load(config.dataset)
    runs = [read(make(seed, config), dataset, config.methods) for seed in config.seeds]
    scored = {name: mean_of_runs([run[name] for run in runs]) for name in config.methods}
    first, *others = scored
    gaps = {name: compare(scored[first], scored[name]) for name in others}
    told = holm([gaps[name][metric].p_value for name in others for metric in METRICS])
    sure = iter(told)
    summary: dict[str, Any] = {"config": to_dict(config), "users": len(scored[first].user_E)}
    wide = max(map(len, scored)) + 2
    heads = "".join(f"{metric:>27}{'seeds':>16}" for metric in METRICS)
    print(f"{'':<{wide}}{heads}   {first} is ahead by", flush=True)
    for name, statistics in scored.items():
        bounds, line, row = bootstrap(statistics), "", dict[str, Any]()
        for metric in METRICS:
            each = [run[name].values[metric] for run in runs]
            value, low, high = bounds[metric]
            line += f"{value:>10.4f} ({low:.4f}-{high:.4f})   {min(each):.4f}-{max(each):.4f}"
            row[metric] = {**bounds[metric]._asdict(), "seeds": each}
        if name in gaps:
            adjusted = {metric: next(sure) for metric in METRICS}
            line += "".join(f"   {_told(gaps[name][m], adjusted[m])}" for m in METRICS)
            row["gaps"] = {m: gaps[name][m].difference._asdict() for m in METRICS}
            row["p_adjusted"] = adjusted
        print(f"{name:<{wide}}{line}", flush=True)
        summary[name] = row
    print(json.dumps(summary))


def _told(gap: Comparison, p_adjusted: float) -> str:
    value, low, high = gap.difference
    return f"{value:+.4f} ({low:+.4f} to {high:+.4f}, p {p_adjusted:.4f})"


if __name__ == "__main__":
    options = sys.argv[1:]
    if not any(option.startswith("--config") for option in options):
        options = [f"--config={RECIPES / 'configs' / 'seeds_beauty.yaml'}", *options]
    run_recipe(main, Config, __doc__, options)
