"""Several methods on the same events, side by side: what a report tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np

from genrec.data import Dataset
from genrec.eval.background import Background
from genrec.eval.beyond import Beyond, beyond_accuracy
from genrec.eval.intervals import Comparison, Statistics, compare
from genrec.eval.results import Results, TaskResults
from genrec.eval.slices import Division, slice_results
from genrec.eval.table import main_metric
from genrec.eval.under_stress import Spared, Stressed

DESCRIBED: Final = ("recommend", "search")
"""Rankings of the whole catalogue, which say something beyond accuracy."""


@dataclass(frozen=True, eq=False)
class Findings:
    """The results of all methods. The first is the subject, which the others are compared with."""

    results: Mapping[str, Results]
    """The methods by name."""

    dataset: Dataset
    """The data that they were evaluated on."""

    optimum: str | None = None
    """The name of the method that is the best achievable one, where it is known."""

    background: Background | None = None
    """What is known beside the answers, for slices and what lies beyond accuracy."""

    stressed: Mapping[str, Sequence[Stressed | Spared]] = field(default_factory=dict)
    """What stress did to methods, and what it spared, by method."""

    def __post_init__(self) -> None:
        if not self.results:
            raise ValueError("there are no results to report")
        if self.optimum is not None and self.optimum not in self.results:
            raise ValueError(f"the optimum {self.optimum!r} is not among {', '.join(self.results)}")
        for task in self.tasks:
            (name, first), *others = self.of(task).items()
            for other, result in others:
                if not np.array_equal(first.event_E, result.event_E):
                    raise ValueError(
                        f"{name} was asked {task!r} about {len(first.event_E)} events, {other} "
                        f"about {len(result.event_E)} or others; evaluate both on the same events"
                    )

    @property
    def subject(self) -> str:
        """The name of the first method."""
        return next(iter(self.results))

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """All tasks that any method was evaluated on."""
        return tuple(dict.fromkeys(task for found in self.results.values() for task in found.tasks))

    def of(self, task: str) -> dict[str, TaskResults]:
        """Results at one task, by method."""
        return {
            name: found.tasks[task] for name, found in self.results.items() if task in found.tasks
        }

    @cached_property
    def comparisons(self) -> dict[str, dict[str, dict[str, Comparison]]]:
        """The subject compared with every other method, by method, task and metric."""
        subject = self.results[self.subject]
        return {
            name: {
                task: _compared(subject[task].statistics, result.statistics)
                for task, result in other.tasks.items()
                if task in subject.tasks
            }
            for name, other in self.results.items()
            if name != self.subject
        }

    @cached_property
    def beyond(self) -> dict[str, dict[str, Beyond]]:
        """What rankings are like beyond accuracy, by task and method."""
        if self.background is None:
            return {}
        return {
            task: {
                name: beyond_accuracy(result, self.background)
                for name, result in self.of(task).items()
            }
            for task in self.tasks
            if task in DESCRIBED
        }

    @cached_property
    def slices(self) -> dict[str, list[Division]]:
        """The main metric of parts of the questions, by task."""
        if self.background is None:
            return {}
        return {
            task: slice_results(found, self.main(task), self.background)
            for task, found in ((task, self.of(task)) for task in self.tasks)
        }

    def main(self, task: str) -> str:
        """Name the metric that methods are compared by at a task."""
        return main_metric(task, next(iter(self.of(task).values())).statistics.names)

    def rival(self, task: str) -> str | None:
        """Name the best method besides the subject and the optimum; ``None`` for none."""
        metric = self.main(task)
        others = {
            name: result.statistics.worth(metric)
            for name, result in self.of(task).items()
            if name not in (self.subject, self.optimum)
        }
        return max(others, key=lambda name: others[name]) if others else None


def _compared(first: Statistics, second: Statistics) -> dict[str, Comparison]:
    """Compare two methods by the metrics that both have."""
    common = [name for name in first.names if name in second.names]
    return compare(first.only(*common), second.only(*common))
