"""Put questions to a recommender: in parts, and where wanted across kills and processes."""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
from tqdm import tqdm

from genrec.eval.answer_log import AnswerLog, Line
from genrec.eval.kinds import Kind, ProtocolError
from genrec.eval.processes import Processes
from genrec.eval.questions import Asked, Question
from genrec.recommender import Recommender, Request

ALONE: Final = Processes()

Rewrite = Callable[[Question], Request]
"""Changes a request on its way to the recommender."""


@runtime_checkable
class Recorded(Protocol):
    """Answers that were given before, elsewhere; they go by the event, not by the request."""

    def recorded(self, asked: Asked, k: int) -> Iterator[Any]:
        """Yield the answer to every question, in their order."""
        ...


class Answered(NamedTuple):
    """A question, its answer, and its share of the time that its part took."""

    question: Question
    answer: Any
    seconds: float


class Asking(NamedTuple):
    """How questions are put."""

    batch_size: int = 256
    """Requests per call of the recommender."""

    progress: bool = False
    """Whether to show a bar."""

    rewrite: Rewrite | None = None
    """What is done to requests on their way."""

    log: AnswerLog | None = None
    """Where answers are kept as they come."""

    processes: Processes = ALONE
    """Who shares the work."""


def ask(
    recommender: Recommender | Recorded, asked: Asked, kind: Kind[Any], k: int, how: Asking
) -> Iterator[Answered]:
    """Yield the answers to all questions, in their order."""
    if isinstance(recommender, Recorded):
        for question, answer in zip(asked, recommender.recorded(asked, k), strict=True):
            yield Answered(question, answer, 0.0)
    elif how.log is None:
        if how.processes.size > 1:
            raise ValueError(
                f"{how.processes.size} processes share this evaluation through files; name a "
                "folder for the answers"
            )
        yield from _ask(recommender, asked, kind, how)
    else:
        _complete(recommender, asked, kind, how, how.log)
        found_E2 = how.log.index(asked.task, asked.event_E)
        lines = how.log.read(asked.task, found_E2)
        for question, line in zip(asked, lines, strict=True):
            yield Answered(question, kind.from_json(line.answer), line.seconds)


def _complete(
    recommender: Recommender, asked: Asked, kind: Kind[Any], how: Asking, log: AnswerLog
) -> None:
    """Ask for this process's share of the answers that are not on disk yet."""
    processes = how.processes
    missing = np.flatnonzero(log.index(asked.task, asked.event_E)[:, 0] < 0)
    processes.wait()  # all must see the same answers missing, so nobody writes before
    mine = asked.at(missing[processes.rank :: processes.size])
    with log.writer(asked.task, processes.rank) as writer:
        part: list[Line] = []
        for question, answer, seconds in _ask(recommender, mine, kind, how):
            part.append(Line(question.event, kind.to_json(answer), seconds))
            if len(part) == how.batch_size:
                writer.write(part)
                part = []
        writer.write(part)
    processes.wait()


def _ask(
    recommender: Recommender, asked: Asked, kind: Kind[Any], how: Asking
) -> Iterator[Answered]:
    if how.batch_size < 1:
        raise ValueError(f"batch_size is {how.batch_size}; ask at least 1 question at a time")
    unread = iter(asked)  # only a part of all histories is in memory
    bar = tqdm(total=len(asked), desc=asked.task, unit="event", disable=not how.progress)
    with bar:
        while batch := list(islice(unread, how.batch_size)):
            requests = [how.rewrite(one) if how.rewrite else one.request for one in batch]
            started = time.perf_counter()
            answers = kind.ask(recommender, requests)
            share = (time.perf_counter() - started) / len(batch)
            if len(answers) != len(batch):
                raise ProtocolError(
                    f"{len(batch)} requests got {len(answers)} answers; give one each"
                )
            for question, answer in zip(batch, answers, strict=True):
                yield Answered(question, answer, share)
            bar.update(len(batch))
