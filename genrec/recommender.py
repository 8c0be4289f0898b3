"""What a recommender is asked and what it answers: all that eval and the HTTP service know."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np

Bools = np.ndarray[Any, np.dtype[np.bool_]]


class TaskError(ValueError):
    """A task is unknown or makes no sense, or data or model cannot carry it."""


class Turn(NamedTuple):
    """What one side of a dialogue says, as data sets like ReDial record it."""

    speaker: Literal["user", "recommender"]
    text: str
    items: tuple[int, ...] = ()
    """The items that the text speaks of."""


@dataclass(frozen=True, eq=False)
class Subset:
    """A set of items that many requests are held to: what is in stock, a category, a price range.

    Build it once and give it to every request that it holds for: engines prepare a set when they
    first meet it, and know it again by its identity.
    """

    is_in_N: Bools
    """Whether each item of the catalogue, by its row, is in the set."""

    def __post_init__(self) -> None:
        is_in_N = np.array(self.is_in_N)  # a copy, so that nobody changes it later
        if is_in_N.dtype != np.bool_ or is_in_N.ndim != 1:
            raise ValueError(
                f"a set of items is a mask with one truth value per item, not an array of "
                f"{is_in_N.dtype} with the shape {is_in_N.shape}"
            )
        if not is_in_N.any():
            raise ValueError("the set of items is empty; a request without a set may name all")
        is_in_N.flags.writeable = False
        object.__setattr__(self, "is_in_N", is_in_N)

    def __and__(self, other: "Subset") -> "Subset":
        """Keep what is in both."""
        return Subset(self.is_in_N & other.is_in_N)

    def __len__(self) -> int:
        return int(self.is_in_N.sum())


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """No more than so many items whose semantic IDs begin alike."""

    at_most: int
    """Items of one beginning."""

    codes: int = 1
    """How many codes make a beginning."""

    def __post_init__(self) -> None:
        if self.at_most < 1 or self.codes < 1:
            raise ValueError(
                f"at_most is {self.at_most} and codes is {self.codes}; both must be at least 1"
            )


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Items drawn without replacement, by their probabilities, instead of the likeliest ones."""

    temperature: float = 1.0
    """Above 1 evens the probabilities of codes out, below 1 sharpens them."""

    seed: int | None = None
    """Decides the draw, whatever else is in the batch; ``None`` draws anew each time."""

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature is {self.temperature}; it must be above 0 and finite")


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

    within: Subset | None = None
    """A set that the answer's items are in, shared with other requests. It costs next to nothing,
    however large it is; ``only`` and ``exclude`` are for the few items of one request."""

    boosts: tuple[tuple[int, float], ...] = ()
    """Items, each with what is added to its log-probability."""

    diversity: Diversity | None = None
    """How many items may be of one kind."""

    sampling: Sampling | None = None
    """How to draw the items by chance; ``None`` takes the likeliest."""

    def __post_init__(self) -> None:
        if self.boosts and self.sampling is not None:
            raise ValueError(
                "boosts and sampling cannot be combined: a sample follows the model's "
                "probabilities; leave one of them out"
            )
        for name in ("ratings", "behaviours", "scenarios", "times"):
            values = getattr(self, name)
            if values and len(values) != len(self.history):
                unknown = "" if name == "times" else " (None where it is unknown)"
                raise ValueError(
                    f"{len(values)} {name} were given for a history of {len(self.history)} items; "
                    f"give one per item{unknown} or none at all"
                )

    def allowed(self, items: int) -> Bools:
        """Tell which items of a catalogue of this size the answer may name, of shape (items,).

        Raises:
            ValueError: When ``within`` is a set of a catalogue of another size.
        """
        is_allowed_N = np.full(items, self.only is None)
        if self.only is not None:
            is_allowed_N[list(self.only)] = True
        if self.within is not None:
            if len(self.within.is_in_N) != items:
                raise ValueError(
                    f"`within` is a set of a catalogue of {len(self.within.is_in_N)} items, "
                    f"but there are {items}"
                )
            is_allowed_N &= self.within.is_in_N
        is_allowed_N[list(self.exclude)] = False
        return is_allowed_N


def refuse_preferences(requests: Sequence[Request], who: str) -> None:
    """Refuse requests that ask for boosts, diversity or a draw, which only models know how to do.

    Raises:
        ValueError: When there is such a request.
    """
    for row, request in enumerate(requests):
        for name in ("boosts", "diversity", "sampling"):
            if getattr(request, name):
                raise ValueError(
                    f"request {row} asks for {name}, but {who} does not know how; leave it out"
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
