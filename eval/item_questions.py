"""Questions about items, which tie words and pictures to semantic IDs.

They are LC-Rec's alignment (https://arxiv.org/abs/2311.09049). A model may have learned from the
very same questions: the catalogue is known, so nothing leaks, and the numbers tell how well it is
known, not how well a model does on what it has not seen. A request names its item, of which a
prompt shows what the task allows; who answers from the request itself proves nothing.

Shape letters in this file: E questions, N items.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genrec.data import Catalogue, Dataset
from genrec.data.catalogue import in_words
from genrec.eval.intervals import Ints
from genrec.eval.questions import Bools, Question, Unit, has_attribute
from genrec.eval.tasks import ITEM_TASKS, check_tasks
from genrec.recommender import Request, TaskError


@dataclass(frozen=True)
class ItemQuestions:
    """The questions of one task about items of a catalogue, built one at a time while read."""

    catalogue: Catalogue
    task: str
    event_E: Ints
    """The rows of the items that can be asked about."""

    title: str
    """The attribute that names items."""

    attributes: tuple[str, ...]
    """The attributes that are asked for: of each item one that it has, drawn by its row."""

    @classmethod
    def about(
        cls,
        dataset: Dataset,
        task: str,
        items: Ints | None = None,
        *,
        title: str = "title",
        attributes: Sequence[str] = (),
    ) -> "ItemQuestions":
        """Keep the items that have what the task speaks of.

        Args:
            dataset: The data with the catalogue.
            task: One of ``ITEM_TASKS``.
            items: Rows of the items to ask about; all when left out.
            title: The attribute that names items.
            attributes: Attributes to ask for or to describe by; all when left out.

        Raises:
            TaskError: When it is no task about items, or no item has what it speaks of.
            ValueError: When the rows are not of the catalogue.
        """
        check_tasks([task])
        if task not in ITEM_TASKS:
            raise TaskError(f"{task!r} is not about items; {', '.join(ITEM_TASKS)} are")
        names = tuple(attributes) or dataset.catalogue.attributes
        rows = _rows(items, len(dataset.catalogue))
        if task != "picture_to_item":
            for name in (title,) if "title" in task else names:
                has_attribute(dataset, name, task)  # refuses what the catalogue does not know
        askable = rows[_has_what_it_needs(dataset.catalogue, task, title, names)[rows]]
        if len(rows) and not len(askable):
            told = f"a {title}" if "title" in task else " or ".join(names)
            needed = "a picture" if task == "picture_to_item" else told or "an attribute"
            raise TaskError(
                f"none of {len(rows)} items of {dataset.name} has {needed}, so {task!r} cannot be "
                "scored; leave the task out"
            )
        return cls(dataset.catalogue, task, askable, title, names)

    def __len__(self) -> int:
        return len(self.event_E)

    @property
    def unit(self) -> Unit:
        """See :class:`~genrec.eval.questions.Asked`."""
        return "item"

    @property
    def protocol(self) -> Mapping[str, Any]:
        """See :class:`~genrec.eval.questions.Asked`."""
        return {"title": self.title, "attributes": list(self.attributes)}

    @property
    def user_E(self) -> Ints:
        """Every item stands for itself."""
        return self.event_E

    @property
    def items(self) -> int:
        """How many items the catalogue has."""
        return len(self.catalogue)

    def at(self, place_E: Ints) -> "ItemQuestions":
        """Keep the questions at some places."""
        return replace(self, event_E=self.event_E[place_E])

    def askable(self, told: Catalogue) -> Bools:
        """Tell which questions can be asked where this is told of the items, of shape (E,).

        What a question shows must be there. What it asks for need not: the right answer is what
        the questions' own catalogue says.
        """
        if self.task in ("item_to_title", "attribute"):
            return np.ones(len(self), dtype=np.bool_)
        return _has_what_it_needs(told, self.task, self.title, self.attributes)[self.event_E]

    def user_name(self, question: Question) -> str:
        """Name the item by its raw id."""
        return f"item {self.catalogue.item_ids[question.target]}"

    def __iter__(self) -> Iterator[Question]:
        for row in self.event_E.tolist():
            attribute, text = self._told(row)
            request = Request(task=self.task, item=row, attribute=attribute)
            yield Question(row, request, row, float("nan"), text)

    def _told(self, row: int) -> tuple[str | None, str]:
        """Choose the attribute that is asked for, and tell the right answer in words."""
        if self.task == "item_to_title":
            return None, in_words(self.catalogue.describe(row, [self.title])[self.title])
        if self.task != "attribute":
            return None, ""
        known = self.catalogue.describe(row, self.attributes)
        names = list(known)
        name = names[int(np.random.default_rng([row, len(names)]).integers(len(names)))]
        return name, in_words(known[name])


def sample_items(catalogue: Catalogue, count: int, *, seed: int) -> Ints:
    """Draw rows of some items by the seed; 0 takes all."""
    if not 0 < count < len(catalogue):
        return np.arange(len(catalogue))
    return np.sort(np.random.default_rng(seed).choice(len(catalogue), size=count, replace=False))


def _rows(items: Ints | None, count: int) -> Ints:
    if items is None:
        return np.arange(count)
    rows = np.asarray(items, dtype=np.int64)
    if len(rows) and not 0 <= rows.min() <= rows.max() < count:
        raise ValueError(
            f"items go from {rows.min()} to {rows.max()}, but the catalogue has rows 0 to "
            f"{count - 1}"
        )
    if len(np.unique(rows)) < len(rows):
        raise ValueError("an item is listed twice; every item counts once")
    return rows


def _has_what_it_needs(
    catalogue: Catalogue, task: str, title: str, attributes: tuple[str, ...]
) -> Bools:
    """Tell which items have what a task speaks of, of shape (N,)."""
    if task == "picture_to_item":
        return catalogue.has_picture
    known_N = np.zeros(len(catalogue), dtype=np.bool_)
    for name in (title,) if "title" in task else attributes:
        known_N |= catalogue.table[name].is_not_null().to_numpy()
    return known_N
