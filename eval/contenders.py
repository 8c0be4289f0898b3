"""Methods side by side: each with all that an evaluation can do with it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genrec.data import Catalogue, Dataset, Dialogue, Split
from genrec.eval.asking import ALONE, Recorded
from genrec.eval.dialogues import evaluate_dialogues
from genrec.eval.efficiency import Efficiency, measure_efficiency
from genrec.eval.harness import evaluate
from genrec.eval.hybrid import Scale
from genrec.eval.intervals import Ints
from genrec.eval.item_questions import sample_items
from genrec.eval.methods import METHODS, make_method
from genrec.eval.processes import Processes
from genrec.eval.questions import Questions, sample_users
from genrec.eval.ranking_file import RankingFile
from genrec.eval.results import Results, TaskResults
from genrec.eval.service import HTTPRecommender
from genrec.eval.stress import Make, Stressed, check_stresses, put_under_stress
from genrec.eval.table import main_metric
from genrec.eval.tasks import DIALOGUE_TASKS, RANKING_TASKS, TASKS, Task, TaskError, check_tasks
from genrec.recommender import Recommender, Request
from genrec.semantic_ids import SemanticIds


@dataclass(frozen=True, kw_only=True)
class ContestConfig:
    """What all methods are asked."""

    tasks: tuple[Task, ...] = ("recommend",)
    """What is scored; every method does those that it can."""

    k: int = 10
    """Length of the rankings."""

    candidates: int = 10
    """How many items the tasks direct and select choose among."""

    items: int = 0
    """Tasks about items ask about so many, drawn by the seed; 0 takes all."""

    title: str = "title"
    """The attribute that names items, for tasks that do: the prompts.title of the model."""

    attributes: tuple[str, ...] = ()
    """What the task attribute asks for, such as the prompts.attributes of the model; empty takes
    all of the catalogue's."""

    users: int = 0
    """Predict the events of so many users, drawn by the seed; 0 takes all."""

    stresses: tuple[str, ...] = ()
    """What the first method is put under: names of genrec.eval.stress, ``missing attributes``."""

    stress_users: int = 500
    """Ask under stress about the events of so many users; 0 takes all."""

    timed: int = 50
    """Recommendations to time one by one; 0 for none."""

    bert_score: Path | None = None
    """An encoder to score texts by BERTScore."""

    answers: Path | None = None
    """A folder in which answers are kept as they come: a killed evaluation goes on from there."""

    seed: int = 0
    """Decides who is asked about, and what stress spoils."""

    def __post_init__(self) -> None:
        check_tasks(self.tasks)
        check_stresses(self.stresses)


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One method of an evaluation."""

    recommender: Recommender | Recorded
    """What answers."""

    tasks: tuple[str, ...] = TASKS
    """The tasks that it answers."""

    scale: Scale = "scores"
    """What the numbers of its rankings are, for mixtures."""

    make: Make | None = None
    """Makes it for another setting, to put it under stress. By default it is the same in every
    setting, as is right for what reads neither items nor prompts."""

    ids: SemanticIds | None = None
    """The semantic IDs that it names items by, where it does. Where they are the first method's,
    all methods are scored by hits of IDs too."""

    prompt_tokens: Callable[[Request], int] | None = None
    """Counts the tokens of a request's prompt, for a language model."""

    weights: tuple[int | None, int | None] = (None, None)
    """How many weights it has, and how many of them were trained; ``None`` for unknown."""

    identity: Mapping[str, Any] = field(default_factory=dict)
    """What tells it from another one of the same name, so that kept answers are not mistaken."""


class Contest(NamedTuple):
    """How one method did, at ease and under stress."""

    results: Results
    stressed: Sequence[Stressed]


def contest(
    name: str,
    contender: Contender,
    dataset: Dataset,
    split: Split,
    config: ContestConfig,
    *,
    dialogues: Sequence[Dialogue] = (),
    ids: SemanticIds | None = None,
    is_stressed: bool = False,
    processes: Processes = ALONE,
    progress: bool = False,
) -> Contest:
    """Evaluate a method at the tasks that it answers, by the clock, and under stress.

    Args:
        name: Its name, which its folder of kept answers has too.
        contender: The method.
        dataset: The data.
        split: What it learned from; the test events are predicted.
        config: What is asked.
        dialogues: Held-out talks, for tasks about them.
        ids: Semantic IDs to score hits of beside hits of items.
        is_stressed: Whether it is put under stress.
        processes: Who shares the work.
        progress: Whether to show bars.
    """
    events = sample_users(dataset.interactions, split.test, config.users, seed=config.seed)
    home = None if config.answers is None else config.answers / name
    recommender, options = contender.recommender, _options(contender, split, config)
    options |= {"ids": ids, "processes": processes, "progress": progress}
    tasks = [task for task in config.tasks if task in contender.tasks]
    results = evaluate(
        recommender, dataset, events, answers=home and home / "at-ease",
        tasks=[task for task in tasks if task not in DIALOGUE_TASKS],
        items=sample_items(dataset.catalogue, config.items, seed=config.seed), **options,
    )  # fmt: skip
    if talking := [task for task in tasks if task in DIALOGUE_TASKS]:
        talked = evaluate_dialogues(
            recommender, dialogues, dataset.catalogue, tasks=talking, k=config.k, ids=ids,
            answers=home and home / "dialogues", processes=processes, progress=progress,
            about=contender.identity, text_scorers=options["text_scorers"],
        )  # fmt: skip
        results = Results({**results.tasks, **talked.tasks})
    if isinstance(recommender, Recorded):  # it can be asked nothing else
        return Contest(results, ())
    if config.timed:
        results = Results(results.tasks, _time(contender, recommender, results, config))
    stressed: list[Stressed] = []
    if is_stressed and config.stresses:
        few = sample_users(dataset.interactions, events, config.stress_users, seed=config.seed)
        stressed += put_under_stress(
            contender.make or (lambda setting: recommender), dataset, _about(results, few),
            metric_of=_main, stresses=config.stresses, seed=config.seed, answers=home, **options,
        )  # fmt: skip
    return Contest(results, stressed)


def baselines(
    names: Sequence[str],
    settings: Mapping[str, Mapping[str, Any]],
    dataset: Dataset,
    split: Split,
    config: ContestConfig,
) -> Iterator[tuple[str, Contender]]:
    """Make those of some methods of ``METHODS`` that answer a task of the contest."""
    for name in names:
        if set(METHODS[name].tasks) & set(config.tasks):
            made = make_method(name, dataset, split, settings=settings.get(name), seed=config.seed)
            identity = {"method": name, "settings": dict(settings.get(name, {}))}
            yield name, Contender(
                recommender=made, tasks=METHODS[name].tasks, scale=METHODS[name].scale,
                identity=identity,
            )  # fmt: skip


def outsiders(
    rankings: Mapping[str, Path], service: str | None, catalogue: Catalogue
) -> Iterator[tuple[str, Contender]]:
    """Let in what runs elsewhere.

    Args:
        rankings: Ranking files of other systems, by name.
        service: The address of a served model.
        catalogue: The items.
    """
    for name, path in rankings.items():
        yield name, Contender(recommender=RankingFile(path, catalogue), tasks=("recommend",))
    if service is not None:
        client = HTTPRecommender(service, catalogue)
        yield "service", Contender(recommender=client, tasks=client.tasks)


def refuse_unanswered(methods: Mapping[str, Contender], config: ContestConfig) -> None:
    """Refuse tasks that no method answers, before any is asked.

    Raises:
        TaskError: At the first such task.
    """
    for task in config.tasks:
        if not any(task in method.tasks for method in methods.values()):
            raise TaskError(
                f"nothing here answers {task!r}, neither a model nor a baseline; leave the task "
                "out, or name a model that learned it"
            )


def known_optimum(dataset: Dataset) -> Contender | None:
    """Open the toy shop that data are of again; other data have no known optimum."""
    if "toy_shop" not in dataset.info.get("source", ""):
        return None
    from genrec.data.toy_shop import ToyShopConfig, toy_shop

    shop = toy_shop(ToyShopConfig(**dataset.info["config"]), seed=dataset.info["seed"])
    if shop.dataset != dataset:
        return None
    return Contender(recommender=shop.optimum, tasks=getattr(shop.optimum, "tasks", TASKS))


def _options(contender: Contender, split: Split, config: ContestConfig) -> dict[str, Any]:
    """Tell ``evaluate`` how to ask and to score."""
    scorers = []
    if config.bert_score is not None:
        from genrec.eval.bert_score import BertScore

        scorers.append(BertScore(config.bert_score))
    return {
        "k": config.k, "candidates": config.candidates, "train": split.train,
        "title": config.title, "attributes": config.attributes,
        "about": contender.identity, "text_scorers": scorers,
    }  # fmt: skip


def _time(
    contender: Contender, recommender: Recommender, results: Results, config: ContestConfig
) -> Efficiency | None:
    """Time rankings of the first task that has some; ``None`` for a method that ranks nothing."""
    ranked = [result for task, result in results.tasks.items() if task in RANKING_TASKS]
    if not ranked:
        return None
    requests = [one.request for one in islice(ranked[0].questions, config.timed)]
    weights, trained = contender.weights
    return measure_efficiency(
        recommender, requests, config.k, prompt_tokens=contender.prompt_tokens, parameters=weights,
        trained_parameters=trained,
    )  # fmt: skip


def _about(results: Results, events: Ints) -> Results:
    """Keep the answers about some events; tasks about anything else are left out."""
    kept = {
        task: result.where(np.isin(result.event_E, events))
        for task, result in results.tasks.items()
        if isinstance(result.questions, Questions)
    }
    return Results(kept)


def _main(result: TaskResults) -> str:
    return main_metric(result.task, result.statistics.names)
