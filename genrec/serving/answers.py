"""Answers in the shop's own ids."""

from typing import NamedTuple

from PIL import Image


class Recommendation(NamedTuple):
    """One recommended item."""

    item_id: str
    """The shop's own id of the item."""

    score: float
    """Its log-probability."""


class Imagined(NamedTuple):
    """Pictures that were drawn for a user and a query."""

    pictures: list[Image.Image]
    guides: list[Recommendation]
    """The items that guided them, best first."""
