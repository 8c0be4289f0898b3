"""The proof that no answer is in the data that a recommender learned from or is asked with."""

import numpy as np

from genrec.data import Interactions
from genrec.data.catalogue import Bools
from genrec.eval.intervals import Ints


class LeakError(ValueError):
    """A recommender could have seen what it must predict; the message names the user."""


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
            f"{name_of(interactions, int(known[0]))} is to be predicted, but the recommender "
            f"learned from it or from later events of the same user; so for {len(known)} of "
            f"{len(events)} events: train on split.train only"
        )


def name_of(interactions: Interactions, event: int) -> str:
    """Name an event for an error."""
    user = interactions.users[int(interactions.user_of[event])]
    return f"event {event} of user {user!r}"
