"""A method of an evaluation at work: at ease, by the clock and under stress."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from genrec.data import Dataset, Dialogue, Split
from genrec.eval.asking import ALONE, Recorded
from genrec.eval.contenders import Contender, ContestConfig
from genrec.eval.dialogues import evaluate_dialogues
from genrec.eval.efficiency import Efficiency, measure_efficiency
from genrec.eval.harness import evaluate
from genrec.eval.intervals import Ints
from genrec.eval.item_questions import sample_items
from genrec.eval.processes import Processes
from genrec.eval.questions import Unit, sample_users
from genrec.eval.results import Results, TaskResults
from genrec.eval.table import main_metric
from genrec.eval.tasks import DIALOGUE_TASKS, RANKING_TASKS
from genrec.eval.texts import TextScorer
from genrec.eval.under_stress import Spared, Stressed, put_under_stress
from genrec.recommender import Recommender
from genrec.semantic_ids import SemanticIds


class Contest(NamedTuple):
    """How one method did, at ease and under stress."""

    results: Results
    stressed: Sequence[Stressed | Spared]


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
    recommender = contender.recommender
    options: dict[str, Any] = {
        "k": config.k, "ids": ids, "text_scorers": _text_scorers(config),
        "about": contender.identity, "processes": processes, "progress": progress,
    }  # fmt: skip
    tasks = [task for task in config.tasks if task in contender.tasks]
    results = evaluate(
        recommender, dataset, events, answers=home and home / "at-ease",
        tasks=[task for task in tasks if task not in DIALOGUE_TASKS],
        candidates=config.candidates, train=split.train, title=config.title,
        attributes=config.attributes, **options,
        items=sample_items(dataset.catalogue, config.items, seed=config.seed),
    )  # fmt: skip
    if talking := [task for task in tasks if task in DIALOGUE_TASKS]:
        talked = evaluate_dialogues(
            recommender, dialogues, dataset.catalogue, tasks=talking,
            answers=home and home / "dialogues", **options,
        )  # fmt: skip
        results = Results({**results.tasks, **talked.tasks})
    if isinstance(recommender, Recorded):  # it can be asked nothing else
        return Contest(results, ())
    if config.timed:
        results = Results(results.tasks, _time(contender, recommender, results, config))
    stressed: list[Stressed | Spared] = []
    if is_stressed and config.stresses:
        stressed += put_under_stress(
            contender.make or (lambda setting: recommender), dataset, _some(results, config),
            metric_of=_main, stresses=config.stresses, seed=config.seed, answers=home, **options,
        )  # fmt: skip
    return Contest(results, stressed)


def _text_scorers(config: ContestConfig) -> list[TextScorer]:
    if config.bert_score is None:
        return []
    from genrec.eval.bert_score import BertScore

    return [BertScore(config.bert_score)]


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


def _some(results: Results, config: ContestConfig) -> Results:
    """Keep the answers about some users, items and dialogues, drawn by the seed.

    Tasks of one unit are asked about the same ones as far as they can be.
    """
    user_E: dict[Unit, Ints] = {}
    for result in results.tasks.values():
        known_E = user_E.get(result.questions.unit, np.zeros(0, dtype=np.int64))
        user_E[result.questions.unit] = np.union1d(known_E, result.questions.user_E)
    drawn, count = user_E.copy(), config.stress_users
    for unit, known_E in user_E.items():
        if 0 < count < len(known_E):
            draw = np.random.default_rng(config.seed)
            drawn[unit] = draw.choice(known_E, size=count, replace=False)
    return Results(
        {
            task: result.where(np.isin(result.questions.user_E, drawn[result.questions.unit]))
            for task, result in results.tasks.items()
        }
    )


def _main(result: TaskResults) -> str:
    return main_metric(result.task, result.statistics.names)
