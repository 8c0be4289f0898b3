"""Prompts written out, for tests that say what they expect in words."""

import dataclasses
import functools
from io import BytesIO

import numpy as np
import polars as pl
from PIL import Image

from genrec.data import Catalogue
from genrec.prompts import Example, PromptConfig, Renderer
from genrec.recommender import Request, Turn
from tests.small_shop import small_dataset, small_renderer

PICTURED = [0, 1, 2, 3, 4, 6, 7]
"""The items of the small shop that have a picture here; the others have none."""


def png(picture):
    """Write a picture into the bytes of a file."""
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def shop_with_pictures():
    """Give some items of the small shop a picture, which no prompt ever opens."""
    dataset = small_dataset()
    table = dataset.catalogue.table
    pictures = [Image.new("RGB", (4, 4), (20 * row, 0, 0)) for row in range(len(table))]
    bytes_of = [png(picture) if row in PICTURED else None for row, picture in enumerate(pictures)]
    catalogue = Catalogue(table.with_columns(pl.Series("picture", bytes_of, dtype=pl.Binary)))
    return dataclasses.replace(dataset, catalogue=catalogue)


@functools.cache
def _shop():
    return small_renderer(shop_with_pictures())


def renderer_of(**config) -> Renderer:
    """Write prompts for the small shop, of which some items have pictures, by another config."""
    shop = _shop()
    return Renderer(
        vocabulary=shop.vocabulary, ids=shop.ids, catalogue=shop.catalogue, tasks=shop.tasks,
        config=PromptConfig(**config),
    )  # fmt: skip


def written(renderer: Renderer, example: Example) -> str:
    """Write out a prompt's tokens as text, codes and markers included."""
    return str(renderer.vocabulary.tokenizer.decode(example.prompt.tolist()))


def owned(renderer: Renderer, example: Example) -> list[tuple[int, str]]:
    """Tell, for every picture that a prompt shows, its item and the text that sees it."""
    decode = renderer.vocabulary.tokenizer.decode
    return [
        (row, decode(example.prompt[example.owner == number].tolist()))
        for number, row in enumerate(example.pictures)
    ]


def request_for(task: str, **fields) -> Request:
    """Fill in all that any built-in task may need."""
    known = {
        "history": (0, 4), "query": "red lamp", "item": 7, "attribute": "brand", "rating": 4.0,
        "hint": "colour", "review": "a fine green case", "candidates": (2, 7, 11),
        "dialogue": (Turn("user", "something green?"), Turn("recommender", "like", (3,))),
    }  # fmt: skip
    return Request(task=task, **(known | fields))


RIGHT = {"item": 7, "items": (7, 2), "rating": 4.0, "text": "a fine green case"}
"""A right answer of each kind."""


def weights_of(renderer: Renderer, example: Example, weight: float) -> str:
    """Write out the tokens of a prompt that have some loss weight."""
    chosen = example.prompt[np.isclose(example.prompt_weights, weight)]
    return str(renderer.vocabulary.tokenizer.decode(chosen.tolist()))
