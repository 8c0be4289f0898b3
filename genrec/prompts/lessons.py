"""What a task can be learnt from: events of a log and items of a catalogue.

Which of them, the task's file tells by its slots and its target, so a task of one's own needs no
code here. Lessons are kept as numbers and put into words when they are read.

Shape letters in this file: E train events, N items, U users, M lessons.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from genrec.prompts.guides import Guides
from genrec.prompts.hints import feature_words
from genrec.prompts.known import KnownItems, KnownPast
from genrec.prompts.render import Renderer, RightAnswer
from genrec.prompts.tasks import OF_AN_ITEM, Task
from genrec.prompts.train_log import Bools, TrainLog
from genrec.recommender import Request, TaskError

MOST_FITTING = 3
"""Of the candidates of a selection, so many fit at most."""

_OF_THE_PAST = frozenset({"history", "titles"})
_COLUMNS = {
    "query": "query", "review": "text", "hint": "text", "text": "text", "summary": "summary",
}  # fmt: skip
"""From which column of the events a slot or a target is read."""


class Lesson(NamedTuple):
    """A request and the right answer to it."""

    request: Request
    answer: RightAnswer


class Lessons(Protocol):
    """All lessons of one task."""

    def __len__(self) -> int:
        """Count them."""
        ...

    def read(self, number: int, seed: Sequence[int]) -> Lesson:
        """Put a lesson into words; the seed draws what is open, such as the other candidates."""
        ...


class EventLessons:
    """One lesson an event: what comes next, how it is rated, what is written about it."""

    def __init__(
        self,
        task: Task,
        log: TrainLog,
        renderer: Renderer,
        *,
        candidates: int,
        guides: Guides | None = None,
    ) -> None:
        """Find the events that a task can be learnt from.

        Args:
            task: What is learnt.
            log: The events.
            renderer: Knows what is told of items.
            candidates: Items to choose among, the right ones included.
            guides: What stands for the items that a search finds, where the answer is a picture.
        """
        self._task = task
        self._guides = guides
        self._items = KnownItems(renderer)
        if "titles" in task.slots:  # a history of titles can show no other item
            log = log.where(self._items.has_N("title")[log.item_E])
        self._log = log
        self._past = KnownPast(log, renderer)
        self._candidates = candidates
        self._words = renderer.config.answer_tokens
        self._event_M = np.flatnonzero(self._can_be_learnt_E()).astype(np.int32)
        if task.target == "rating":
            self._refuse_other_scales(renderer.config.rating_scale)

    def __len__(self) -> int:
        return len(self._event_M)

    def read(self, number: int, seed: Sequence[int]) -> Lesson:
        """See :class:`Lessons`."""
        task, log, slots = self._task, self._log, self._task.slots
        event = int(self._event_M[number])
        item = int(log.item_E[event])
        fields: dict[str, Any] = {}
        if slots & _OF_THE_PAST:
            fields |= self._past.before(event)
        if slots & OF_AN_ITEM:
            fields["item"] = item
        if "rating" in slots:
            fields["rating"] = log.rating(event)
        for name in slots & {"query", "review"}:
            fields[name] = log.text(_COLUMNS[name], event)
        fitting: tuple[int, ...] = (item,)
        if slots & {"hint", "attribute", "candidates"}:
            draw = np.random.default_rng(seed)
            if "hint" in slots:
                fields["hint"] = _one_of(self._features(event), draw)
            if "attribute" in slots:
                fields["attribute"] = _one_of(self._items.attributes(item), draw)
            if "candidates" in slots and self._guides is not None:
                fields["candidates"] = self._guides.of(item, draw)
            elif "candidates" in slots:
                fitting = self._fitting(event, draw, past=fields.get("history", ()))
                fields["candidates"] = self._among_others(event, fitting, draw)
        request = Request(task=task.name, **fields)
        return Lesson(request, self._answer(event, request, fitting))

    def _answer(self, event: int, request: Request, fitting: tuple[int, ...]) -> RightAnswer:
        target = self._task.target
        answer: RightAnswer | None
        if target == "items":
            answer = fitting
        elif target == "rating":
            answer = self._log.rating(event)
        elif target in _COLUMNS:
            answer = self._log.text(_COLUMNS[target], event)
        else:
            answer = self._items.tell(int(self._log.item_E[event]), target, request.attribute)
        assert answer is not None
        return answer

    def _can_be_learnt_E(self) -> Bools:
        """Mark the events that have all that the task's prompts and answers tell."""
        log, slots = self._log, self._task.slots
        able_E = np.ones(len(log), dtype=np.bool_)
        for name in {*slots, self._task.target}:
            if name in _COLUMNS:
                able_E &= log.has_text_E(_COLUMNS[name])
            elif name == "rating":
                able_E &= log.has_rating_E
        for name in slots & OF_AN_ITEM:
            able_E &= self._items.has_N(name)[log.item_E]
        if self._task.target in OF_AN_ITEM:
            able_E &= self._items.can_answer_N(self._task.target)[log.item_E]
        if slots <= _OF_THE_PAST | {"candidates"}:
            able_E &= log.follows_another_E  # nothing but the past speaks of what comes next
        if "hint" in slots:
            for event in np.flatnonzero(able_E):
                able_E[event] = bool(self._features(int(event)))
        return able_E

    def _refuse_other_scales(self, scale: Sequence[float]) -> None:
        """Refuse ratings that no answer can be, before a training meets the first."""
        ratings = self._log.ratings(self._event_M.astype(np.int64))
        given = sorted({rating for rating in ratings if rating is not None})
        foreign = [rating for rating in given if not np.isclose(rating, scale, atol=1e-4).any()]
        if foreign:
            raise TaskError(
                f"{foreign[0]:g} was given in the data set {self._log.dataset.name!r}, but is not "
                f"on the scale {tuple(scale)}; set prompts.rating_scale to all that can be given, "
                f"such as {tuple(given[:20])}"
            )

    def _features(self, event: int) -> list[str]:
        return feature_words(self._log.text("text", event) or "", within=self._words // 2)

    def _fitting(
        self, event: int, draw: np.random.Generator, *, past: Sequence[int]
    ) -> tuple[int, ...]:
        """Take the item of an event and, for a selection, what its user meets next in train."""
        if self._task.answer != "items":
            return (int(self._log.item_E[event]),)
        count = int(draw.integers(1, MOST_FITTING + 1))
        items = self._log.item_E[event : min(event + count, self._log.stop(event))].tolist()
        return tuple(dict.fromkeys(item for item in items if item not in past))

    def _among_others(
        self, event: int, fitting: tuple[int, ...], draw: np.random.Generator
    ) -> tuple[int, ...]:
        """Mix items with others that the user never meets, in train or later."""
        met = self._log.met(event)
        others: list[int] = []
        wanted = min(self._candidates, self._items.count - len(met) + len(fitting)) - len(fitting)
        while len(others) < wanted:
            drawn = draw.integers(self._items.count, size=2 * wanted).tolist()
            others += [row for row in dict.fromkeys(drawn) if row not in met]
            met.update(others)
        mixed = draw.permutation([*fitting, *others[: max(wanted, 0)]])
        return tuple(mixed.tolist())


class WindowLessons:
    """Stretches of histories: a decoder learns each of their items from what stands before it.

    They cover every event that has another before it. An item stands in a user's stretches once, by
    the latest event, so that none is learnt from itself.
    """

    def __init__(self, task: Task, log: TrainLog, renderer: Renderer) -> None:
        self._task = task
        self._log = log.where(log.is_latest_E)
        self._past = KnownPast(self._log, renderer)
        window = renderer.config.history_items
        _, first_U, count_U = np.unique(self._log.user_E, return_index=True, return_counts=True)
        # A user's first event has nothing before it. The others are cut into windows from the last
        # one backwards, so only the oldest window may be short.
        windows_U = -(-(count_U - 1) // window)
        before_U = np.cumsum(windows_U) - windows_U
        number_M = np.arange(windows_U.sum()) - np.repeat(before_U, windows_U)
        last_M = np.repeat(first_U + count_U - 1, windows_U)
        self._event_M = (last_M - window * number_M).astype(np.int32)

    def __len__(self) -> int:
        return len(self._event_M)

    def read(self, number: int, seed: Sequence[int]) -> Lesson:
        """See :class:`Lessons`."""
        event = int(self._event_M[number])
        request = Request(task=self._task.name, **self._past.before(event))
        return Lesson(request, int(self._log.item_E[event]))


class ItemLessons:
    """One lesson an item, from the catalogue alone."""

    def __init__(self, task: Task, renderer: Renderer) -> None:
        self._task = task
        self._items = KnownItems(renderer)
        able_N = self._items.can_answer_N(task.target)
        for name in task.slots:
            able_N &= self._items.has_N(name)
        self._item_M = np.flatnonzero(able_N).astype(np.int32)

    def __len__(self) -> int:
        return len(self._item_M)

    def read(self, number: int, seed: Sequence[int]) -> Lesson:
        """See :class:`Lessons`."""
        item = int(self._item_M[number])
        attribute = None
        if "attribute" in self._task.slots:
            draw = np.random.default_rng(seed)
            attribute = _one_of(self._items.attributes(item), draw)
        request = Request(task=self._task.name, item=item, attribute=attribute)
        return Lesson(request, self._items.tell(item, self._task.target, attribute))


def _one_of(words: Sequence[str], draw: np.random.Generator) -> str:
    return words[int(draw.integers(len(words)))]
