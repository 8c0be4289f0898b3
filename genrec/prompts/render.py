"""From a request to tokens: the same code for training, validation and serving.

Shape letters in this file: N items, T codes of a picture.
"""

import json
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from genrec.artifacts import fingerprint
from genrec.config import to_dict
from genrec.data import Catalogue
from genrec.prompts.chat import chat_frame
from genrec.prompts.config import PromptConfig
from genrec.prompts.history import HistoryWriter
from genrec.prompts.items import ItemWriter
from genrec.prompts.pieces import NO_TOKENS, Piece, Tokens, Weights, join
from genrec.prompts.tasks import Task, Tasks, parse
from genrec.prompts.vocabulary import Vocabulary
from genrec.recommender import Request
from genrec.semantic_ids import SemanticIds

RightAnswer = str | int | float | Sequence[int]
"""A row of the catalogue, rows, a rating or a text, as the task has it; for a picture the row of
the item that it shows."""

_ROOMY = ("dialogue", "titles", "history")
"""Slots that take the room which the others leave, the most important first."""


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

    owner: Tokens = NO_TOKENS
    """For each token of the prompt the picture that it may see, an index into ``pictures``, or -1;
    empty where the prompt shows none."""

    pictures: tuple[int, ...] = ()
    """Rows of the items whose pictures the prompt shows, one for each of its ``[IMG]`` marks."""


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
        image_codes_NT: Tokens | None = None,
    ) -> None:
        """Get ready to write.

        Args:
            vocabulary: All tokens.
            ids: The semantic IDs of all items.
            catalogue: The items.
            tasks: What can be asked.
            config: How items and histories are written.
            image_codes_NT: The codes of every item's picture, -1 where it has none; for tasks that
                answer with pictures and are to be learnt.

        Raises:
            ValueError: When one of them was not made for the others.
        """
        if len(ids) != len(catalogue):
            raise ValueError(
                f"there are semantic IDs for {len(ids)} items, "
                f"but the catalogue has {len(catalogue)}; train the tokenizer on this catalogue"
            )
        self.vocabulary = vocabulary
        self.ids = ids
        self.catalogue = catalogue
        self.tasks = tasks
        self.config = config
        self.image_codes_NT = image_codes_NT
        self._refuse_foreign_pictures()
        self.items = ItemWriter(vocabulary, ids, catalogue, config)
        self._history = HistoryWriter(vocabulary, self.items, config)
        self._opening, self._closing = self._frame()
        self._phrase = lru_cache(maxsize=1_024)(self._write_phrase)
        self._write_slot: dict[str, Callable[[Request], Piece | list[Piece]]] = {
            "query": lambda request: self._text(request, "query"),
            "hint": lambda request: self._text(request, "hint"),
            "review": lambda request: self._text(request, "review"),
            "rating": self._rating,
            "attribute": self._attribute,
            "item": lambda request: self.items.codes((_item(request),)),
            "card": lambda request: self.items.card(_item(request)),
            "title": self._title,
            "description": lambda request: self.items.description(_item(request)),
            "picture": lambda request: self.items.picture(_item(request)),
            "candidates": self._candidates,
        }

    @property
    def fingerprint(self) -> str:
        """Hash of the tasks' words and of how items are written."""
        return fingerprint(self.tasks.fingerprint, json.dumps(to_dict(self.config)))

    def render(
        self,
        request: Request,
        *,
        phrasing: int | None = 0,
        answer: RightAnswer | None = None,
        blank: bool = False,
    ) -> Example:
        """Write a request, and the answer to learn where one is given.

        Args:
            request: What is asked.
            phrasing: Which prompt of the task, counted from 0 and round again; ``None`` takes the
                one that is kept out of training.
            answer: A row of the catalogue, rows of it, a rating or a text, as the task has it.
            blank: Leave all slots empty: what classifier-free guidance compares a prompt with.

        Raises:
            ValueError: When the request lacks what the task's prompt needs, or what may not be cut
                has more tokens than a prompt may have.
        """
        task = self.tasks[request.task]
        parts: list[Piece | list[Piece] | str] = [self._opening]
        number = phrasing if phrasing is None else phrasing % len(task.prompts)
        for words, slot in self._phrase(task, number):
            parts.append(words)
            if slot is not None and not blank:
                parts.append(slot if slot in _ROOMY else self._write_slot[slot](request))
        parts.append(self._closing)
        tokens, weights, owner, pictures = join(self._fit(request, parts))
        right = NO_TOKENS if answer is None else self._answer(task, request, answer)
        return Example(task.name, tokens, weights, right, owner=owner, pictures=pictures)

    @cached_property
    def rating_answers(self) -> list[list[int]]:
        """The answer to a request for a rating, for every step of the scale, in tokens.

        Raises:
            ValueError: When the tokenizer writes two of them alike.
        """
        answers = [self._write_text(f"{step:g}") for step in self.config.rating_scale]
        if len({tuple(answer) for answer in answers}) < len(answers):
            raise ValueError(
                f"the tokenizer writes some of the ratings {self.config.rating_scale} alike; "
                "train or choose one that knows all digits"
            )
        return answers

    def _fit(self, request: Request, parts: Sequence[Piece | list[Piece] | str]) -> list[Piece]:
        """Fill the slots that take what room is left, and put all pieces into one list."""
        groups = [_written(part) for part in parts]
        room = self.config.prompt_tokens - sum(map(_length, groups))
        if room < 0:
            raise ValueError(
                f"a prompt of the task {request.task!r} takes {self.config.prompt_tokens - room} "
                f"tokens without its history, but may have {self.config.prompt_tokens}; raise "
                "prompts.prompt_tokens, name fewer candidates, or write less of each item"
            )
        write = {
            "dialogue": self._history.turns,
            "titles": self._history.titles,
            "history": self._history.events,
        }
        for slot in _ROOMY:
            for place, part in enumerate(parts):
                if part == slot:
                    groups[place] = write[slot](request, room)
                    room -= _length(groups[place])
        return [piece for group in groups for piece in group]

    def _text(self, request: Request, slot: str) -> Piece:
        text = getattr(request, slot)
        tokens = self.vocabulary.encode(text or "", max_tokens=self.config.text_tokens)
        if not tokens:
            raise ValueError(f"the task {request.task!r} needs a {slot}; the request has none")
        return Piece.of(tokens)

    def _rating(self, request: Request) -> Piece:
        if request.rating is None:
            raise ValueError(f"the task {request.task!r} needs a rating; the request has none")
        low, *_, high = self.config.rating_scale
        if not low <= request.rating <= high:  # nor is NaN
            raise ValueError(
                f"the rating {request.rating:g} is not from {low:g} to {high:g}, the scale that "
                "prompts.rating_scale sets"
            )
        return Piece.of(self.vocabulary.encode(f"{request.rating:g}"))

    def _title(self, request: Request) -> Piece:
        limit = self.items.attribute_tokens(self.config.title)
        return Piece.of(self.vocabulary.encode(self.items.title(_item(request)), max_tokens=limit))

    def _attribute(self, request: Request) -> Piece:
        if request.attribute is None:
            raise ValueError(f"the task {request.task!r} needs an attribute; the request has none")
        words = self.config.attribute_words.get(request.attribute) or request.attribute
        return Piece.of(self.vocabulary.encode(words))

    def _candidates(self, request: Request) -> list[Piece]:
        if not request.candidates:
            raise ValueError(f"the task {request.task!r} needs candidates; the request has none")
        self._refuse_long_choices(request)
        write = self.items.card if self.config.candidate_cards else self.items.short
        return [write(row) for row in request.candidates]

    def _refuse_long_choices(self, request: Request) -> None:
        levels, room = self.ids.levels, self.config.answer_tokens
        longest = len(request.candidates) * levels + 1
        if self.tasks[request.task].answer == "items" and longest > room:
            raise ValueError(
                f"a choice among {len(request.candidates)} candidates may take {longest} tokens, "
                f"but answers have {room}; name at most {(room - 1) // levels}, or raise "
                "prompts.answer_tokens"
            )

    def _answer(self, task: Task, request: Request, answer: RightAnswer) -> Tokens:
        if task.answer == "items":
            if not isinstance(answer, Sequence) or isinstance(answer, str):
                raise ValueError(f"the task {task.name!r} answers with rows, not with {answer!r}")
            rows = _in_order(request, answer)
            return np.append(self.items.codes(rows).tokens, np.int32(self.vocabulary.eos))
        if not isinstance(answer, str | int | float | np.number):
            raise ValueError(f"the task {task.name!r} has one answer, not {answer!r}")
        if task.answer == "item":
            return self.items.codes((int(answer),)).tokens
        if task.answer == "picture":
            return self._image_tokens(int(answer))
        text = self._on_scale(float(answer)) if task.answer == "rating" else str(answer)
        return np.asarray(self._write_text(text), dtype=np.int32)

    def _image_tokens(self, row: int) -> Tokens:
        codes_NT = self.image_codes_NT
        if codes_NT is None:
            raise ValueError("a picture cannot be learnt: the renderer was given no image_codes_NT")
        if codes_NT[row, 0] < 0:
            raise ValueError(f"the item {self.catalogue.item_ids[row]!r} has no picture to draw")
        tokens: Tokens = codes_NT[row] + np.int32(self.vocabulary.image_tokens.start)
        return tokens

    def _refuse_foreign_pictures(self) -> None:
        codes_NT, known = self.image_codes_NT, len(self.vocabulary.image_tokens)
        if codes_NT is None:
            return
        if len(codes_NT) != len(self.catalogue):
            raise ValueError(
                f"there are image codes of {len(codes_NT)} items, but the catalogue has "
                f"{len(self.catalogue)}"
            )
        if codes_NT.max() >= known:
            raise ValueError(
                f"image codes go up to {codes_NT.max()}, but the vocabulary has {known} image "
                "tokens; was it made for another image tokenizer?"
            )
        if codes_NT.shape[1] > self.config.answer_tokens:
            raise ValueError(
                f"a picture takes {codes_NT.shape[1]} tokens, but answers have "
                f"{self.config.answer_tokens}; raise prompts.answer_tokens"
            )

    def _write_text(self, text: str) -> list[int]:
        numbers = self.vocabulary.encode(text, max_tokens=self.config.answer_tokens)
        return [*numbers, self.vocabulary.eos]

    def _on_scale(self, rating: float) -> str:
        """Write a rating as the scale does, so that an answer is one of those that are scored."""
        nearest = min(self.config.rating_scale, key=lambda step: abs(step - rating))
        if abs(nearest - rating) > 1e-4:
            raise ValueError(
                f"the rating {rating:g} is not on the scale {self.config.rating_scale}; "
                "set prompts.rating_scale to all ratings that can be given"
            )
        return f"{nearest:g}"

    def _frame(self) -> tuple[Piece, Piece]:
        """Write what stands around every prompt."""
        vocabulary, system = self.vocabulary, self.config.system
        if not self.config.chat:
            return Piece.of([*vocabulary.bos, *vocabulary.soft_prompt]), Piece.of([])
        frame = chat_frame(vocabulary.tokenizer, with_system=bool(system))
        opening = [*frame.before_system, *vocabulary.encode(system), *frame.before_user]
        opening += vocabulary.soft_prompt
        return Piece.of(opening), Piece.of(frame.before_answer)

    def _write_phrase(self, task: Task, phrasing: int | None) -> list[tuple[Piece, str | None]]:
        if phrasing is not None:
            prompt = task.prompts[phrasing]
        elif task.unseen is not None:
            prompt = task.unseen
        else:
            raise ValueError(f"the task {task.name!r} has no unseen phrasing")
        encode = self.vocabulary.encode
        return [(Piece.of(encode(text)), slot) for text, slot in parse(prompt)]


def _written(part: Piece | list[Piece] | str) -> list[Piece]:
    """List the pieces of a part of a prompt; none of a slot that still waits for room."""
    if isinstance(part, str):
        return []
    return [part] if isinstance(part, Piece) else part


def _length(pieces: Sequence[Piece]) -> int:
    return sum(len(piece.tokens) for piece in pieces)


def _item(request: Request) -> int:
    if request.item is None:
        raise ValueError(f"the task {request.task!r} needs an item; the request has none")
    return request.item


def _in_order(request: Request, answer: Sequence[int]) -> list[int]:
    """Put the chosen items into the order of the candidates, so that one answer is right."""
    foreign = set(answer) - set(request.candidates)
    if foreign:
        raise ValueError(f"the right answer names the items {foreign}, which are no candidates")
    return [row for row in request.candidates if row in set(answer)]
