"""A shop of a dozen items for tests, made in milliseconds."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image
from transformers import PreTrainedModel

from genrec.data import Catalogue, Dataset, Interactions
from genrec.data.toy_pictures import encode_png
from genrec.models import TinyConfig, build_tiny
from genrec.prompts import PromptConfig, Renderer, Tasks, Vocabulary, corpus, train_tokenizer
from genrec.semantic_ids import SemanticIds
from genrec.serving import Bundle, save_bundle

COLOURS = ("red", "blue", "green", "grey")
THINGS = ("phone", "case", "lamp")


def small_dataset(*, users: int = 30, events: int = 6, seed: int = 0) -> Dataset:
    """Make 12 items and users who buy the things of one colour in turn."""
    draw = np.random.default_rng(seed)
    titles = [f"{colour} {thing}" for colour in COLOURS for thing in THINGS]
    catalogue = Catalogue(
        pl.DataFrame({
            "item_id": [f"sku-{row}" for row in range(len(titles))],
            "title": titles,
            "brand": [["Acme", "Bolt", None][row % 3] for row in range(len(titles))],
            "price": [float(row + 1) for row in range(len(titles))],
        })
    )  # fmt: skip
    rows = []
    for user in range(users):
        colour, thing = int(draw.integers(len(COLOURS))), int(draw.integers(len(THINGS)))
        for time in range(events):
            item = colour * len(THINGS) + (thing + time) % len(THINGS)
            if draw.random() < 0.2:
                item = int(draw.integers(len(titles)))
            rows.append({
                "user": f"user-{user}", "item": f"sku-{item}", "time": 100 * time,
                "rating": float(draw.integers(1, 6)), "text": f"a fine {titles[item]}",
                "query": titles[item] if time % 2 else None,
            })  # fmt: skip
    interactions = Interactions.from_table(pl.DataFrame(rows), catalogue)
    return Dataset(catalogue=catalogue, interactions=interactions, name="small", info={})


def with_pictures(dataset: Dataset) -> Dataset:
    """Give every item of the small shop but the last a picture: a square of its colour."""
    squares = [Image.new("RGB", (16, 16), colour) for colour in COLOURS for _ in THINGS]
    pictures = [encode_png(square) for square in squares[:-1]] + [None]
    table = dataset.catalogue.table.with_columns(pl.Series("picture", pictures, dtype=pl.Binary))
    return dataclasses.replace(dataset, catalogue=Catalogue(table))


def small_ids() -> SemanticIds:
    """Give every item of the small shop an ID of two levels: its colour and its thing."""
    codes = [[colour, thing] for colour in range(len(COLOURS)) for thing in range(len(THINGS))]
    return SemanticIds(np.asarray(codes, dtype=np.int32), (len(COLOURS), len(THINGS)))


def small_renderer(
    dataset: Dataset | None = None, *, kind: str = "llama", config: PromptConfig | None = None
) -> Renderer:
    """Write prompts for the small shop with a tokenizer trained on it."""
    dataset = dataset or small_dataset()
    tasks = Tasks.load()
    everything = np.ones(len(dataset.interactions), dtype=bool)
    tokenizer = train_tokenizer(corpus(dataset, everything, tasks), size=400, kind=kind)
    ids = small_ids()
    return Renderer(
        vocabulary=Vocabulary.extend(tokenizer, ids),
        ids=ids,
        catalogue=dataset.catalogue,
        tasks=tasks,
        config=config or PromptConfig(),
    )


def small_model(renderer: Renderer, *, architecture: str = "llama") -> PreTrainedModel:
    """Make a model with random weights that reads the small shop's prompts."""
    shape = TinyConfig(
        architecture=architecture, hidden_size=32, layers=2, heads=2, intermediate_size=64
    )
    vocabulary = renderer.vocabulary
    return build_tiny(
        shape, vocabulary_size=len(vocabulary), special=vocabulary.special, max_tokens=512, seed=0
    ).eval()


def small_bundle(path: Path, *, architecture: str = "llama") -> Bundle:
    """Save an untrained model of the small shop as a model directory."""
    renderer = small_renderer(kind="t5" if architecture == "t5" else "llama")
    bundle = Bundle(small_model(renderer, architecture=architecture), renderer)
    save_bundle(path, *bundle, info={"steps": 0})
    return bundle
