"""Score a fine-tuned model beside baselines, at ease and under stress, and write a report.

    python recipes/evaluate.py --config recipes/configs/evaluate_toy.yaml
    python recipes/evaluate.py --config recipes/configs/evaluate_beauty.yaml --model null

All methods answer the same requests. In the toy shop, whose users are known, the best achievable
recommender stands beside them. With ``--answers`` a killed evaluation goes on where it stopped, and
several processes under ``accelerate launch --multi_gpu --num_processes 2`` share the work.
"""

import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genrec.artifacts import check_writable
from genrec.config import to_dict
from genrec.data import Dataset, Split, SplitConfig, load_dialogues
from genrec.eval import summarize, text_table, write_report
from genrec.eval.background import Background
from genrec.eval.contenders import (
    Contender,
    ContestConfig,
    baselines,
    known_optimum,
    outsiders,
    refuse_unanswered,
)
from genrec.eval.contests import Contest, contest
from genrec.eval.methods import check_methods
from genrec.eval.mixtures import check_hybrids, hybrids
from genrec.eval.processes import launched_processes
from genrec.eval.trackers import check_trackers, track
from genrec.recipe import run_recipe

MODEL, OPTIMUM = "genrec", "optimum"


@dataclass(frozen=True, kw_only=True)
class Config(ContestConfig):
    dataset: Path
    """The data set that recipes/prepare.py wrote."""

    out: Path
    """Where the report goes; one that stands there is replaced."""

    model: Path | None = None
    """The model directory that recipes/finetune.py wrote; without it only baselines are scored."""

    beams: int = 20
    """Fewest beams of the model's searches."""

    service: str | None = None
    """The address of a model that recipes/serve.py serves, to score as well."""

    baselines: tuple[str, ...] = ("popularity", "item_knn", "mean_rating")
    """What stands beside the model: names of genrec.eval.methods."""

    hybrids: tuple[str, ...] = ()
    """Methods that are also mixed, as much of each as validates best: names joined by ``+``, the
    model's being genrec, such as ``genrec+item_knn``."""

    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings of baselines, such as ``{item_knn: {window: 50}}``; left out, they choose them."""

    dialogues: Path | None = None
    """Held-out talks, as ``load_dialogues`` reads them, for the tasks converse and reply."""

    rankings: dict[str, Path] = field(default_factory=dict)
    """Rankings of other systems by name: tables with the columns user, item, score."""

    split: SplitConfig = field(default_factory=SplitConfig)
    """The split that the model was trained on; its test events are predicted."""

    features: bool = False
    """Encode what is written of the items, to tell how unlike those of a ranking are."""

    trackers: tuple[str, ...] = ()
    """Trackers that accelerate knows, such as tensorboard, to log all metrics to."""

    users_shown: int = 12
    """Users to show with their pictures."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_methods(self.baselines, self.settings)
        check_trackers(self.trackers)
        model = () if self.model is None else (MODEL,)
        check_hybrids(self.hybrids, (*model, *self.baselines))


def main(config: Config) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    check_writable(config.out, sign="results.json")
    start, processes = time.perf_counter(), launched_processes()
    dataset = Dataset.load(config.dataset)
    split = config.split.split(dataset.interactions)
    talks = load_dialogues(config.dialogues, dataset.catalogue, title=config.title)
    methods = dict(contenders(config, dataset, split))
    refuse_unanswered(methods, config)
    subject, found = next(iter(methods.values())), dict[str, Contest]()
    for name, method in methods.items():
        print(f"{name}{processes.told}", flush=True)
        found[name] = contest(
            name, method, dataset, split, config, dialogues=talks, ids=subject.ids,
            is_stressed=method is subject, processes=processes, progress=sys.stderr.isatty(),
        )  # fmt: skip
    if processes.rank > 0:
        return
    results = {name: one.results for name, one in found.items()}
    background = (Background.with_texts if config.features else Background.of)(dataset, split.train)
    page = write_report(
        config.out, results, dataset, summary=summarize(results, subject=MODEL),
        optimum=OPTIMUM if OPTIMUM in results else None, seeds={"seed": config.seed},
        config=to_dict(config), prompt_of=getattr(subject.recommender, "prompt_text", None),
        background=background, users_shown=config.users_shown,
        stressed={name: one.stressed for name, one in found.items()},
    )  # fmt: skip
    if config.trackers:
        track(results, config.trackers, config.out.with_name("tracked"), config=to_dict(config))
    print(*(f"\n{text_table(results, task)}" for task in config.tasks), sep="\n")
    print(f"\n{page} ({time.perf_counter() - start:.0f} s)")


def contenders(config: Config, dataset: Dataset, split: Split) -> Iterator[tuple[str, Contender]]:
    """Make the methods: the model, what runs elsewhere, baselines, the optimum where known."""
    methods: dict[str, Contender] = {}
    if config.model is not None:
        methods[MODEL] = load_model(config.model, dataset, beams=config.beams)
    methods |= outsiders(config.rankings, config.service, dataset.catalogue)
    methods |= baselines(config.baselines, config.settings, dataset, split, config)
    yield from methods.items()
    yield from hybrids(config.hybrids, methods, dataset, split, seed=config.seed)
    if (optimum := known_optimum(dataset)) is not None:
        yield OPTIMUM, optimum


def load_model(path: Path, dataset: Dataset, *, beams: int) -> Contender:
    from genrec.serving.restated import open_for_evaluation  # torch only where there is a model

    opened = open_for_evaluation(path, dataset, beams=beams)
    return Contender(**opened._asdict(), scale="log-probabilities")


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
