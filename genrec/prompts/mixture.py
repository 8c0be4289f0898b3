"""What a model is trained on: the examples of several tasks, in an order that a seed decides.

Only events of the train split are read, as histories and as answers alike.

Shape letters in this file: N items, F colours of a histogram, X examples of an epoch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from genrec.data import Dataset, Dialogue
from genrec.prompts.dialogue_lessons import DialogueLessons
from genrec.prompts.guides import Guides, looks_of
from genrec.prompts.lessons import EventLessons, ItemLessons, Lessons, WindowLessons
from genrec.prompts.render import Example, Renderer
from genrec.prompts.tasks import Task
from genrec.prompts.train_log import TrainLog
from genrec.recommender import TaskError


class Examples(Protocol):
    """What training reads: the same examples in the same order whenever an epoch is read again."""

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Example]:
        """Yield the examples of an epoch, from the one at ``start`` on."""
        ...


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """How tasks are mixed, beside how often each is shown."""

    temperature: float = 1.0
    """Above 1, small tasks are shown more and large ones less: shares grow with the number of
    examples to the power of 1 / temperature (T5, https://arxiv.org/abs/1910.10683, section 3.5.2);
    an epoch stays as long as it is."""

    loss_weights: dict[str, float] = field(default_factory=dict)
    """Loss weight of every token of some tasks' examples; 1 where a task is not named."""

    candidates: int = 10
    """Items that a prompt names to choose among, the right ones included."""

    guides: int = 2
    """Items that guide the drawing of a picture; UniMP retrieves 2 (appendix A.2)."""

    guide_noise: float = 0.1
    """Share of guides that have nothing to do with the picture, as a search may find."""

    blank: float = 0.1
    """Share of the examples of pictures whose prompt tells nothing, so that classifier-free
    guidance (https://arxiv.org/abs/2207.12598) has something to compare with."""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0, such as 2")
        if self.candidates < 2:
            raise ValueError(f"candidates is {self.candidates}; choosing needs at least 2")
        if self.guides < 1:
            raise ValueError(f"guides is {self.guides}; a picture needs at least 1")
        for name in ("guide_noise", "blank"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give a share from 0 to below 1")
        low = {task: weight for task, weight in self.loss_weights.items() if weight <= 0}
        if low:
            raise ValueError(f"loss_weights must be above 0, not {low}; leave out such a task")


class _Order(NamedTuple):
    """Which lesson each place of an epoch shows, in 15 bytes a place."""

    task_X: np.ndarray[Any, np.dtype[np.uint8]]
    lesson_X: np.ndarray[Any, np.dtype[np.int32]]
    phrasing_X: np.ndarray[Any, np.dtype[np.uint16]]
    place_X: np.ndarray[Any, np.dtype[np.int64]]
    """Shuffles the others."""


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

    config: MixtureConfig = field(default_factory=MixtureConfig)
    dialogues: Sequence[Dialogue] = ()
    """Talks about the items, for tasks that read them."""

    seed: int = 0

    def __post_init__(self) -> None:
        if not self.weights or any(weight <= 0 for weight in self.weights.values()):
            raise TaskError(f"the weights of the tasks must be above 0, not {dict(self.weights)}")
        foreign = sorted(set(self.config.loss_weights) - set(self.weights))
        if foreign:
            raise TaskError(
                f"loss_weights names {', '.join(foreign)}, but the mixture has "
                f"{', '.join(self.weights)}"
            )
        for name, count in self.available.items():
            if count == 0:
                task = self.renderer.tasks[name]
                raise TaskError(
                    f"the data set {self.dataset.name!r} has no training examples for {name}, "
                    f"which needs {needs(task)}; leave the task out"
                )

    def __len__(self) -> int:
        """Count the examples of an epoch."""
        return sum(self.counts.values())

    @property
    def available(self) -> dict[str, int]:
        """Different examples of each task."""
        return {task: len(lessons) for task, lessons in self._lessons.items()}

    @cached_property
    def counts(self) -> dict[str, int]:
        """Examples of an epoch by task."""
        wanted = {task: weight * self.available[task] for task, weight in self.weights.items()}
        return tempered(wanted, self.config.temperature)

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Example]:
        """Render the examples of an epoch, in an order that seed and number decide.

        Args:
            number: The epoch, counted from 0.
            start: Pass over so many examples, at no cost.
        """
        order = self._order(number)
        names = list(self.weights)
        for place in range(start, len(order.place_X)):
            at = order.place_X[place]
            yield self._render(
                names[order.task_X[at]],
                int(order.lesson_X[at]),
                phrasing=int(order.phrasing_X[at]),
                seed=(self.seed, number, place),
            )

    def _order(self, number: int) -> _Order:
        draw = np.random.default_rng([self.seed, number])
        tasks, lessons = [], []
        for index, (task, count) in enumerate(self.counts.items()):
            available = self.available[task]
            whole, rest = divmod(count, available)
            lessons += [np.tile(np.arange(available, dtype=np.int32), whole)]
            lessons += [draw.choice(available, size=rest, replace=False).astype(np.int32)]
            tasks.append(np.full(count, index, dtype=np.uint8))
        phrasing_X = draw.integers(0, 1 << 16, size=len(self)).astype(np.uint16)
        return _Order(
            np.concatenate(tasks), np.concatenate(lessons), phrasing_X, draw.permutation(len(self))
        )

    def _render(self, task: str, lesson: int, *, phrasing: int, seed: Sequence[int]) -> Example:
        request, answer = self._lessons[task].read(lesson, seed)
        draws = self.renderer.tasks[task].answer == "picture"
        blank = draws and np.random.default_rng([*seed, 1]).random() < self.config.blank
        example = self.renderer.render(request, phrasing=phrasing, answer=answer, blank=blank)
        weight = self.config.loss_weights.get(task, 1.0)
        if weight == 1.0:
            return example
        return example._replace(
            prompt_weights=example.prompt_weights * weight,
            answer_weight=example.answer_weight * weight,
        )

    @cached_property
    def _lessons(self) -> dict[str, Lessons]:
        log = TrainLog(self.dataset, self.train)
        return {name: self._find(self.renderer.tasks[name], log) for name in self.weights}

    def _find(self, task: Task, log: TrainLog) -> Lessons:
        """Find what a task can be learnt from, which its slots and its target tell."""
        if task.answer == "picture" and self.renderer.image_codes_NT is None:
            raise TaskError(
                f"the task {task.name!r} answers with a picture, but there are no image tokens to "
                "learn it from; give the training an image_tokenizer, or leave the task out"
            )
        if task.occasion == "dialogue":
            return DialogueLessons(task, log, self.dialogues)
        if task.occasion == "item":
            return ItemLessons(task, self.renderer)
        if self.every_position and task.slots == {"history"} and task.target == "item":
            return WindowLessons(task, log, self.renderer)
        config, guides = self.config, None
        if task.answer == "picture" and "candidates" in task.slots:
            looks_NF = looks_of(self.dataset.catalogue)
            guides = Guides(
                self.renderer.ids, looks_NF, count=config.guides, noise=config.guide_noise
            )
        return EventLessons(task, log, self.renderer, candidates=config.candidates, guides=guides)


def tempered(wanted: Mapping[str, float], temperature: float) -> dict[str, int]:
    """Count examples by name such that their shares grow with ``wanted ** (1 / temperature)``.

    They sum to what is wanted in all, up to rounding, and none vanishes.
    """
    if temperature == 1.0:
        return {name: max(1, round(count)) for name, count in wanted.items()}
    powers = {name: count ** (1 / temperature) for name, count in wanted.items()}
    scale = sum(wanted.values()) / sum(powers.values())
    return {name: max(1, round(scale * power)) for name, power in powers.items()}


def needs(task: Task) -> str:
    """Say what data a task is made from."""
    if task.occasion == "dialogue":
        does = "name items" if task.target == "item" else "answer in words"
        return f"dialogues in which recommenders {does}"
    sources = {
        "query": "the events' column 'query'",
        "rating": "the events' ratings",
        "review": "the events' column 'text'",
        "hint": "the events' column 'text'",
        "text": "the events' column 'text'",
        "summary": "the events' column 'summary'",
        "title": "items with a title (prompts.title)",
        "titles": "items with a title (prompts.title)",
        "description": "items with attributes",
        "attribute": "items with attributes",
        "picture": "items with pictures (and prompts.pictures)",
    }
    names = sorted({*task.slots, task.target})
    needed = [sources[name] for name in names if name in sources]
    return " and ".join(dict.fromkeys(needed)) or "users with at least 2 events to learn from"
