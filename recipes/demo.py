"""Run the whole idea on the built-in toy shop, with the commands that serve any other data.

    python recipes/demo.py

Catalogue, semantic IDs, prompts, a fine-tuned model, constrained beams, honest evaluation and a
report to look at, in runs/demo. Started again, it goes on where it stopped.
"""

import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from genrec.recipe import run_recipe

RECIPES = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Config:
    run: Path = Path("runs/demo")
    """Folder of the run."""

    again: bool = False
    """Do every step again, also those whose results are there."""

    steps: int | None = None
    """Optimizer steps of the fine-tuning; by default what its config says."""


@dataclass(frozen=True, kw_only=True)
class Step:
    title: str
    result: Path
    command: tuple[str, ...]


def main(config: Config) -> None:
    run = config.run
    limit = () if config.steps is None else (f"--training.steps={config.steps}",)
    steps = [
        Step(
            title="A shop: items with pictures, users with planted tastes",
            result=run / "data",
            command=recipe("prepare", "prepare_toy", f"--out={run / 'data'}"),
        ),
        Step(
            title="Semantic IDs for its items",
            result=run / "tokenizer",
            command=recipe(
                "train_tokenizer", "tokenizer_toy", f"--dataset={run / 'data'}",
                f"--out={run / 'tokenizer'}",
            ),
        ),
        Step(
            title="A language model, fine-tuned to recommend, search, rate and explain",
            result=run / "model",
            command=launched(
                "finetune", "finetune_toy", f"--dataset={run / 'data'}",
                f"--tokenizer={run / 'tokenizer'}", f"--out={run / 'model'}",
                f"--work={run / 'training'}", *limit,
            ),
        ),
        Step(
            title="Honest scores, beside baselines and the best achievable",
            result=run / "report",
            command=recipe(
                "evaluate", "evaluate_toy", f"--dataset={run / 'data'}",
                f"--model={run / 'model'}", f"--out={run / 'report'}",
            ),
        ),
    ]  # fmt: skip
    began = time.monotonic()
    for number, step in enumerate(steps, start=1):
        print(f"\n[{number}/{len(steps)}] {step.title}", flush=True)
        if step.result.exists() and not config.again:
            print(f"  {step.result} is there already", flush=True)
            continue
        print(f"  $ {shlex.join(step.command)}\n", flush=True)
        done = subprocess.run(step.command, check=False, env=os.environ | {"PYTHONUNBUFFERED": "1"})
        if done.returncode != 0:
            sys.exit(f"demo: step {number} failed; the command above repeats it alone")
    print(f"\nDone in {time.monotonic() - began:.0f} s. Look at {run / 'report' / 'report.html'}")


def recipe(name: str, config: str, *options: str) -> tuple[str, ...]:
    """Write the command of a recipe that runs in one process."""
    yaml = RECIPES / "configs" / f"{config}.yaml"
    return (sys.executable, str(RECIPES / f"{name}.py"), f"--config={yaml}", *options)


def launched(name: str, config: str, *options: str) -> tuple[str, ...]:
    """Write the command of a recipe that accelerate launches."""
    accelerate = str(Path(sys.executable).with_name("accelerate"))
    launch = RECIPES / "accelerate" / "one_process.yaml"
    return (accelerate, "launch", f"--config_file={launch}", *recipe(name, config, *options)[1:])


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
