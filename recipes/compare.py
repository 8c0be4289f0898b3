"""Compare reports of the same data: which run is better, by how much, and for whom.

    python recipes/compare.py runs/a/report runs/b/report
    python recipes/compare.py runs/a0/report,runs/a1/report runs/b0/report,runs/b1/report
    python recipes/compare.py runs/a/report --methods '[genrec, sasrec, item_knn]'

The first run is compared with each other one, user by user; of one report, its methods are. Runs
that differ by their seed alone are joined by commas: their metrics are averaged, and the table
tells how far seeds lie apart.
"""

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from genrec.artifacts import check_writable, read_json
from genrec.data import Dataset, SplitConfig
from genrec.eval import Results, compare, text_table, write_report
from genrec.eval.background import Background
from genrec.eval.intervals import Comparison
from genrec.eval.reported import read_report
from genrec.eval.seeds import across_seeds, mean_of_runs
from genrec.eval.table import layout, main_metric, number
from genrec.recipe import run_recipe


@dataclass(frozen=True, kw_only=True)
class Config:
    runs: tuple[str, ...]
    """The directories of the reports; those of several seeds of one run are joined by commas."""

    out: Path | None = None
    """Where a report of the comparison goes; without it only tables are printed."""

    dataset: Path | None = None
    """The data set; by default the one that the first report was made of."""

    methods: tuple[str, ...] = ()
    """The method to take of each run, by default the subject of its report; of a single run, the
    methods to compare."""

    users_shown: int = 12
    """Users to show with their pictures."""

    def __post_init__(self) -> None:
        if len(self.runs) < 2 and len(self.methods) < 2:
            raise ValueError(
                "name at least two runs, as in compare.py runs/a/report runs/b/report, or two "
                "methods of one"
            )
        if len(set(self.runs)) < len(self.runs):
            raise ValueError("a run is named twice; name each of them once")
        if len(self.runs) == 1 and len(set(self.methods)) < len(self.methods):
            raise ValueError("a method is named twice; name each of them once")
        if self.methods and 1 < len(self.runs) != len(self.methods):
            raise ValueError(f"name one method for each of the {len(self.runs)} runs, or none")


def main(config: Config) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if config.out is not None:
        check_writable(config.out, sign="results.json")
    first = read_json(Path(config.runs[0].split(",")[0]) / "results.json")
    dataset = Dataset.load(config.dataset or first["config"]["dataset"])
    runs = {
        name: [_read(Path(path), dataset, method) for path in run.split(",")]
        for name, (run, method) in _compared(config).items()
    }
    shown = {name: seeds[0] for name, seeds in runs.items()}
    summary: dict[str, object] = {}
    for task in next(iter(shown.values())).tasks:
        able = {name: seeds for name, seeds in runs.items() if task in seeds[0].tasks}
        print(f"\n{text_table(shown, task)}\n\n{_verdicts(task, able, summary)}", flush=True)
    if config.out is not None:
        split = SplitConfig(**first["config"].get("split", {})).split(dataset.interactions)
        page = write_report(
            config.out, shown, dataset, summary=summary, config={"runs": list(config.runs)},
            background=Background.of(dataset, split.train), users_shown=config.users_shown,
        )  # fmt: skip
        print(f"\n{page}")


def _verdicts(task: str, runs: Mapping[str, Sequence[Results]], summary: dict[str, object]) -> str:
    """Lay out the main metric of each run, over its seeds, and what the first one is."""
    (_, first), *_ = runs.items()
    metric = main_metric(task, first[0][task].statistics.names)
    own = mean_of_runs([seed[task].statistics for seed in first])
    rows = [
        [f"{task}: {metric}", "mean", "between seeds", "difference", "p, corrected", "first is"]
    ]
    for name, seeds in runs.items():
        values = [seed[task].statistics.values[metric] for seed in seeds]
        mean = number(sum(values) / len(values), task)
        apart = "-"
        if len(values) > 1:
            apart = f"+-{number(across_seeds(values).interval.half_width, task)} ({len(values)})"
        if seeds is first:
            rows.append([name, mean, apart, "", "", ""])
            continue
        pair = compare(own, mean_of_runs([seed[task].statistics for seed in seeds]))[metric]
        summary[f"{task}: {metric} against {name}"] = pair.verdict
        rows.append([name, mean, apart, *_told(pair, task)])
    return layout(rows)


def _told(pair: Comparison, task: str) -> tuple[str, str, str]:
    low, high = number(pair.difference.low, task), number(pair.difference.high, task)
    gap = f"{number(pair.difference.value, task)} [{low}, {high}]"
    return gap, f"{pair.p_adjusted:.4f}", pair.verdict


def _read(path: Path, dataset: Dataset, method: str | None) -> Results:
    return next(iter(read_report(path, dataset, methods=(method,) if method else ()).values()))


def _compared(config: Config) -> dict[str, tuple[str, str | None]]:
    """Tell which method of which run each name stands for."""
    if len(config.runs) == 1:
        return {method: (config.runs[0], method) for method in config.methods}
    methods = config.methods or (None,) * len(config.runs)
    return dict(zip(_names(config.runs), zip(config.runs, methods, strict=True), strict=True))


def _names(runs: Sequence[str]) -> list[str]:
    """Name runs after their directories, of several seeds the first one's; by paths where equal."""
    paths = [Path(run.split(",")[0]) for run in runs]
    names = [path.parent.name if path.name == "report" else path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


if __name__ == "__main__":
    named = list(takewhile(lambda arg: not arg.startswith("-"), sys.argv[1:]))
    args = [f"--runs={json.dumps(named)}"] if named else []
    run_recipe(main, Config, __doc__, [*args, *sys.argv[1 + len(named) :]])
