"""Measure the HTTP service under load: how many answers a second, how late, and what it survives.

    OMP_NUM_THREADS=1 python recipes/benchmarks/load.py
    OMP_NUM_THREADS=1 python recipes/benchmarks/load.py --quick true
    python recipes/benchmarks/load.py --model runs/demo/model --threads 2

Starts recipes/serve.py as a process of its own and asks it over loopback in a closed loop: each
caller waits for its answer before it asks again. First with few and many callers; then with more
than the service takes, which must be told so, and with few again; then long enough to see whether
memory grows; then while the catalogue changes, when no request may be lost and none answered by two
versions. Without a model one with random weights is made. The last line is JSON.
"""

import asyncio
import json
import random
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from genrec.config import to_dict
from genrec.recipe import run_recipe
from genrec.serving import load_renderer, save_bundle

if not __package__:  # run by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from recipes.benchmarks import serving
from recipes.benchmarks.callers import for_seconds, load
from recipes.benchmarks.serve_process import served
from recipes.benchmarks.survival import memory, overload, reload


@dataclass(frozen=True, kw_only=True)
class Config:
    model: Path | None = None
    """A model directory; one with random weights is made if left out."""

    items: int = 12_000
    """Items of the made model, with four codes of 256 each."""

    layers: int = 2
    """Layers of the made model."""

    width: int = 128
    """Its hidden size."""

    history: int = 20
    """Items of each user."""

    callers: tuple[int, ...] = (1, 8, 64)
    """How many ask at the same time."""

    seconds: float = 10.0
    """How long each number of callers asks."""

    waiting: int = 96
    """Questions that the service lets wait; twice as many callers overload it."""

    requests: int = 10_000
    """Requests over which memory must stay flat."""

    changes: int = 5
    """Changes of the catalogue under load."""

    threads: int = 1
    """Threads of the model."""

    quick: bool = False
    """A tenth of everything, for a look."""

    seed: int = 0
    """Decides weights and histories."""


async def measure(config: Config, model: Path, folder: Path) -> dict[str, Any]:
    names, draw = load_renderer(model).catalogue.item_ids, random.Random(config.seed)
    # Histories name only what no change takes away.
    kept = [name for number, name in enumerate(names) if number % 10 >= config.changes] or names

    def bodies() -> dict[str, Any]:
        return {"history": draw.choices(kept, k=config.history), "k": 10}

    found: dict[str, Any] = {"callers": {}}
    options = (f"--threads={config.threads}", f"--service.limits.waiting={config.waiting}")
    async with served(model, folder / "state", options) as port:
        await load(port, 8, bodies, goes_on=for_seconds(config.seconds / 5))  # to warm up
        print(f"{'callers':>8}  {'answers/s':>9}  {'p50 ms':>7}  {'p95 ms':>7}  {'p99 ms':>7}")
        for callers in config.callers:
            row = (await load(port, callers, bodies, goes_on=for_seconds(config.seconds))).row()
            found["callers"][str(callers)] = row
            rate, *late = row.values()
            told = "  ".join(f"{value:>7.1f}" for value in late)
            print(f"{callers:>8}  {rate:>9.1f}  {told}", flush=True)
        waiting, seconds = config.waiting, config.seconds
        found["overload"] = await overload(port, bodies, waiting=waiting, seconds=seconds)
        print("overload", found["overload"], flush=True)
        found["memory"] = await memory(port, bodies, waiting=waiting, requests=config.requests)
        print("memory", found["memory"], flush=True)
        found["reload"] = await reload(
            port, bodies, names, changes=config.changes, pause=seconds / 10
        )
        print("reload", found["reload"], flush=True)
    return found


def main(config: Config) -> None:
    if config.quick:
        config = replace(config, seconds=config.seconds / 10, requests=config.requests // 10)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if config.model is None:
            shape = serving.Config(
                items=config.items, layers=config.layers, width=config.width, seed=config.seed
            )
            made = serving.make_bundle(shape, np.random.default_rng(config.seed))
            save_bundle(folder / "model", *made)
        found = asyncio.run(measure(config, config.model or folder / "model", folder))
    print(json.dumps({"config": to_dict(config), **found}))


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
