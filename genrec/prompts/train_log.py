"""The events that may be learnt from, user by user: all that training examples read of a log.

Shape letters in this file: E train events, I events.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from genrec.data import Dataset

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

# At least one character that is neither a blank nor taken out of every text (plain_text.clean).
_SAYS_SOMETHING = r"[^\p{C}\s\x{2581}\x{FFFD}]"


class TrainLog:
    """The train events of a data set, sorted as it has them: by user, then by time.

    Events are numbered from 0 within the log.
    """

    def __init__(self, dataset: Dataset, train_I: Bools) -> None:
        if len(train_I) != len(dataset.interactions):
            raise ValueError(
                f"train marks {len(train_I)} events, but the data set {dataset.name!r} has "
                f"{len(dataset.interactions)}; give the mask of a split of these interactions"
            )
        self.dataset = dataset
        self._events = dataset.interactions
        self.row_E: Ints = np.flatnonzero(train_I)
        self.item_E: Ints = self._events.item[self.row_E].astype(np.int64)
        self.user_E = self._events.user_of[self.row_E]

    def __len__(self) -> int:
        return len(self.row_E)

    @cached_property
    def first_E(self) -> Ints:
        """The first event of the same user, for every event."""
        first_E: Ints = np.searchsorted(self.user_E, self.user_E, side="left")
        return first_E

    def stop(self, event: int) -> int:
        """One past the last event of the same user."""
        return int(np.searchsorted(self.user_E, self.user_E[event], side="right"))

    @cached_property
    def is_latest_E(self) -> Bools:
        """Which events are the last one of their user with their item."""
        order = np.lexsort((self.item_E, self.user_E))
        user_E, item_E = self.user_E[order], self.item_E[order]
        latest_E = np.ones(len(self), dtype=np.bool_)
        latest_E[order[:-1]] = (np.diff(user_E) != 0) | (np.diff(item_E) != 0)
        return latest_E

    @cached_property
    def has_repeats(self) -> bool:
        """Whether some user meets some item again."""
        return not self.is_latest_E.all()

    @cached_property
    def follows_another_E(self) -> Bools:
        """Which events come after an event of the same user with another item."""
        differs_E: Bools = self.item_E != self.item_E[self.first_E]
        differing = np.concatenate([[0], np.cumsum(differs_E)])
        follows_E: Bools = differs_E | (differing[:-1] > differing[self.first_E])
        return follows_E

    def where(self, keep_E: Bools) -> "TrainLog":
        """Keep some of the events."""
        if keep_E.all():
            return self
        train_I = np.zeros(len(self._events), dtype=np.bool_)
        train_I[self.row_E[keep_E]] = True
        return TrainLog(self.dataset, train_I)

    def history(self, first: int, event: int) -> Ints:
        """List the events from ``first`` to before ``event`` that a history may show.

        Each item stands there once, by its latest event, and the item of ``event`` not at all: what
        is asked for never stands in a prompt's history, though it was bought before.
        """
        events: Ints = np.arange(first, event)
        if not self.has_repeats:
            return events
        item = self.item_E[first:event]
        _, from_the_end = np.unique(item[::-1], return_index=True)
        kept = np.sort(len(item) - 1 - from_the_end)
        shown: Ints = events[kept[item[kept] != self.item_E[event]]]
        return shown

    def met(self, event: int) -> set[int]:
        """All items that the user of an event ever meets, in train or later."""
        user = int(self.user_E[event])
        start, stop = self._events.offsets[user : user + 2]
        return set(self._events.item[start:stop].tolist())

    def held_out(self, user: int | None) -> set[int]:
        """Items that a user meets in events that are not of this log; none of an unknown user."""
        if user is None:
            return set()
        start, stop = self._events.offsets[user : user + 2]
        mine = self.row_E[np.searchsorted(self.row_E, start) : np.searchsorted(self.row_E, stop)]
        others = np.setdiff1d(np.arange(start, stop), mine)
        return set(self._events.item[others].tolist())

    def rating(self, event: int) -> float | None:
        """What the user gave; ``None`` where it is unknown."""
        return self.ratings([event])[0]

    def ratings(self, events: Sequence[int] | Ints) -> list[float | None]:
        """Ratings of several events."""
        given: list[float] = self._events.rating[self.row_E[events]].tolist()
        return [None if math.isnan(rating) else rating for rating in given]

    def times(self, events: Sequence[int] | Ints) -> list[int]:
        """When several events happened, in seconds."""
        times: list[int] = self._events.time[self.row_E[events]].tolist()
        return times

    def text(self, name: str, event: int) -> str | None:
        """What an event has in a column such as ``query``; ``None`` where it has nothing."""
        column = self._events.column(name)
        return None if column is None else column[int(self.row_E[event])]

    def texts(self, name: str, events: Sequence[int] | Ints) -> list[str | None]:
        """What several events have in a column."""
        column = self._events.column(name)
        if column is None:
            return [None] * len(events)
        return column.gather(pl.Series(self.row_E[events], dtype=pl.Int64)).to_list()

    def has_text_E(self, name: str) -> Bools:
        """Which events have something to read in a column."""
        column = self._events.column(name)
        if column is None:
            return np.zeros(len(self), dtype=np.bool_)
        told = column.gather(pl.Series(self.row_E)).str.contains(_SAYS_SOMETHING)
        return np.asarray(told.fill_null(False), dtype=np.bool_)

    @cached_property
    def has_rating_E(self) -> Bools:
        """Which events have a rating."""
        return ~np.isnan(self._events.rating[self.row_E])
