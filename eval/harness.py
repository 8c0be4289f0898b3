"""One protocol for all: ask a recommender about held-out events, and score what it answers.

Rankings are over the whole catalogue, never over sampled candidates, which order models differently
(https://doi.org/10.1145/3394486.3403226); the task ``direct`` alone is about candidates. A hit is
the very item, not one that shares its semantic ID.

Shape letters in this file: E events, K places of a ranking.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from tqdm import tqdm

from genrec.data import Dataset
from genrec.eval.intervals import Ints
from genrec.eval.questions import (
    RANKING_TASKS,
    RATING_TASKS,
    TEXT_TASKS,
    Bools,
    Question,
    Questions,
    refuse_leaks,
)
from genrec.eval.ranking import CUTOFFS, MISSED, ranking_statistics
from genrec.eval.ratings import parse_rating, rating_statistics
from genrec.eval.results import Chosen, Ranked, Rated, Results, TaskResults, Written
from genrec.eval.selections import selection_statistics
from genrec.eval.texts import text_statistics
from genrec.recommender import Ranking, Rater, Rating, Recommender, Request, Selector

Answer = TypeVar("Answer")


class ProtocolError(ValueError):
    """A recommender's answer breaks the protocol, so that it cannot be scored."""


class _Answered(NamedTuple, Generic[Answer]):
    """A question, its answer, and its share of the time that its batch took."""

    question: Question
    answer: Answer
    seconds: float


class _Judged(NamedTuple):
    """What is to be said about one ranking; the last five are counts."""

    rank: int
    named: int
    invalid: int
    duplicate: int
    short: int
    unreachable: int


def evaluate(
    recommender: Recommender,
    dataset: Dataset,
    events: Ints,
    *,
    tasks: Sequence[str] = ("recommend",),
    k: int = 10,
    batch_size: int = 256,
    train: Bools | None = None,
    exclude_history: bool = True,
    candidates: int = 10,
    progress: bool = False,
) -> Results:
    """Ask a recommender about held-out events and score its answers.

    The request for an event holds everything that the same user did before it. Items that are not
    in the catalogue, or that the request forbids, count as ``invalid``: they take a place and are
    no hit. A target that the user has met before cannot be named when the history is excluded: it
    counts as ``unreachable`` and as missed, and its user stays in the mean.

    Args:
        recommender: Anything that follows the protocol.
        dataset: The data that the events are of.
        events: Rows of the interactions to predict, such as ``split.test``.
        tasks: Some of ``questions.TASKS``; each is scored on the events that have what it needs.
        k: Length of the rankings to ask for.
        batch_size: Requests per call of the recommender, which may split them further.
        train: Which events the recommender learned from, to check that no target is among them.
        exclude_history: Whether requests exclude the items of their history, as is usual for
            Amazon's data, where nobody reviews an item twice.
        candidates: How many items ``direct`` and ``select`` choose among.
        progress: Whether to show a bar.

    Raises:
        LeakError: When a target stands in its own history or among the train events.
        TaskError: When the data cannot carry a task.
        ProtocolError: When the recommender breaks the protocol.
    """
    events = np.asarray(events, dtype=np.int64)
    refuse_leaks(dataset.interactions, events, train)
    results = {}
    for task in tasks:
        questions = Questions.about(
            dataset, events, task, exclude_history=exclude_history, candidates=candidates
        )
        batches = _batches(questions, batch_size, progress=progress)
        if task in RANKING_TASKS:
            results[task] = _rank(recommender, questions, batches, k)
        elif task in RATING_TASKS:
            results[task] = _rate(recommender, questions, batches)
        elif task in TEXT_TASKS:
            results[task] = _write(recommender, questions, batches)
        else:
            results[task] = _select(recommender, questions, batches)
    return Results(results)


def _rank(
    recommender: Recommender, questions: Questions, batches: Iterator[list[Question]], k: int
) -> TaskResults:
    def recommend(requests: Sequence[Request]) -> list[Ranking]:
        return recommender.recommend(requests, k)

    event_E, item_count = questions.event_E, len(questions.dataset.catalogue)
    target_E = np.zeros(len(questions), dtype=np.int64)
    items_EK = np.full((len(questions), k), -1, dtype=np.int64)
    judged, seconds = [], 0.0
    for e, (question, ranking, share) in enumerate(_ask(recommend, batches)):
        judged.append(_judge(ranking, question, item_count=item_count, k=k))
        target_E[e] = question.target
        items_EK[e, : len(ranking.items)] = ranking.items
        seconds += share
    judged_E = np.array(judged, dtype=np.int64).reshape(-1, len(_Judged._fields))
    rank_E = judged_E[:, 0]
    counts = dict(zip(_Judged._fields[1:], judged_E[:, 1:].sum(axis=0).tolist(), strict=True))
    cutoffs = sorted({k, *(cutoff for cutoff in CUTOFFS if cutoff <= k)})
    return TaskResults(
        task=questions.task,
        event_E=event_E,
        answers=Ranked(target_E=target_E, rank_E=rank_E, items_EK=items_EK),
        statistics=ranking_statistics(rank_E, questions.user_E, cutoffs=cutoffs),
        counts={"requests": len(event_E), **counts},
        seconds=seconds,
        candidates=questions.candidates,
    )


def _judge(ranking: Ranking, question: Question, *, item_count: int, k: int) -> _Judged:
    request, items = question.request, ranking.items.tolist()
    if len(items) > k:
        raise ProtocolError(
            f"the ranking for event {question.event} names {len(items)} items, but {k} were asked "
            "for; cut it off"
        )
    excluded = set(request.exclude)
    allowed = None if request.only is None else set(request.only) - excluded
    rank, invalid, seen = MISSED, 0, set()
    for place, item in enumerate(items):
        valid = 0 <= item < item_count and item not in excluded
        valid = valid and (allowed is None or item in allowed)
        invalid += not valid
        if valid and item == question.target and rank == MISSED:
            rank = place
        seen.add(item)
    possible = item_count - len(excluded) if allowed is None else len(allowed)
    return _Judged(
        rank=rank,
        named=len(items),
        invalid=invalid,
        duplicate=len(items) - len(seen),
        short=int(len(items) < min(k, possible)),
        unreachable=int(question.target in excluded),
    )


def _rate(
    recommender: Recommender, questions: Questions, batches: Iterator[list[Question]]
) -> TaskResults:
    def rate(requests: Sequence[Request]) -> list[Rating]:
        if isinstance(recommender, Rater):
            return recommender.rate(requests)
        numbers = map(parse_rating, recommender.generate(requests))
        return [Rating(expected=number, likeliest=number) for number in numbers]

    target_E, predicted_E, likeliest_E = np.zeros((3, len(questions)))
    seconds = 0.0
    for e, (question, answer, share) in enumerate(_ask(rate, batches)):
        target_E[e], predicted_E[e], likeliest_E[e] = question.rating, *answer
        seconds += share
    return TaskResults(
        task=questions.task,
        event_E=questions.event_E,
        answers=Rated(target_E=target_E, predicted_E=predicted_E, likeliest_E=likeliest_E),
        statistics=rating_statistics(
            predicted_E, target_E, questions.user_E, likeliest_E=likeliest_E
        ),
        counts={"requests": len(questions), "unparsable": int(np.isnan(predicted_E).sum())},
        seconds=seconds,
        candidates=questions.candidates,
    )


def _write(
    recommender: Recommender, questions: Questions, batches: Iterator[list[Question]]
) -> TaskResults:
    references, answers, seconds = [], [], 0.0
    for question, answer, share in _ask(recommender.generate, batches):
        references.append(question.text)
        answers.append(answer)
        seconds += share
    return TaskResults(
        task=questions.task,
        event_E=questions.event_E,
        answers=Written(references=tuple(references), answers=tuple(answers)),
        statistics=text_statistics(answers, references, questions.user_E),
        counts={
            "requests": len(questions),
            "empty": sum(not answer.strip() for answer in answers),
        },
        seconds=seconds,
        candidates=questions.candidates,
    )


def _select(
    recommender: Recommender, questions: Questions, batches: Iterator[list[Question]]
) -> TaskResults:
    if not isinstance(recommender, Selector):
        raise ProtocolError(
            f"{type(recommender).__name__} has no method 'select', so it cannot be asked to; "
            "leave the task out"
        )
    fitting, chosen, seconds, foreign = [], [], 0.0, 0
    for question, rows, share in _ask(recommender.select, batches):
        fitting.append(question.fitting)
        chosen.append(tuple(rows))
        foreign += len(set(rows) - set(question.request.candidates))
        seconds += share
    return TaskResults(
        task=questions.task,
        event_E=questions.event_E,
        answers=Chosen(fitting=tuple(fitting), chosen=tuple(chosen)),
        statistics=selection_statistics(chosen, fitting, questions.user_E),
        counts={
            "requests": len(questions),
            "named": sum(map(len, chosen)),
            "invalid": foreign,
            "empty": sum(not rows for rows in chosen),
        },
        seconds=seconds,
        candidates=questions.candidates,
    )


def _batches(questions: Questions, size: int, *, progress: bool) -> Iterator[list[Question]]:
    """Yield questions in parts, so that only a part of all histories is in memory."""
    if size < 1:
        raise ValueError(f"batch_size is {size}; ask at least 1 question at a time")
    unread = iter(questions)
    bar = tqdm(total=len(questions), desc=questions.task, unit="event", disable=not progress)
    with bar:
        while batch := list(islice(unread, size)):
            yield batch
            bar.update(len(batch))


def _ask(
    answer: Callable[[Sequence[Request]], list[Answer]], batches: Iterator[list[Question]]
) -> Iterator[_Answered[Answer]]:
    for batch in batches:
        started = time.perf_counter()
        answers = answer([question.request for question in batch])
        share = (time.perf_counter() - started) / len(batch)
        if len(answers) != len(batch):
            raise ProtocolError(f"{len(batch)} requests got {len(answers)} answers; give one each")
        for question, one in zip(batch, answers, strict=True):
            yield _Answered(question, one, share)
