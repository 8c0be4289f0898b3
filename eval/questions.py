"""What a recommender is asked about held-out events."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
import polars as pl

from genrec.data import Dataset, Interactions
from genrec.data.interactions import EXTRAS
from genrec.eval.intervals import Ints
from genrec.eval.leaks import LeakError, name_of
from genrec.recommender import Request

Bools = np.ndarray[Any, np.dtype[np.bool_]]

RANKING_TASKS = ("recommend", "search", "direct")
"""Tasks that are answered by a ranking of items."""

RATING_TASKS = ("rate", "preference")
"""Tasks that are answered by a rating."""

TEXT_TASKS = ("explain", "explain_rated", "explain_hint", "summarize")
"""Tasks that are answered by a text."""

Task = Literal[
    "recommend", "search", "direct", "select", "rate", "preference", "explain", "explain_rated",
    "explain_hint", "summarize",
]  # fmt: skip
TASKS: tuple[Task, ...] = get_args(Task)
"""All tasks that can be scored on events; ``dialogues.CONVERSE`` is scored on dialogues."""

MOST_FITTING = 3
"""Of the candidates of a selection, at most so many fit (UniMP, appendix A.2)."""

_HINT_WORDS = 30
"""Hints are among so many first words of a text, as an answer's end may be cut off."""

_NEEDED = {
    "search": ("query",),
    "rate": ("rating",),
    "preference": ("text", "rating"),
    "explain": ("text",),
    "explain_rated": ("text", "rating"),
    "explain_hint": ("text",),
    "summarize": ("text", "summary"),
}


class TaskError(ValueError):
    """A task is unknown, or the data cannot carry it."""


class Question(NamedTuple):
    """A request about a held-out event, and the right answer to it."""

    event: int
    request: Request
    target: int
    """The item of the event: the one to rank first, to rate, or to explain."""

    rating: float
    """What the user gave it; NaN where there is none."""

    text: str
    """What the user wrote about it, or for ``summarize`` its summary; empty for nothing."""

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
        """Tell the raw id of the user of a question."""
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

    @classmethod
    def about(
        cls,
        dataset: Dataset,
        events: Ints,
        task: str,
        *,
        exclude_history: bool = True,
        candidates: int = 10,
    ) -> "Questions":
        """Keep the events that have what the task needs, such as a query, a rating, or a text.

        Raises:
            TaskError: When the task is unknown, or no event has what it needs.
        """
        if task not in TASKS:
            raise TaskError(f"there is no task {task!r}; there are {', '.join(TASKS)}")
        events = np.asarray(events, dtype=np.int64)
        askable = events[_has_what_it_needs(dataset.interactions, events, task)]
        if len(events) and not len(askable):
            needed = " and ".join(f"a {name}" for name in _NEEDED[task])
            raise TaskError(
                f"no event of {dataset.name} has {needed}, so {task!r} cannot be scored; "
                "leave the task out"
            )
        return cls(dataset, task, askable, exclude_history, candidates)

    def __len__(self) -> int:
        return len(self.event_E)

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
        written = "summary" if task == "summarize" else "text"
        for event in self.event_E.tolist():
            item, rating = int(interactions.item[event]), float(interactions.rating[event])
            fitting, candidates = self._choice(event)
            request = self._before(event)
            if task == "search":
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
            yield Question(event, request, item, rating, self._text(event, written), fitting)

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
