"""The same metrics for parts of the events: long histories and short, head and tail, and so on.

A part that holds nobody is left out, and so is a division of the events that has one part only.

Shape letters in this file: E events.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from genrec.eval.background import POPULARITIES, Background
from genrec.eval.intervals import Comparison, Interval, Ints, bootstrap, compare, holm
from genrec.eval.questions import Bools
from genrec.eval.results import TaskResults

FEWEST: Final = 30
"""Parts of fewer events are left out: nothing can be said of them."""

_LENGTHS: Final = (5, 10, 20, 50)
_MOST_VALUES: Final = 8


class Part(NamedTuple):
    """Some of the events, how each method does on them, and who is better there."""

    name: str
    events: int
    values: Mapping[str, Interval]
    """The metric of each method."""

    comparisons: Mapping[str, Comparison]
    """The first method against each other one; corrected over all parts of the division."""


class Division(NamedTuple):
    """The events divided by one question, such as how long the history is."""

    name: str
    parts: tuple[Part, ...]

    def gap(self, method: str) -> float:
        """Tell how far apart the best and the worst served part are, by the metric.

        The accuracy gap between groups of users or items, as in Li et al.
        (https://arxiv.org/abs/2104.10671).
        """
        values = [part.values[method].value for part in self.parts]
        return max(values) - min(values)


def slice_results(
    results: Mapping[str, TaskResults], metric: str, background: Background
) -> list[Division]:
    """Score parts of the events.

    Args:
        results: How each method did at one task, on the same events of the background's data; the
            first is compared with the others.
        metric: The metric to tell.
        background: What the events are divided by.
    """
    first = next(iter(results.values()))
    return [
        Division(name, _parts(groups, results, metric))
        for name, groups in divisions(first.event_E, background)
    ]


def divisions(event_E: Ints, background: Background) -> Iterator[tuple[str, dict[str, Bools]]]:
    """Divide events by all that the data can tell; yield the parts of each division by name."""
    for name, groups in _divisions(event_E, background):
        large = {part: inside_E for part, inside_E in groups.items() if inside_E.sum() >= FEWEST}
        if len(large) > 1:
            yield name, large


def _divisions(event_E: Ints, background: Background) -> Iterator[tuple[str, dict[str, Bools]]]:
    interactions, catalogue = background.dataset.interactions, background.dataset.catalogue
    user_E, item_E = interactions.user_of[event_E], interactions.item[event_E]
    yield "history", _lengths(event_E - interactions.offsets[user_E])
    popularity_E = background.popularity_N[item_E]
    yield "next item", {name: popularity_E == g for g, name in enumerate(POPULARITIES)}
    known_E = background.trained_users[user_E]
    yield "user", {"known": known_E, "new, with no event in training": ~known_E}
    pictured_E = catalogue.has_picture[item_E]
    yield "picture of the next item", {"with": pictured_E, "without": ~pictured_E}
    category_E = background.category_N[item_E]
    yield "category of the next item", _most_frequent(category_E, background.categories)
    scenarios = interactions.column("scenario")
    if scenarios is not None:
        told = scenarios.fill_null("(none)")
        trained = set(told.filter(pl.Series(background.train)).unique().to_list())
        found = told.gather(pl.Series(event_E, dtype=pl.UInt32))
        names = tuple(sorted(found.unique().to_list()))
        place_E = found.replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy()
        yield "scenario", _most_frequent(place_E, names)
        new_E = np.array([name not in trained for name in found.to_list()])
        yield "domain", {"known": ~new_E, "new, with no event in training": new_E}


def _lengths(length_E: Ints) -> dict[str, Bools]:
    """Group histories by their length."""
    edges = (0, *_LENGTHS)
    groups = {
        f"{low} to {high - 1} items": (length_E >= low) & (length_E < high)
        for low, high in itertools.pairwise(edges)
    }
    return groups | {f"{edges[-1]} items or more": length_E >= edges[-1]}


def _most_frequent(place_E: Ints, names: tuple[str, ...]) -> dict[str, Bools]:
    """Group events by the most frequent of some names, and all others together."""
    if not names:
        return {}
    count = np.bincount(place_E[place_E >= 0], minlength=len(names))
    frequent = np.argsort(-count, kind="stable")[:_MOST_VALUES].tolist()
    groups = {names[place]: place_E == place for place in frequent}
    return groups | {"(others)": ~np.isin(place_E, frequent)}


def _parts(
    groups: Mapping[str, Bools], results: Mapping[str, TaskResults], metric: str
) -> tuple[Part, ...]:
    (_, first), *others = results.items()
    own = first.statistics.only(metric)
    values = {
        part: {
            name: bootstrap(result.statistics.only(metric).where(inside_E))[metric]
            for name, result in results.items()
        }
        for part, inside_E in groups.items()
    }
    found: dict[str, dict[str, Comparison]] = {part: {} for part in groups}
    for name, result in others:
        other = result.statistics.only(metric)
        pairs = [
            compare(own.where(inside_E), other.where(inside_E))[metric]
            for inside_E in groups.values()
        ]
        adjusted = holm([pair.p_value for pair in pairs])
        for part, pair, p_adjusted in zip(groups, pairs, adjusted, strict=True):
            found[part][name] = pair.corrected(p_adjusted)
    return tuple(
        Part(part, int(inside_E.sum()), values[part], found[part])
        for part, inside_E in groups.items()
    )
