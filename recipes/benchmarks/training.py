"""Measure genrec's training against transformers' Trainer, and its loss against the plain one.

    OMP_NUM_THREADS=1 python recipes/benchmarks/training.py
    OMP_NUM_THREADS=1 python recipes/benchmarks/training.py --layers 8 --width 512 --precision bf16

Both train the same model on the same rows of the toy shop, in turns, each time in a process of its
own. Memory is what training takes beyond model and data. The losses are those of loss.py. On a GPU
follows training_gpu.py: the model FLOP utilisation of a decoder of 0.6 billion weights, and what
pictures cost a step. The last line is JSON.
"""

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

from genrec.config import to_dict
from genrec.recipe import run_recipe

if not __package__:  # run by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from recipes.benchmarks.trainers import Config, Measured, run_genrec, run_trainer


def alone(function: Callable[..., Any], *args: Any) -> Any:
    """Run a function in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def beside(script: str, *options: str) -> dict[str, Any]:
    """Run a benchmark that lies beside this one; return what it found."""
    command = [sys.executable, str(Path(__file__).with_name(script)), *options]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def best(runs: list[Measured]) -> Measured:
    return Measured(*(min(column) for column in zip(*runs, strict=True)))


def ratio(losses: dict[str, dict[str, Any]], way: str, what: str) -> float:
    return float(round(losses[way][what] / losses["plain"][what], 3))


def main(config: Config) -> None:
    pairs = [(alone(run_genrec, config), alone(run_trainer, config)) for _ in range(config.runs)]
    ours, theirs = (best(list(runs)) for runs in zip(*pairs, strict=True))
    ways = ("plain", "chunked", "recomputed")
    losses = {way: beside("loss.py", f"--way={way}", *config.loss) for way in ways}
    tokens = config.rows * config.row_tokens
    for name, run in {"genrec": ours, "Trainer": theirs}.items():
        print(f"{name:<12}{tokens / run.seconds:>9.0f} tokens/s{run.megabytes:>8.0f} MB")
    for way, found in losses.items():
        print(f"{way:<12}{found['seconds']:>9.2f} s       {found['megabytes']:>8.0f} MB")
    has_gpu = torch.cuda.is_available()
    result = {
        "tokens_per_second": round(tokens / ours.seconds),
        "tokens_per_second_ratio_vs_trainer": round(theirs.seconds / ours.seconds, 3),
        "processor_time_ratio_vs_trainer": round(
            ours.processor_seconds / theirs.processor_seconds, 3
        ),
        "peak_memory_ratio_vs_trainer": round(ours.megabytes / theirs.megabytes, 3),
        "loss_peak_memory_ratio": ratio(losses, "chunked", "megabytes"),
        "loss_time_ratio": ratio(losses, "chunked", "seconds"),
        "loss_peak_memory_ratio_recomputed": ratio(losses, "recomputed", "megabytes"),
        "loss_time_ratio_recomputed": ratio(losses, "recomputed", "seconds"),
        "gpu": beside("training_gpu.py") if has_gpu else "skipped: there is no GPU",
        "threads": torch.get_num_threads(),
        "config": to_dict(config),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
