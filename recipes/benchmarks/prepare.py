"""Measure how much memory and time it takes to prepare many interactions.

    python recipes/benchmarks/prepare.py --interactions 10000000

Writes a CSV file of random interactions, then, in a process of its own, loads it through the
tabular loader, filters it to its 5-core, saves it and loads it again. The last line is JSON.
"""

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from tqdm import trange

from genrec.data import Dataset, EventColumns, TabularConfig, k_core, load_tabular
from genrec.recipe import run_recipe

ROWS_AT_ONCE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Config:
    interactions: int = 10_000_000
    """Rows of the CSV file."""

    users: int = 1_000_000
    """Users; the first tenth has a third of all events, and so with the items."""

    items: int = 200_000
    """Items."""

    folder: Path | None = None
    """Where the files go for a while; the system's temporary folder when left out."""

    seed: int = 0
    """Seed of the random interactions."""


def write_interactions(path: Path, config: Config) -> None:
    """Write rows of raw ids as long as Amazon's, a rating and a time, in random order."""
    rng = np.random.default_rng(config.seed)
    with path.open("wb") as file:
        for start in trange(0, config.interactions, ROWS_AT_ONCE, desc="writing", disable=None):
            rows = min(ROWS_AT_ONCE, config.interactions - start)
            users, items = (
                np.floor(count * rng.random(rows) ** 2).astype(np.int64)
                for count in (config.users, config.items)
            )
            table = pl.DataFrame(
                {
                    "user": "A" + pl.Series(users).cast(pl.String).str.zfill(13),
                    "item": "B" + pl.Series(items).cast(pl.String).str.zfill(9),
                    "rating": rng.integers(1, 6, rows),
                    "time": rng.integers(1_300_000_000, 1_700_000_000, rows),
                }
            )
            table.write_csv(file, include_header=start == 0)


def prepare(csv: Path, out: Path) -> None:
    """Run every step on the file and print what each took; memory is the highest so far."""
    seconds: dict[str, float] = {}

    def lap(step: str, dataset: Dataset) -> None:
        seconds[step] = round(time.perf_counter() - start - sum(seconds.values()), 1)
        print(f"{step:<8}{seconds[step]:>7} s  {peak_gb():.2f} GB  {dataset.counts}", flush=True)

    start = time.perf_counter()
    columns = EventColumns(rating="rating")
    dataset = load_tabular(TabularConfig(interactions=csv, columns=columns), name="benchmark")
    lap("load", dataset)
    dataset = k_core(dataset, user_events=5, item_events=5)
    lap("k_core", dataset)
    dataset.save(out)
    lap("save", dataset)
    del dataset
    dataset = Dataset.load(out)
    lap("reload", dataset)
    result = {"csv_gb": round(csv.stat().st_size / 1e9, 3), "seconds": seconds}
    result |= {"total_seconds": round(sum(seconds.values()), 1), "peak_rss_gb": peak_gb()}
    print(json.dumps(result))


def peak_gb() -> float:
    """The highest resident memory of this process, in GB; Linux counts in KiB, macOS in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9, 3)


def main(config: Config) -> None:
    with tempfile.TemporaryDirectory(dir=config.folder) as folder:
        csv = Path(folder) / "interactions.csv"
        write_interactions(csv, config)
        process = multiprocessing.get_context("spawn").Process(
            target=prepare, args=(csv, Path(folder) / "data")
        )
        process.start()
        process.join()
    sys.exit(process.exitcode)


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
