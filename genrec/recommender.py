"""What a recommender is asked and what it answers: all that eval and the HTTP service know."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question about one user. Items are rows of the catalogue."""

    task: str = "recommend"
    """Name of a task: ``recommend``, ``search``, ``rate`` or ``explain``."""

    history: tuple[int, ...] = ()
    """The user's items, oldest first. The item asked for is never among the later ones."""

    ratings: tuple[float | None, ...] = ()
    """What the user gave each item of the history; empty, or as long as the history."""

    query: str | None = None
    """The words that the user searches for; only ``search`` has them."""

    item: int | None = None
    """The item to rate or to explain."""

    rating: float | None = None
    """The rating to explain, where it is known."""

    exclude: tuple[int, ...] = ()
    """Items that the answer must not name."""

    only: tuple[int, ...] | None = None
    """The items that the answer may name; ``None`` allows the whole catalogue."""

    def __post_init__(self) -> None:
        if self.ratings and len(self.ratings) != len(self.history):
            raise ValueError(
                f"{len(self.ratings)} ratings were given for a history of {len(self.history)} "
                "items; give one per item (None where it is unknown) or none at all"
            )


class Ranking(NamedTuple):
    """Items, best first, with the score of each: a log-probability where a model gives one."""

    items: np.ndarray[Any, np.dtype[np.int64]]
    scores: np.ndarray[Any, np.dtype[np.float32]]


@runtime_checkable
class Recommender(Protocol):
    """Anything that ranks items and answers in text: a baseline, a model, a remote service."""

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank up to ``k`` distinct items for every request, best first.

        A ranking is shorter than ``k`` only where fewer items are allowed.
        """
        ...

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Answer every request in text: a rating such as ``"4"``, or an explanation."""
        ...
