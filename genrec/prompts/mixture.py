"""What a model is trained on: the examples of several tasks, in an order that a seed decides.

Only events of the train split are read, as histories and as answers alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from genrec.data import Dataset
from genrec.prompts.render import Example, Renderer
from genrec.prompts.tasks import TaskError
from genrec.recommender import Request

Rows = np.ndarray[Any, np.dtype[np.int64]]


class _Occasion(NamedTuple):
    """A task to learn from the events ``first`` to ``event`` of the train split, ``event`` last."""

    task: str
    first: int
    event: int


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """The training examples of several tasks, rendered while they are read."""

    dataset: Dataset
    train: np.ndarray[Any, np.dtype[np.bool_]]
    """Which events may be learnt from, of shape (events,)."""

    renderer: Renderer

    weights: Mapping[str, float]
    """How many times an epoch shows each task's examples; 0.5 shows half of them, drawn anew."""

    every_position: bool
    """Learn the recommendation of all items of a history from one example, as a decoder can; else
    every event is an example of its own."""

    seed: int = 0

    def __post_init__(self) -> None:
        if not self.weights or any(weight <= 0 for weight in self.weights.values()):
            raise ValueError(f"the weights of the tasks must be above 0, not {dict(self.weights)}")
        empty = [task for task in self.weights if not len(self._occasions[task])]
        if empty:
            raise TaskError(
                f"the data set has no training examples for {', '.join(empty)}: search needs the "
                "column 'query', rate a rating and explain the column 'text'; leave the task out"
            )

    def __len__(self) -> int:
        """Count the examples of an epoch."""
        return sum(self.counts.values())

    @property
    def counts(self) -> dict[str, int]:
        """Examples of an epoch by task."""
        return {
            task: round(weight * len(self._occasions[task]))
            for task, weight in self.weights.items()
        }

    def epoch(self, number: int) -> Iterator[Example]:
        """Render the examples of an epoch, in an order that seed and number decide."""
        draw = np.random.default_rng([self.seed, number])
        picked: list[tuple[str, int]] = []
        for task, count in self.counts.items():
            available = len(self._occasions[task])
            whole, rest = divmod(count, available)
            rows = np.concatenate([
                np.tile(np.arange(available), whole),
                draw.choice(available, size=rest, replace=False),
            ])  # fmt: skip
            picked += [(task, int(row)) for row in rows]
        phrasings = draw.integers(0, 1 << 16, size=len(picked))
        for index in draw.permutation(len(picked)):
            task, row = picked[index]
            yield self._render(self._occasions[task][row], phrasing=int(phrasings[index]))

    def _render(self, occasion: _Occasion, *, phrasing: int) -> Example:
        task, first, event = occasion
        target = int(self._items[event])
        asks = self.renderer.tasks[task]
        request = Request(
            task=task,
            history=tuple(self._items[first:event].tolist()),
            query=str(self._column("query")[event]) if "query" in asks.slots else None,
            item=target if asks.slots & {"item", "card"} else None,
        )
        answer: Any = target
        if asks.answer == "rating":
            answer = float(self._ratings[event])
        elif asks.answer == "text":
            answer = str(self._column("text")[event])
        return self.renderer.render(request, phrasing=phrasing, answer=answer)

    @cached_property
    def _occasions(self) -> dict[str, Sequence[_Occasion]]:
        return {task: self._find(task) for task in self.weights}

    def _find(self, task: str) -> list[_Occasion]:
        asks = self.renderer.tasks[task]
        keep = np.ones(len(self._items), dtype=bool)
        if "query" in asks.slots:
            keep &= self._column("query") != ""
        if asks.answer == "rating":
            keep &= ~np.isnan(self._ratings)
        if asks.answer == "text":
            keep &= self._column("text") != ""
        window = self.renderer.config.history_items
        if asks.slots == {"history"} and self.every_position:
            return [
                _Occasion(task, max(start, event - window), event)
                for start, stop in self._bounds
                for event in range(stop - 1, start, -window)
            ]
        return [
            _Occasion(task, start, event)
            for start, stop in self._bounds
            for event in range(start, stop)
            if keep[event] and (event > start or "query" in asks.slots or asks.answer != "item")
        ]

    @cached_property
    def _rows(self) -> Rows:
        return np.flatnonzero(self.train)

    @cached_property
    def _items(self) -> np.ndarray[Any, np.dtype[np.int32]]:
        return np.asarray(self.dataset.interactions.item)[self._rows]

    @cached_property
    def _ratings(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.asarray(self.dataset.interactions.rating)[self._rows]

    @cached_property
    def _bounds(self) -> list[tuple[int, int]]:
        """First and one past the last train event of every user who has one."""
        users = np.asarray(self.dataset.interactions.user_of)[self._rows]
        cuts = np.flatnonzero(np.diff(users)) + 1
        starts, stops = [0, *cuts.tolist()], [*cuts.tolist(), len(users)]
        return list(zip(starts, stops, strict=True)) if len(users) else []

    def _column(self, name: str) -> np.ndarray[Any, np.dtype[np.object_]]:
        """A text column of the train events; what is missing is an empty text."""
        if name not in self._columns:
            column = self.dataset.interactions.column(name)
            texts = [""] * len(self.train) if column is None else column.fill_null("").to_list()
            self._columns[name] = np.asarray(texts, dtype=object)[self._rows]
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, np.ndarray[Any, np.dtype[np.object_]]]:
        return {}
