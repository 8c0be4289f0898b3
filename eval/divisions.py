"""What questions are divided by: what is known of the user, the item or the dialogue.

A part that holds few is left out, and so is a division that has one part only.

Shape letters in this file: E questions.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import polars as pl

from genrec.eval.background import POPULARITIES, Background
from genrec.eval.dialogues import DialogueQuestions
from genrec.eval.intervals import Ints
from genrec.eval.item_questions import ItemQuestions
from genrec.eval.questions import NO_ITEM, Asked, Bools
from genrec.eval.tasks import REPLY

FEWEST: Final = 30
"""Parts of fewer questions are left out: nothing can be said of them."""

_LENGTHS: Final = (0, 5, 10, 20, 50)
_TURNS: Final = (1, 3, 5, 10, 20)
_SPOKEN: Final = (0, 1, 3)
_MOST_VALUES: Final = 8

_Division = tuple[str, dict[str, Bools]]
"""Its name, and which questions are in each part, by name."""


def divisions(asked: Asked, background: Background) -> Iterator[_Division]:
    """Divide questions by all that the data can tell; yield the parts of each division by name."""
    if isinstance(asked, ItemQuestions):
        found = _of_items(asked, background)
    elif isinstance(asked, DialogueQuestions):
        found = _of_dialogues(asked, background)
    else:
        found = _of_events(asked.event_E, background)
    for name, groups in found:
        large = {part: inside_E for part, inside_E in groups.items() if inside_E.sum() >= FEWEST}
        if len(large) > 1:
            yield name, large


def _of_events(event_E: Ints, background: Background) -> Iterator[_Division]:
    interactions = background.dataset.interactions
    user_E, item_E = interactions.user_of[event_E], interactions.item[event_E].astype(np.int64)
    yield "history", _lengths(event_E - interactions.offsets[user_E], _LENGTHS, "items")
    known_E = background.trained_users[user_E]
    yield "user", {"known": known_E, "new, with no event in training": ~known_E}
    yield from _of_what(item_E, background, "next item")
    scenarios = interactions.column("scenario")
    if scenarios is not None:
        told = scenarios.fill_null("(none)")
        trained = set(told.filter(pl.Series(background.train)).unique().to_list())
        found = told.gather(pl.Series(event_E, dtype=pl.UInt32)).to_list()
        yield "scenario", _most_frequent(found)
        new_E = np.array([name not in trained for name in found])
        yield "domain", {"known": ~new_E, "new, with no event in training": new_E}


def _of_items(asked: ItemQuestions, background: Background) -> Iterator[_Division]:
    yield from _of_what(asked.event_E, background, "item")
    if asked.task == "attribute":
        yield "attribute asked for", _most_frequent([str(one.request.attribute) for one in asked])


def _of_dialogues(asked: DialogueQuestions, background: Background) -> Iterator[_Division]:
    questions = list(asked)
    turns_E = np.array([len(one.request.dialogue) for one in questions])
    yield "dialogue so far", _lengths(turns_E, _TURNS, "turns")
    spoken_E = np.array([len(one.request.exclude) for one in questions])
    yield "spoken of so far", _lengths(spoken_E, _SPOKEN, "items")
    target_E = np.array([one.target for one in questions], dtype=np.int64)
    if asked.task == REPLY:
        new_E, any_E = target_E != NO_ITEM, asked.names_items_E
        parts = {"a new item": new_E, "one that was spoken of": ~new_E & any_E, "no item": ~any_E}
        yield "named next", parts
    yield from _of_what(target_E, background, "item named next")


def _of_what(item_E: Ints, background: Background, name: str) -> Iterator[_Division]:
    """Divide questions by what is known of an item; ``NO_ITEM`` is in no part."""
    is_item_E = item_E != NO_ITEM
    popularity_E = background.popularity_N[item_E]
    yield name, {part: is_item_E & (popularity_E == g) for g, part in enumerate(POPULARITIES)}
    pictured_E = background.dataset.catalogue.has_picture[item_E]
    parts = {"with": is_item_E & pictured_E, "without": is_item_E & ~pictured_E}
    yield f"picture of the {name}", parts
    names = (*background.categories, None)  # -1, an unknown category, is the last
    places = np.where(is_item_E, background.category_N[item_E], -1)
    found = [names[place] for place in places]
    parts = _most_frequent(found) if background.categories else {}
    yield f"category of the {name}", {part: is_item_E & one for part, one in parts.items()}


def _lengths(length_E: Ints, edges: tuple[int, ...], unit: str) -> dict[str, Bools]:
    """Group questions by how much of something there is."""
    groups = {
        f"{low} to {high - 1} {unit}" if low < high - 1 else f"{low} {unit}": (length_E >= low)
        & (length_E < high)
        for low, high in itertools.pairwise(edges)
    }
    return groups | {f"{edges[-1]} {unit} or more": length_E >= edges[-1]}


def _most_frequent(names: Sequence[str | None]) -> dict[str, Bools]:
    """Group questions by the most frequent of some names, and all others together."""
    known = sorted({name for name in names if name is not None})
    place_of = {name: place for place, name in enumerate(known)}
    place_E = np.array([-1 if name is None else place_of[name] for name in names], dtype=np.int64)
    count = np.bincount(place_E[place_E >= 0], minlength=len(known))
    frequent = np.argsort(-count, kind="stable")[:_MOST_VALUES].tolist()
    groups = {known[place]: place_E == place for place in frequent}
    return groups | {"(others)": ~np.isin(place_E, frequent)}
