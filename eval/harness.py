"""One protocol for all: ask a recommender about held-out events or about items, and score answers.

Rankings are over the whole catalogue, never over sampled candidates, which order models differently
(https://doi.org/10.1145/3394486.3403226); the task ``direct`` alone is about candidates. A hit is
the very item; one that shares its semantic ID counts in the ``id-`` metrics alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genrec.data import Dataset
from genrec.eval.answer_log import AnswerLog
from genrec.eval.asking import ALONE, Asking, Recorded, Rewrite, ask
from genrec.eval.intervals import Ints
from genrec.eval.item_questions import ItemQuestions
from genrec.eval.kinds import Kind, kind_of
from genrec.eval.leaks import refuse_leaks
from genrec.eval.processes import Processes
from genrec.eval.questions import Asked, Bools, Questions
from genrec.eval.results import Results, TaskResults
from genrec.eval.tasks import ITEM_TASKS
from genrec.eval.texts import TextScorer
from genrec.recommender import Recommender
from genrec.semantic_ids import SemanticIds


def evaluate(
    recommender: Recommender | Recorded,
    dataset: Dataset,
    events: Ints,
    *,
    tasks: Sequence[str] = ("recommend",),
    k: int = 10,
    batch_size: int = 256,
    train: Bools | None = None,
    exclude_history: bool = True,
    candidates: int = 10,
    items: Ints | None = None,
    title: str = "title",
    attributes: Sequence[str] = (),
    ids: SemanticIds | None = None,
    text_scorers: Sequence[TextScorer] = (),
    rewrite: Rewrite | None = None,
    answers: Path | str | None = None,
    about: Mapping[str, Any] | None = None,
    processes: Processes = ALONE,
    progress: bool = False,
) -> Results:
    """Ask a recommender about held-out events, or about items, and score its answers.

    The request for an event holds everything that the same user did before it. Items that are not
    in the catalogue, or that the request forbids, count as ``invalid``: they take a place and are
    no hit. A target that the user has met before cannot be named when the history is excluded: it
    counts as ``unreachable`` and as missed, and its user stays in the mean.

    Args:
        recommender: Anything that follows the protocol, or answers that were given before.
        dataset: The data that the events are of.
        events: Rows of the interactions to predict, such as ``split.test``.
        tasks: Some of ``tasks.TASKS``; each is scored on the events, or on the items where it is
            about items, that have what it needs. Those about dialogues are for
            :func:`~genrec.eval.evaluate_dialogues`.
        k: Length of the rankings to ask for.
        batch_size: Requests per call of the recommender, which may split them further.
        train: Which events the recommender learned from, to check that no target is among them.
        exclude_history: Whether requests exclude the items of their history, as is usual for
            Amazon's data, where nobody reviews an item twice.
        candidates: How many items ``direct`` and ``select`` choose among.
        items: Rows of the items that tasks about items ask about; all when left out.
        title: The attribute that names items, for tasks that do.
        attributes: What ``attribute`` asks for; all that the catalogue has when left out. A model
            whose prompts tell some of them (``prompts.attributes``) can be asked for no other.
        ids: The items' semantic IDs, to score hits of IDs beside hits of items.
        text_scorers: Further scores of texts, such as :class:`~genrec.eval.bert_score.BertScore`.
        rewrite: Changes requests on their way to the recommender; see ``stress``.
        answers: A folder in which answers are kept as they come. An evaluation that was killed
            goes on from there; a finished one is scored again without asking.
        about: What else kept answers depend on, such as which model gives them; answers that depend
            on something else are refused.
        processes: Who shares the work; all get the same results. Several need ``answers``.
        progress: Whether to show a bar.

    Raises:
        LeakError: When a target stands in its own history or among the train events.
        TaskError: When the data cannot carry a task.
        ProtocolError: When the recommender breaks the protocol.
        ArtifactError: When the folder holds answers that do not fit.
    """
    events = np.asarray(events, dtype=np.int64)
    refuse_leaks(dataset.interactions, events, train)
    log = None
    if answers is not None:
        settings = {
            "k": k, "exclude_history": exclude_history, "candidates": candidates, "title": title,
            "attributes": list(attributes),
        }  # fmt: skip
        log = AnswerLog(answers, {"dataset": dataset.fingerprint, **settings, **(about or {})})
    how = Asking(batch_size, progress, rewrite, log, processes)
    results = {}
    for task in tasks:
        asked: Asked
        if task in ITEM_TASKS:
            asked = ItemQuestions.about(dataset, task, items, title=title, attributes=attributes)
        else:
            asked = Questions.about(
                dataset, events, task, exclude_history=exclude_history, candidates=candidates,
                title=title,
            )  # fmt: skip
        kind = kind_of(task, k=k, ids=ids, text_scorers=text_scorers)
        results[task] = score(recommender, asked, kind, k=k, how=how)
    return Results(results)


def score(
    recommender: Recommender | Recorded, asked: Asked, kind: Kind[Any], *, k: int, how: Asking
) -> TaskResults:
    """Ask the questions of one task and score the answers as they come."""
    seconds = 0.0

    def timed() -> Any:
        nonlocal seconds
        for question, answer, share in ask(recommender, asked, kind, k, how):
            seconds += share
            yield question, answer

    answers, statistics, counts, figures = kind.score(asked, timed())
    return TaskResults(
        questions=asked,
        answers=answers,
        statistics=statistics,
        counts=counts,
        figures=figures,
        seconds=seconds,
    )
