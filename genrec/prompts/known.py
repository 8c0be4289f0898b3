"""What requests tell of the past and of items: read from a log and from a catalogue.

Shape letters in this file: N items, T codes of a picture.
"""

from typing import Any

import numpy as np

from genrec.prompts.config import Context
from genrec.prompts.render import Renderer, RightAnswer
from genrec.prompts.train_log import Bools, TrainLog
from genrec.recommender import TaskError


class KnownPast:
    """Reads what a request tells of the events before one."""

    def __init__(self, log: TrainLog, renderer: Renderer) -> None:
        self._log = log
        self._window = renderer.config.history_items
        self._context: frozenset[Context] = frozenset(renderer.config.history_context)

    def before(self, event: int) -> dict[str, Any]:
        """List the latest items with what is to be told of them."""
        log, context = self._log, self._context
        events = log.history(max(int(log.first_E[event]), event - self._window), event)
        told: dict[str, Any] = {"history": tuple(log.item_E[events].tolist())}
        if "rating" in context:
            told["ratings"] = tuple(log.ratings(events))
        if "gap" in context:
            *times, now = log.times([*events, event])
            told |= {"times": tuple(times), "time": now}
        for name in context & {"behaviour", "scenario"}:
            *past, now_in_words = log.texts(name, [*events, event])
            told |= {f"{name}s": tuple(past), name: now_in_words}
        return told


class KnownItems:
    """What is known of the items, as far as prompts tell it."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._catalogue = renderer.catalogue
        self._told = renderer.config.attributes or tuple(renderer.catalogue.attributes)
        self.count = len(renderer.catalogue)

    def has_N(self, name: str) -> Bools:
        """Which items have what a slot or a target tells."""
        if name == "picture":
            return np.logical_and(self._catalogue.has_picture, self._renderer.config.pictures)
        told: tuple[str, ...] = ()
        if name == "title":
            told = (self._renderer.config.title,)
        elif name in ("description", "attribute"):
            told = self._told
        else:
            return np.ones(self.count, dtype=np.bool_)
        known_N = np.zeros(self.count, dtype=np.bool_)
        for attribute in set(told) & set(self._catalogue.attributes):
            known_N |= self._catalogue.table[attribute].is_not_null().to_numpy()
        return known_N

    def can_answer_N(self, target: str) -> Bools:
        """Which items have what a task answers with."""
        if target != "picture":
            return self.has_N(target)
        codes_NT = self._renderer.image_codes_NT
        if codes_NT is None:
            return np.zeros(self.count, dtype=np.bool_)
        return np.asarray(codes_NT[:, 0] >= 0)

    def attributes(self, item: int) -> list[str]:
        """List the attributes that an item has."""
        return list(self._catalogue.describe(item, self._told))

    def tell(self, item: int, target: str, attribute: str | None) -> RightAnswer:
        """Answer with an item, its picture, or something that is known of it."""
        if target in ("item", "picture"):
            return item
        if target == "title":
            return self._renderer.items.title(item)
        if target == "attribute":
            if attribute is None:
                raise TaskError("a task that answers with an attribute needs the slot {attribute}")
            return self._renderer.items.told(item, attribute)
        names = self.attributes(item)
        return " ".join(f"{name} {self._renderer.items.told(item, name)}" for name in names)
