"""What a recommender is asked about held-out events, and the proof that no answer is in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genrec.data import Dataset, Interactions
from genrec.eval.intervals import Ints
from genrec.recommender import Request

Bools = np.ndarray[Any, np.dtype[np.bool_]]

RANKING_TASKS = ("recommend", "search")
"""Tasks that are answered by a ranking of items."""

TASKS = (*RANKING_TASKS, "rate", "explain")
"""All tasks that can be scored."""


class LeakError(ValueError):
    """A recommender could have seen what it must predict; the message names the user."""


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
    """What the user wrote about it; empty where there is nothing."""


@dataclass(frozen=True)
class Questions:
    """The questions of one task about held-out events, built one at a time while they are read."""

    dataset: Dataset
    task: str
    event_E: Ints
    """The events that can be asked about, in the order given."""

    exclude_history: bool = True
    """Whether answers must not name items that the user has met before."""

    @classmethod
    def about(
        cls, dataset: Dataset, events: Ints, task: str, *, exclude_history: bool = True
    ) -> "Questions":
        """Keep the events that have what the task needs: a query, a rating, or a text.

        Raises:
            TaskError: When the task is unknown, or no event has what it needs.
        """
        if task not in TASKS:
            raise TaskError(f"there is no task {task!r}; there are {', '.join(TASKS)}")
        events = np.asarray(events, dtype=np.int64)
        askable = events[_has_what_it_needs(dataset.interactions, events, task)]
        if len(events) and not len(askable):
            needed = {"search": "a query", "rate": "a rating", "explain": "a text"}[task]
            raise TaskError(
                f"no event of {dataset.name} has {needed}, so {task!r} cannot be scored; "
                "leave the task out"
            )
        return cls(dataset, task, askable, exclude_history)

    def __len__(self) -> int:
        return len(self.event_E)

    @property
    def user_E(self) -> Ints:
        """The user of each event."""
        return self.dataset.interactions.user_of[self.event_E].astype(np.int64)

    def __iter__(self) -> Iterator[Question]:
        interactions, task = self.dataset.interactions, self.task
        query_E, text_E = (_texts(interactions, self.event_E, name) for name in ("query", "text"))
        for event, query, text in zip(self.event_E.tolist(), query_E, text_E, strict=True):
            history = tuple(_history(interactions, event).tolist())
            target, rating = int(interactions.item[event]), float(interactions.rating[event])
            names_target = task not in RANKING_TASKS
            request = Request(
                task=task,
                history=history,
                ratings=_ratings(interactions, event),
                query=query if task == "search" else None,
                item=target if names_target else None,
                rating=rating if task == "explain" and not np.isnan(rating) else None,
                exclude=history if self.exclude_history and not names_target else (),
            )
            yield Question(event, request, target, rating, text or "")


def sample_users(interactions: Interactions, events: Ints, count: int, *, seed: int) -> Ints:
    """Keep the events of some users, drawn by the seed; 0 keeps those of all."""
    user_E = interactions.user_of[events]
    users = np.unique(user_E)
    if not 0 < count < len(users):
        return events
    drawn = np.random.default_rng(seed).choice(users, size=count, replace=False)
    return events[np.isin(user_E, drawn)]


def refuse_leaks(interactions: Interactions, events: Ints, train: Bools | None) -> None:
    """Check that no model has seen what it must predict: the events, or what came after them.

    That no history holds its target is checked where histories are built.

    Args:
        interactions: The data.
        events: Rows of the events to predict.
        train: Which events the recommender learned from, where that is known.

    Raises:
        LeakError: At the first event that leaks.
        ValueError: When the rows or the mask do not fit the data.
    """
    if len(events) and not 0 <= events.min() <= events.max() < len(interactions):
        raise ValueError(
            f"events go from {events.min()} to {events.max()}, but the data have rows "
            f"0 to {len(interactions) - 1}"
        )
    if len(np.unique(events)) < len(events):
        raise ValueError("an event is listed twice; every event counts once")
    if train is not None:
        _refuse_trained(interactions, events, train)


def _refuse_trained(interactions: Interactions, events: Ints, train: Bools) -> None:
    if len(train) != len(interactions):
        raise ValueError(
            f"train marks {len(train)} events, but the data have {len(interactions)}; "
            "give the mask of a split of these interactions"
        )
    rows = np.where(train, np.arange(len(interactions)), -1)
    last_U = np.maximum.reduceat(rows, interactions.offsets[:-1])
    known = events[last_U[interactions.user_of[events]] >= events]
    if len(known):
        raise LeakError(
            f"{_name(interactions, known[0])} is to be predicted, but the recommender learned from "
            f"it or from later events of the same user; so for {len(known)} of {len(events)} "
            "events: train on split.train only"
        )


def _history(interactions: Interactions, event: int) -> Ints:
    """Return the items before an event, once it is sure that the event itself is not one."""
    history = interactions.history(event)
    same_time = interactions.time[event - len(history) : event] == interactions.time[event]
    if (history[same_time] == interactions.item[event]).any():
        raise LeakError(
            f"{_name(interactions, event)} is recorded twice at the same time, so its history "
            "holds the answer; drop the duplicate"
        )
    return history.astype(np.int64)


def _name(interactions: Interactions, event: int) -> str:
    user = interactions.users[int(interactions.user_of[event])]
    return f"event {event} of user {user!r}"


def _has_what_it_needs(interactions: Interactions, events: Ints, task: str) -> Bools:
    if task == "rate":
        return ~np.isnan(interactions.rating[events])
    if task in ("search", "explain"):
        texts = _texts(interactions, events, "query" if task == "search" else "text")
        return np.array([bool(text) for text in texts], dtype=np.bool_)
    return np.ones(len(events), dtype=np.bool_)


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
