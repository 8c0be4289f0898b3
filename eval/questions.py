"""What a recommender is asked about held-out events."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple, Protocol

import numpy as np
import polars as pl

from genrec.data import Dataset, Interactions
from genrec.data.catalogue import in_words
from genrec.data.errors import did_you_mean
from genrec.data.interactions import EXTRAS
from genrec.eval.intervals import Ints
from genrec.eval.leaks import LeakError, name_of
from genrec.eval.tasks import (
    DIALOGUE_TASKS,
    ITEM_TASKS,
    QUERY_TASKS,
    TITLED_TASKS,
    check_tasks,
)
from genrec.recommender import Request, TaskError

Bools = np.ndarray[Any, np.dtype[np.bool_]]

MOST_FITTING = 3
"""Of the candidates of a selection, at most so many fit (UniMP, appendix A.2)."""

_HINT_WORDS = 30
"""Hints are among so many first words of a text, as an answer's end may be cut off."""

_NEEDED = {
    **dict.fromkeys(QUERY_TASKS, ("query",)),
    "rate": ("rating",),
    "preference": ("text", "rating"),
    "explain": ("text",),
    "explain_rated": ("text", "rating"),
    "explain_hint": ("text",),
    "summarize": ("text", "summary"),
}

NO_ITEM: Final = -1
"""The target of a question that is about no item."""

Unit = Literal["user", "item", "dialogue"]


class Question(NamedTuple):
    """A request about a held-out event, an item or a dialogue, and the right answer to it."""

    event: int
    request: Request
    target: int
    """The item that it is about: the one to rank first, to rate, or to tell of; ``NO_ITEM`` for
    none."""

    rating: float
    """What the user gave it; NaN where there is none."""

    text: str
    """What is to be said: what the user wrote about it, its summary or its title; empty for
    nothing."""

    fitting: tuple[int, ...] = ()
    """The candidates that are right, where there are candidates."""


class Asked(Protocol):
    """The questions of one task, which can be read more than once."""

    @property
    def task(self) -> str:
        """The name of the task."""
        ...

    @property
    def event_E(self) -> Ints:
        """What each question is about, by number: what runs are paired by."""
        ...

    @property
    def unit(self) -> Unit:
        """What stands for a user in ``user_E``: what is drawn together, as it is alike."""
        ...

    @property
    def protocol(self) -> Mapping[str, Any]:
        """How it is asked, by the names of the parameters of ``evaluate``."""
        ...

    @property
    def user_E(self) -> Ints:
        """The user of each question."""
        ...

    @property
    def items(self) -> int:
        """How many items the catalogue has."""
        ...

    def __len__(self) -> int:
        """Count the questions."""
        ...

    def __iter__(self) -> Iterator[Question]:
        """Build the questions, one at a time."""
        ...

    def at(self, place_E: Ints) -> "Asked":
        """Keep the questions at some places."""
        ...

    def user_name(self, question: Question) -> str:
        """Tell the raw id of the user of a question, or what it is about where it is of nobody."""
        ...


@dataclass(frozen=True)
class Questions:
    """The questions of one task about held-out events, built one at a time while they are read."""

    dataset: Dataset
    task: str
    event_E: Ints
    """The events that can be asked about, in the order given."""

    exclude_history: bool = True
    """Whether answers must not name items that the user has met before."""

    candidates: int = 10
    """How many items ``direct`` and ``select`` choose among: the right ones, and others that the
    user never meets, drawn by the event's number and so the same for all methods."""

    title: str = "title"
    """The attribute that names items, for tasks that do."""

    @classmethod
    def about(
        cls,
        dataset: Dataset,
        events: Ints,
        task: str,
        *,
        exclude_history: bool = True,
        candidates: int = 10,
        title: str = "title",
    ) -> "Questions":
        """Keep the events that have what the task needs, such as a query, a rating, or a text.

        Raises:
            TaskError: When the task is unknown or not about events, or no event has what it needs.
        """
        check_tasks([task])
        if task in (*ITEM_TASKS, *DIALOGUE_TASKS):
            about = "items" if task in ITEM_TASKS else "dialogues; call evaluate_dialogues"
            raise TaskError(f"{task!r} is no question about events, but about {about}")
        events = np.asarray(events, dtype=np.int64)
        able_E = _has_what_it_needs(dataset.interactions, events, task)
        needed = [f"a {name}" for name in _NEEDED.get(task, ())]
        if task in TITLED_TASKS:
            titled_N = has_attribute(dataset, title, task)
            if task == "history_to_title":
                able_E &= titled_N[dataset.interactions.item[events]]
                needed.append(f"an item with a {title}")
        if len(events) and not able_E.any():
            raise TaskError(
                f"no event of {dataset.name} has {' and '.join(needed)}, so {task!r} cannot be "
                "scored; leave the task out"
            )
        return cls(dataset, task, events[able_E], exclude_history, candidates, title)

    def __len__(self) -> int:
        return len(self.event_E)

    @property
    def unit(self) -> Unit:
        """See :class:`Asked`."""
        return "user"

    @property
    def protocol(self) -> Mapping[str, Any]:
        """See :class:`Asked`."""
        told = {"exclude_history": self.exclude_history, "candidates": self.candidates}
        return told | ({"title": self.title} if self.task in TITLED_TASKS else {})

    @property
    def user_E(self) -> Ints:
        """The user of each event."""
        return self.dataset.interactions.user_of[self.event_E].astype(np.int64)

    @property
    def items(self) -> int:
        """How many items the catalogue has."""
        return len(self.dataset.catalogue)

    def at(self, place_E: Ints) -> "Questions":
        """Keep the questions at some places."""
        return replace(self, event_E=self.event_E[place_E])

    def user_name(self, question: Question) -> str:
        """Tell the raw id of the user of a question."""
        interactions = self.dataset.interactions
        return str(interactions.users[int(interactions.user_of[question.event])])

    def __iter__(self) -> Iterator[Question]:
        interactions, task = self.dataset.interactions, self.task
        for event in self.event_E.tolist():
            item, rating = int(interactions.item[event]), float(interactions.rating[event])
            fitting, candidates = self._choice(event)
            request = self._before(event)
            if task in QUERY_TASKS:
                request = replace(request, query=self._text(event, "query"))
            elif task in ("preference", "summarize"):
                request = Request(task=task, review=self._text(event, "text"))
            elif task in ("rate", "explain", "explain_rated", "explain_hint"):
                told = None if task == "rate" or np.isnan(rating) else rating
                hint = self._hint(event) if task == "explain_hint" else None
                request = replace(request, item=item, rating=told, hint=hint, exclude=())
            elif candidates:
                only = candidates if task == "direct" else None
                request = replace(request, candidates=candidates, only=only)
            yield Question(event, request, item, rating, self._right(event, item), fitting)

    def _right(self, event: int, item: int) -> str:
        """Tell what is to be said about an event."""
        if self.task == "history_to_title":
            return in_words(self.dataset.catalogue.describe(item, [self.title])[self.title])
        return self._text(event, "summary" if self.task == "summarize" else "text")

    def _before(self, event: int) -> Request:
        """Tell all that the user did before an event, and when, where and how it happens."""
        interactions = self.dataset.interactions
        history = tuple(_history(interactions, event).tolist())
        past = slice(event - len(history), event)
        return Request(
            task=self.task,
            history=history,
            ratings=_ratings(interactions, event),
            behaviours=self._told("behaviour", past),
            scenarios=self._told("scenario", past),
            times=tuple(interactions.time[past].tolist()),
            behaviour=self._text(event, "behaviour") or None,
            scenario=self._text(event, "scenario") or None,
            time=int(interactions.time[event]),
            exclude=history if self.exclude_history else (),
        )

    def _choice(self, event: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Draw the items that fit and, among others, all that there are to choose from.

        For a selection these are the item of the event and some that its user meets next.
        """
        if self.task not in ("direct", "select"):
            return (), ()
        interactions, items = self.dataset.interactions, len(self.dataset.catalogue)
        user = int(interactions.user_of[event])
        start, stop = interactions.offsets[user : user + 2].tolist()
        draw = np.random.default_rng([event, items])
        count = int(draw.integers(1, MOST_FITTING + 1)) if self.task == "select" else 1
        met_before = set(interactions.item[start:event].tolist())
        coming = dict.fromkeys(interactions.item[event : min(event + count, stop)].tolist())
        first, *later = coming
        fitting = (first, *(item for item in later if item not in met_before))
        foreign = np.setdiff1d(np.arange(items), interactions.item[start:stop])
        count = min(max(self.candidates - len(fitting), 0), len(foreign))
        others = draw.choice(foreign, size=count, replace=False).tolist()
        return fitting, tuple(draw.permutation([*fitting, *others]).tolist())

    def _hint(self, event: int) -> str:
        """Draw a feature word of what the user wrote, the same for all methods."""
        words = features_of(self._text(event, "text"))
        return words[int(np.random.default_rng([event, len(words)]).integers(len(words)))]

    def _text(self, event: int, name: str) -> str:
        column = self._columns[name]
        return "" if column is None else column[event] or ""

    def _told(self, name: str, past: slice) -> tuple[str | None, ...]:
        column = self._columns[name]
        return () if column is None else tuple(column[past].to_list())

    @cached_property
    def _columns(self) -> dict[str, pl.Series | None]:
        return {name: self.dataset.interactions.column(name) for name in EXTRAS}


def features_of(text: str) -> list[str]:
    """List the words of a text that may be its subject: what an explanation is hinted to be about.

    They are the hints that models learn to follow, :func:`genrec.prompts.hints.feature_words`.
    """
    # The package of prompts imports transformers, which most evaluations do without.
    from genrec.prompts.hints import feature_words

    return feature_words(text, within=_HINT_WORDS)


def has_attribute(dataset: Dataset, name: str, task: str) -> Bools:
    """Tell which items have an attribute that a task speaks of, of shape (N,).

    Raises:
        TaskError: When the catalogue has no such attribute.
    """
    if name not in dataset.catalogue.attributes:
        raise TaskError(
            f"{task!r} speaks of the attribute {name!r}, but the catalogue of {dataset.name} has "
            f"none of that name; {did_you_mean(name, dataset.catalogue.attributes)}"
        )
    known_N: Bools = dataset.catalogue.table[name].is_not_null().to_numpy()
    return known_N


def rated_requests(dataset: Dataset, events: Ints) -> tuple[list[Request], list[float]]:
    """Return requests to rate held-out events, and the ratings that were given: to calibrate by.

    Events without a rating are left out.

    Raises:
        TaskError: When no event has a rating.
    """
    questions = list(Questions.about(dataset, events, "rate"))
    return [each.request for each in questions], [each.rating for each in questions]


def sample_users(interactions: Interactions, events: Ints, count: int, *, seed: int) -> Ints:
    """Keep the events of some users, drawn by the seed; 0 keeps those of all."""
    user_E = interactions.user_of[events]
    users = np.unique(user_E)
    if not 0 < count < len(users):
        return events
    drawn = np.random.default_rng(seed).choice(users, size=count, replace=False)
    return events[np.isin(user_E, drawn)]


def _history(interactions: Interactions, event: int) -> Ints:
    """Return the items before an event, once it is sure that the event itself is not one."""
    history = interactions.history(event)
    same_time = interactions.time[event - len(history) : event] == interactions.time[event]
    if (history[same_time] == interactions.item[event]).any():
        raise LeakError(
            f"{name_of(interactions, event)} is recorded twice at the same time, so its history "
            "holds the answer; drop the duplicate"
        )
    return history.astype(np.int64)


def _has_what_it_needs(interactions: Interactions, events: Ints, task: str) -> Bools:
    able_E = np.ones(len(events), dtype=np.bool_)
    for name in _NEEDED.get(task, ()):
        if name == "rating":
            able_E &= ~np.isnan(interactions.rating[events])
        else:
            texts = _texts(interactions, events, name)
            able_E &= np.array([bool(text) for text in texts], dtype=np.bool_)
            if task == "explain_hint":
                able_E &= np.array([bool(features_of(text or "")) for text in texts], dtype=bool)
    return able_E


def _texts(interactions: Interactions, events: Ints, name: str) -> list[str | None]:
    column = interactions.column(name)
    if column is None:
        return [None] * len(events)
    return column.gather(pl.Series(events, dtype=pl.UInt32)).to_list()


def _ratings(interactions: Interactions, event: int) -> tuple[float | None, ...]:
    """Ratings of the history; empty where there is none at all."""
    ratings = interactions.history_ratings(event).tolist()
    known = tuple(None if np.isnan(rating) else rating for rating in ratings)
    return known if any(rating is not None for rating in known) else ()
