"""From an answer's tokens back to items, ratings and text: the way back from ``render``.

What cannot be read is an error with a reason, or counted by reason. It is never replaced by a
default: one in the middle of a scale flatters a model that does not answer.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from genrec.prompts.render import Renderer
from genrec.prompts.tasks import Task

Rows = tuple[int, ...]


class AnswerError(ValueError):
    """A model's answer is not what the task asks for."""


class Parsed(NamedTuple):
    """What many answers say."""

    answers: list[Rows | float | str | None]
    """One per answer; ``None`` where it cannot be read."""

    problems: Counter[str]
    """How many could not be read, by reason."""


class AnswerParser:
    """Reads the answers of models that read a renderer's prompts."""

    def __init__(self, renderer: Renderer) -> None:
        self._tasks = renderer.tasks
        self._vocabulary = renderer.vocabulary
        self._scale = renderer.config.rating_scale
        self._levels = renderer.ids.levels
        self._codes = set(renderer.vocabulary.new_tokens)
        self._rows_of: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for row, tokens in enumerate(renderer.items.tokens_NL.tolist()):
            self._rows_of[tuple(tokens)].append(row)

    def parse(
        self, task: str, answer: Sequence[int] | np.ndarray[tuple[int], np.dtype[np.int32]]
    ) -> Rows | float | str:
        """Read one answer.

        Args:
            task: Name of the task.
            answer: The tokens that were generated, up to and with the one that ends an answer;
                what follows that is padding.

        Returns:
            Rows of the catalogue for items, as many as share an ID; a number for a rating; a text;
            the codes of a picture.

        Raises:
            AnswerError: When the answer is not of the kind that the task asks for.
        """
        asks = self._tasks[task]
        ends = (self._vocabulary.eos, self._vocabulary.pad)
        numbers = list(itertools.takewhile(lambda number: number not in ends, map(int, answer)))
        if asks.answer in ("item", "items"):
            return self._items(asks, numbers)
        if asks.answer == "picture":
            return self._picture(numbers)
        if self._codes & set(numbers):
            raise AnswerError("codes or markers stand in a text")
        text = self._vocabulary.decode(numbers)
        return self._rating(text) if asks.answer == "rating" else text

    def parse_all(self, task: str, answers: Iterable[Sequence[int]]) -> Parsed:
        """Read many answers; those that cannot be read are counted by reason."""
        parsed: list[Rows | float | str | None] = []
        problems: Counter[str] = Counter()
        for answer in answers:
            try:
                parsed.append(self.parse(task, answer))
            except AnswerError as error:
                parsed.append(None)
                problems[str(error)] += 1
        return Parsed(parsed, problems)

    def _items(self, task: Task, numbers: list[int]) -> Rows:
        if task.answer == "item" and len(numbers) != self._levels:
            raise AnswerError("not the length of one semantic ID")
        if len(numbers) % self._levels:
            raise AnswerError("not the length of whole semantic IDs")
        rows: list[int] = []
        for start in range(0, len(numbers), self._levels):
            found = self._rows_of.get(tuple(numbers[start : start + self._levels]))
            if found is None:
                raise AnswerError("no item has this semantic ID")
            rows += found
        return tuple(rows)

    def _picture(self, numbers: list[int]) -> Rows:
        tokens = self._vocabulary.image_tokens
        if not numbers or any(number not in tokens for number in numbers):
            raise AnswerError("not image tokens alone")
        return tuple(number - tokens.start for number in numbers)

    def _rating(self, text: str) -> float:
        for step in self._scale:
            if text == f"{step:g}":
                return step
        raise AnswerError("not a rating of the scale")
