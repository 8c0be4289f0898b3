"""What a caller asks of recommendations besides the user: in the shop's own ids and columns."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict

import numpy as np
import polars as pl

from genrec.data import Catalogue, DataError
from genrec.data.errors import did_you_mean
from genrec.recommender import Bools, Diversity, Request, Sampling, Subset
from genrec.serving.asking import check_number, check_whole

Value = str | float
Bound = float | None
Condition = Value | tuple[Bound, Bound] | Sequence[Value]
"""One value, any of several in a list, or a pair ``(low, high)`` for numbers: both ends belong to
it, and ``None`` leaves one open."""

Rows = tuple[int, ...]
Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]


class Wishes(TypedDict, total=False):
    """What recommendations may name and how they are chosen."""

    exclude: Sequence[str]
    """Items that must not be named."""

    only: Sequence[str] | None
    """Items that may be named; ``None`` allows all."""

    within: Subset | None
    """A set that all items are in, such as what is in stock, from :meth:`GenRec.subset`. It is
    made once for any number of calls, which ``only`` is not."""

    boosts: Mapping[str, float]
    """What is added to the log-probabilities of some items."""

    diversity: Diversity | None
    """How many items may be of one kind: no more than ``at_most`` whose semantic IDs begin with the
    same ``codes``."""

    temperature: float | None
    """Draw the items by chance, without replacement; above 1 evens their chances out. ``None``
    takes the likeliest."""

    seed: int | None
    """Decides the draw of the first user, and the next numbers those of the others; ``None`` draws
    anew each time."""

    repeat: bool
    """Whether items of the history may be named again."""


def with_wishes(
    requests: Sequence[Request],
    catalogue: Catalogue,
    *,
    exclude: Sequence[str] = (),
    only: Sequence[str] | None = None,
    within: Subset | None = None,
    boosts: Mapping[str, float] | None = None,
    diversity: Diversity | None = None,
    temperature: float | None = None,
    seed: int | None = None,
    repeat: bool = False,
) -> list[Request]:
    """Write the same wishes into all requests; see :class:`Wishes`.

    Raises:
        DataError: When an id is not in the catalogue.
        TypeError: When a wish is of another type.
        ValueError: When wishes contradict each other.
    """
    if temperature is not None:
        check_number("temperature", temperature, "above 0, such as 1.0")
    if seed is not None:
        check_whole("seed", seed)
    if temperature is None and seed is not None:
        raise ValueError("a seed decides a draw; give a temperature, such as 1.0, to have one")
    if not isinstance(within, Subset | None):
        raise TypeError(
            f"within is a set that GenRec.subset makes, not a {type(within).__name__}; a few items "
            "go into only"
        )
    if not isinstance(boosts, Mapping | None):
        raise TypeError(
            f"boosts map item ids to numbers, such as {{'item-1': 0.5}}; this is a "
            f"{type(boosts).__name__}"
        )
    for name, boost in (boosts or {}).items():
        check_number(f"the boost of {name!r}", boost, "such as 0.5")
    if not isinstance(diversity, Diversity | None):
        raise TypeError(
            f"diversity is a Diversity, such as Diversity(at_most=2), not {diversity!r}"
        )
    banned = tuple(catalogue.rows(exclude))
    wanted = None if only is None else tuple(catalogue.rows(only))
    boosts = boosts or {}
    boosted = tuple(zip(catalogue.rows(boosts), boosts.values(), strict=True))
    return [
        replace(
            request,
            exclude=banned if repeat else (*banned, *request.history),
            only=_both(request.candidates or None, wanted),
            within=within,
            boosts=boosted,
            diversity=diversity,
            sampling=None
            if temperature is None
            else Sampling(
                temperature=float(temperature), seed=None if seed is None else int(seed) + user
            ),
        )
        for user, request in enumerate(requests)
    ]


def choose_subset(
    catalogue: Catalogue, items: Sequence[str] | None, conditions: Mapping[str, Condition]
) -> Subset:
    """Gather the items that are listed and meet all conditions; see :meth:`GenRec.subset`."""
    if items is None and not conditions:
        raise ValueError("a set needs items or conditions, such as price=(None, 20)")
    is_in_N = np.ones(len(catalogue), dtype=np.bool_)
    if items is not None:
        listed_N = np.zeros_like(is_in_N)
        listed_N[catalogue.rows(items)] = True
        is_in_N &= listed_N
    for name, condition in conditions.items():
        is_in_N &= _meets(catalogue, name, condition)
    if not is_in_N.any():
        told = ", ".join(f"{name}={condition!r}" for name, condition in conditions.items())
        asked = f" with {told}" if told else ""
        listed = "" if items is None else f" among the {len(items)} that are listed"
        raise ValueError(f"the catalogue has no item{asked}{listed}")
    return Subset(is_in_N)


def _meets(catalogue: Catalogue, name: str, condition: Condition) -> Bools:
    """Tell which items meet a condition; those whose value is unknown do not."""
    if name not in catalogue.attributes:
        hint = did_you_mean(name, catalogue.attributes)
        raise DataError(f"the catalogue has no column {name!r}; {hint}")
    column = catalogue.table[name]
    is_text = column.dtype == pl.String
    if isinstance(condition, tuple):
        if is_text or len(condition) != 2 or any(isinstance(end, str) for end in condition):
            raise ValueError(
                f"{name}={condition!r} is no range; give a pair (low, high) for a column of "
                "numbers, or a list of values"
            )
        return _lies_between(_numbers(column), *condition)
    if condition is None:
        raise ValueError(
            f"{name}=None: give a value, values or a range; items without one have none"
        )
    values = [condition] if isinstance(condition, str | int | float) else list(condition)
    wrong = [value for value in values if isinstance(value, str) != is_text]
    if wrong:
        kind = "text" if is_text else "numbers"
        raise ValueError(f"{name}={wrong[0]!r}: the column {name!r} holds {kind}")
    if is_text:
        texts: Bools = column.is_in(values).fill_null(value=False).to_numpy()
        return texts
    number_N = _numbers(column)
    return np.isin(number_N, np.asarray(values, dtype=number_N.dtype))


def _numbers(column: pl.Series) -> Floats:
    """Read a column of numbers; NaN, which no comparison holds for, is where one is unknown."""
    number_N: Floats = (column if column.dtype.is_float() else column.cast(pl.Float64)).to_numpy()
    return number_N


def _lies_between(number_N: Floats, low: Bound, high: Bound) -> Bools:
    lies_N: Bools = ~np.isnan(number_N)
    if low is not None:
        lies_N &= number_N >= low
    if high is not None:
        lies_N &= number_N <= high
    return lies_N


def _both(one: Rows | None, other: Rows | None) -> Rows | None:
    """Keep what two sets of allowed items share; ``None`` allows all."""
    if one is None or other is None:
        return one if other is None else other
    others = set(other)
    return tuple(row for row in one if row in others)
