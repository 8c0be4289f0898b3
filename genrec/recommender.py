"""What a recommender is asked and what it answers: all that eval and the HTTP service know."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np


class Turn(NamedTuple):
    """What one side of a dialogue says, as data sets like ReDial record it."""

    speaker: Literal["user", "recommender"]
    text: str
    items: tuple[int, ...] = ()
    """The items that the text speaks of."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question about one user. Items are rows of the catalogue.

    Fields that a task's prompt has no place for are not looked at.
    """

    task: str = "recommend"
    """Name of a task, such as ``recommend``, ``search``, ``rate`` or ``explain``."""

    history: tuple[int, ...] = ()
    """The user's items, oldest first. The item asked for is never among the later ones."""

    ratings: tuple[float | None, ...] = ()
    """What the user gave each item of the history; empty, or as long as the history."""

    behaviours: tuple[str | None, ...] = ()
    """What the user did with each item, such as view, cart or buy; empty, or as long."""

    scenarios: tuple[str | None, ...] = ()
    """Where the user met each item, such as a shop's department; empty, or as long."""

    times: tuple[int, ...] = ()
    """When that was, in seconds; empty, or as long."""

    behaviour: str | None = None
    """What the user is about to do with the item asked for."""

    scenario: str | None = None
    """Where the user is."""

    time: int | None = None
    """When the question is asked, in seconds of the same clock as ``times``."""

    query: str | None = None
    """The words that the user searches for."""

    item: int | None = None
    """The item that is asked about."""

    attribute: str | None = None
    """The attribute of the item that is asked for."""

    rating: float | None = None
    """The rating to explain, where it is known."""

    hint: str | None = None
    """A word that an explanation should be about, such as a feature of the item."""

    review: str | None = None
    """A review to be summed up or understood."""

    dialogue: tuple[Turn, ...] = ()
    """What was said so far, oldest first."""

    candidates: tuple[int, ...] = ()
    """The items to choose among, which the prompt names."""

    exclude: tuple[int, ...] = ()
    """Items that the answer must not name."""

    only: tuple[int, ...] | None = None
    """The items that the answer may name; ``None`` allows the whole catalogue."""

    def __post_init__(self) -> None:
        for name in ("ratings", "behaviours", "scenarios", "times"):
            values = getattr(self, name)
            if values and len(values) != len(self.history):
                unknown = "" if name == "times" else " (None where it is unknown)"
                raise ValueError(
                    f"{len(values)} {name} were given for a history of {len(self.history)} items; "
                    f"give one per item{unknown} or none at all"
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


class Rating(NamedTuple):
    """A predicted rating; both numbers are NaN where the answer would be no rating."""

    expected: float
    """The mean of all ratings, each weighed by its probability."""

    likeliest: float
    """The most probable of them."""


@runtime_checkable
class Rater(Protocol):
    """A recommender that knows how likely each rating is, and need not settle for one."""

    def rate(self, requests: Sequence[Request]) -> list[Rating]:
        """Predict a rating for every request."""
        ...


@runtime_checkable
class Selector(Protocol):
    """A recommender that can name all fitting ones of some candidates."""

    def select(self, requests: Sequence[Request]) -> list[tuple[int, ...]]:
        """Choose any number of each request's candidates."""
        ...
