"""What an evaluation found: the answers event by event, the metrics, and how sure they are.

Shape letters in this file: E events, K places of a ranking.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from genrec.eval.efficiency import Efficiency
from genrec.eval.intervals import Floats, Interval, Ints, Statistics, bootstrap
from genrec.eval.questions import Asked, Bools


@dataclass(frozen=True, eq=False)
class Ranked:
    """Answers to ``recommend``, ``search`` or ``direct``."""

    target_E: Ints
    """The right items."""

    rank_E: Ints
    """Where they stand, from 0; ``ranking.MISSED`` where they do not."""

    items_EK: Ints
    """The items named, best first; -1 behind the end of a ranking."""

    def at(self, place: Ints) -> "Ranked":
        """Keep some of the answers."""
        return Ranked(self.target_E[place], self.rank_E[place], self.items_EK[place])


@dataclass(frozen=True, eq=False)
class Rated:
    """Answers to ``rate`` or ``preference``."""

    target_E: Floats
    """What the users gave."""

    predicted_E: Floats
    """What was predicted; NaN where the answer is no number."""

    likeliest_E: Floats
    """The likeliest rating, where a method tells it beside the expected one; else the same."""

    def at(self, place: Ints) -> "Rated":
        """Keep some of the answers."""
        return Rated(self.target_E[place], self.predicted_E[place], self.likeliest_E[place])


@dataclass(frozen=True, eq=False)
class Chosen:
    """Answers to ``select``."""

    fitting: tuple[tuple[int, ...], ...]
    """The items that were right to choose."""

    chosen: tuple[tuple[int, ...], ...]
    """The items that were chosen."""

    def at(self, place: Ints) -> "Chosen":
        """Keep some of the answers."""
        return Chosen(*(tuple(rows[e] for e in place) for rows in (self.fitting, self.chosen)))


@dataclass(frozen=True, eq=False)
class Written:
    """Answers in text, such as to ``explain``."""

    references: tuple[str, ...]
    """What the users wrote."""

    answers: tuple[str, ...]
    """What was generated."""

    def at(self, place: Ints) -> "Written":
        """Keep some of the answers."""
        return Written(
            *(tuple(texts[e] for e in place) for texts in (self.references, self.answers))
        )


@dataclass(frozen=True, eq=False)
class TaskResults:
    """How a recommender did at one task."""

    questions: Asked
    """What was asked; it can be read again."""

    answers: Ranked | Rated | Written | Chosen
    """What was answered, question by question."""

    statistics: Statistics
    """What the metrics are made of."""

    counts: Mapping[str, int]
    """What is to be known beside the metrics: ``requests``, and what went wrong how often."""

    figures: Mapping[str, float]
    """Numbers that belong to all answers together and to no single one, such as how many different
    words they use; they have no interval."""

    seconds: float
    """How long the recommender took to answer all requests."""

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.questions.task

    @property
    def event_E(self) -> Ints:
        """The events asked about, as rows of the interactions: what runs are paired by."""
        return self.questions.event_E

    @cached_property
    def metrics(self) -> dict[str, Interval]:
        """Every metric with its 95 % bootstrap interval."""
        return bootstrap(self.statistics)

    def where(self, keep_E: Bools) -> "TaskResults":
        """Keep the answers to some of the questions; counts and figures stay those of all."""
        place = np.flatnonzero(keep_E)
        return replace(
            self,
            questions=self.questions.at(place),
            answers=self.answers.at(place),
            statistics=self.statistics.where(keep_E),
        )


@dataclass(frozen=True, eq=False)
class Results:
    """How a recommender did at all tasks."""

    tasks: Mapping[str, TaskResults]

    efficiency: Efficiency | None = None
    """What its answers cost, where that was measured."""

    def __getitem__(self, task: str) -> TaskResults:
        if task in self.tasks:
            return self.tasks[task]
        near = difflib.get_close_matches(task, self.tasks, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self.tasks)}"
        raise KeyError(f"no task {task!r} was evaluated; {remedy}")

    @property
    def metrics(self) -> dict[str, Interval]:
        """The metrics of the only task."""
        return self._only.metrics

    @property
    def ranks(self) -> Ints:
        """The rank of the right item for each event of the only task, a ranking one."""
        answers = self._only.answers
        if not isinstance(answers, Ranked):
            raise ValueError(f"the task {self._only.task!r} ranks nothing")
        return answers.rank_E

    @property
    def _only(self) -> TaskResults:
        if len(self.tasks) != 1:
            raise ValueError(
                f"there are results of {', '.join(self.tasks)}; choose one: results['recommend']"
            )
        return next(iter(self.tasks.values()))
