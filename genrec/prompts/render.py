"""From a request to tokens: the same code for training, validation and serving.

Shape letters in this file: N items, L levels.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from genrec.artifacts import fingerprint
from genrec.config import to_dict
from genrec.data import Catalogue
from genrec.prompts.tasks import Task, Tasks, parse
from genrec.prompts.vocabulary import Vocabulary
from genrec.recommender import Request
from genrec.semantic_ids import SemanticIds

Tokens = np.ndarray[Any, np.dtype[np.int32]]
Weights = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """How items and histories are written."""

    attributes: tuple[str, ...] = ()
    """Attributes of an item's card, in this order; empty takes all of the catalogue's."""

    attribute_tokens: int = 20
    """Longest value of an attribute, in tokens (UniMP truncates to 20 words)."""

    history_items: int = 50
    """Keep so many of the latest items of a history."""

    prompt_tokens: int = 448
    """Longest prompt, in tokens; the oldest items of a history that do not fit are left out."""

    history_cards: bool = False
    """Write the attributes of the history's items too, not their semantic IDs alone."""

    answer_tokens: int = 64
    """Longest answer in text, such as an explanation, in tokens."""

    context_weight: float = 1.0
    """Loss weight of the history's own items: context reconstruction (UniMP, equation 7)."""

    def __post_init__(self) -> None:
        for name in ("attribute_tokens", "history_items", "prompt_tokens", "answer_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.context_weight < 0:
            raise ValueError(f"context_weight is {self.context_weight}; it cannot be negative")


_NO_TOKENS: Tokens = np.zeros(0, dtype=np.int32)


class Example(NamedTuple):
    """A prompt in tokens, what to learn from it, and its answer."""

    task: str
    prompt: Tokens
    prompt_weights: Weights
    """Loss weight of each token of the prompt, for models that read prompt and answer as one."""
    answer: Tokens
    """Empty when the request is to be answered rather than learnt from."""

    answer_weight: float = 1.0
    """Loss weight of every token of the answer: the weight of the task."""

    owner: Tokens = _NO_TOKENS
    """For each token of the prompt the picture that it may see, an index into ``pictures``, or -1;
    empty where the prompt shows none."""

    pictures: tuple[int, ...] = ()
    """Rows of the items whose pictures the prompt shows, one for each of its ``[IMG]`` marks."""


_QUERY_TOKENS = 64


class _Block(NamedTuple):
    tokens: list[int]
    weight: float


class Renderer:
    """Writes requests as tokens for one vocabulary, catalogue and set of tasks."""

    def __init__(
        self,
        *,
        vocabulary: Vocabulary,
        ids: SemanticIds,
        catalogue: Catalogue,
        tasks: Tasks,
        config: PromptConfig,
    ) -> None:
        if len(ids) != len(catalogue):
            raise ValueError(
                f"there are semantic IDs for {len(ids)} items, "
                f"but the catalogue has {len(catalogue)}; train the tokenizer on this catalogue"
            )
        unknown = sorted(set(config.attributes) - set(catalogue.attributes))
        if unknown:
            raise ValueError(
                f"prompts name the attributes {unknown}, "
                f"but the catalogue has {list(catalogue.attributes)}"
            )
        self.vocabulary = vocabulary
        self.ids = ids
        self.catalogue = catalogue
        self.tasks = tasks
        self.config = config
        self._attributes = config.attributes or tuple(catalogue.attributes)
        self._item_tokens_NL = vocabulary.item_tokens(ids)
        self._card = lru_cache(maxsize=200_000)(self._write_card)
        self._text = lru_cache(maxsize=4_096)(vocabulary.encode)

    @property
    def fingerprint(self) -> str:
        """Hash of the tasks' words and of how items are written."""
        return fingerprint(self.tasks.fingerprint, json.dumps(to_dict(self.config)))

    def render(
        self, request: Request, *, phrasing: int | None = 0, answer: str | int | float | None = None
    ) -> Example:
        """Write a request, and the answer to learn where one is given.

        Args:
            request: What is asked.
            phrasing: Which prompt of the task, counted from 0 and round again; ``None`` takes the
                one that is kept out of training.
            answer: A row of the catalogue, a rating or a text, as the task has it.

        Raises:
            ValueError: When the request lacks what the task's prompt needs.
        """
        task = self.tasks[request.task]
        parts: list[list[_Block] | None] = [[_Block(self.vocabulary.bos, 0.0)]]
        for text, slot in parse(_phrase(task, phrasing)):
            parts.append([_Block(self._text(text.strip()), 0.0)])
            if slot is not None:
                parts.append(None if slot == "history" else self._fill(slot, request))
        rest = sum(len(block.tokens) for part in parts for block in part or ())
        history = self._history(request.history, room=self.config.prompt_tokens - rest)
        blocks = [block for part in parts for block in (history if part is None else part)]
        return Example(
            task.name,
            np.asarray([token for block in blocks for token in block.tokens], dtype=np.int32),
            np.repeat([block.weight for block in blocks], [len(block.tokens) for block in blocks]),
            np.asarray(self._answer(task, answer), dtype=np.int32),
        )

    def _fill(self, slot: str, request: Request) -> list[_Block]:
        if slot == "query":
            if not request.query:
                raise ValueError(f"the task {request.task!r} needs a query; the request has none")
            return [_Block(self.vocabulary.encode(request.query, max_tokens=_QUERY_TOKENS), 0.0)]
        if request.item is None:
            raise ValueError(f"the task {request.task!r} needs an item; the request has none")
        if slot == "card":
            return self._card(request.item)
        return [_Block(self._item_tokens_NL[request.item].tolist(), 0.0)]

    def _history(self, items: Sequence[int], *, room: int) -> list[_Block]:
        """Write as many of the latest items as there is room for, oldest first."""
        weight = self.config.context_weight
        written: list[list[_Block]] = []
        for row in reversed(items[-self.config.history_items :]):
            if self.config.history_cards:
                code, description = self._card(row)
                item = [_Block(code.tokens, weight), description]
            else:
                item = [_Block(self._item_tokens_NL[row].tolist(), weight)]
            room -= sum(len(block.tokens) for block in item)
            if room < 0:
                break
            written.append(item)
        return [block for item in reversed(written) for block in item]

    def _write_card(self, row: int) -> list[_Block]:
        """Flatten an item: its ID, then key and value of each attribute (UniMP, equation 1).

        The ID comes first, so that the next item's ID directly continues a history.
        """
        tokens: list[int] = []
        for name, value in self.catalogue.describe(row, self._attributes).items():
            text = f"{value:g}" if isinstance(value, float) else str(value)
            tokens += self._text(name)
            tokens += self.vocabulary.encode(text, max_tokens=self.config.attribute_tokens)
        tokens.append(self.vocabulary.end_of_chunk)
        return [_Block(self._item_tokens_NL[row].tolist(), 0.0), _Block(tokens, 0.0)]

    def _answer(self, task: Task, answer: str | int | float | None) -> list[int]:
        if answer is None:
            return []
        if task.answer == "item":
            return [int(token) for token in self._item_tokens_NL[int(answer)]]
        if task.answer == "rating":
            answer = f"{float(answer):g}"
        tokens = self.vocabulary.encode(str(answer), max_tokens=self.config.answer_tokens)
        return [*tokens, self.vocabulary.eos]


def _phrase(task: Task, phrasing: int | None) -> str:
    if phrasing is not None:
        return task.prompts[phrasing % len(task.prompts)]
    if task.unseen is None:
        raise ValueError(f"the task {task.name!r} has no unseen phrasing")
    return task.unseen
