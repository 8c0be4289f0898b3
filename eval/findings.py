"""Several methods on the same events, side by side: what a report tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from genrec.data import Dataset
from genrec.eval.intervals import Comparison, compare
from genrec.eval.results import Results, TaskResults


@dataclass(frozen=True, eq=False)
class Findings:
    """The results of all methods. The first is the subject, which the others are compared with."""

    results: Mapping[str, Results]
    """The methods by name."""

    dataset: Dataset
    """The data that they were evaluated on."""

    optimum: str | None = None
    """The name of the method that is the best achievable one, where it is known."""

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
                task: compare(subject[task].statistics, result.statistics)
                for task, result in other.tasks.items()
                if task in subject.tasks
            }
            for name, other in self.results.items()
            if name != self.subject
        }
