"""One decoder of the benchmark of pictures: how it is made, trained and served."""

import dataclasses
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from transformers import PreTrainedModel

from genrec.config import to_dict
from genrec.data import Catalogue, Dataset, Split, sample_events
from genrec.eval.validation import Validation
from genrec.models import (
    BackboneConfig,
    TinyConfig,
    VisionConfig,
    pictures_for,
)
from genrec.prompts import Mixture, PromptConfig, Renderer, Tasks
from genrec.semantic_ids import SemanticIds
from genrec.serving import TransformersRecommender
from genrec.training import (
    Trained,
    TrainingConfig,
    claim_run_folder,
    make_accelerator,
    make_model,
    make_renderer,
    make_stream,
    train,
)


@dataclass(frozen=True, kw_only=True)
class SeeingConfig:
    """The decoder, its eyes, and their training."""

    model: TinyConfig = field(
        default_factory=lambda: TinyConfig(
            hidden_size=128, layers=2, heads=4, intermediate_size=256, dropout=0.2, text_pieces=500
        )
    )
    """A decoder from scratch."""

    vision: VisionConfig | None = field(
        default_factory=lambda: VisionConfig(latents=4, resampler_layers=1, gate=1.0)
    )
    """How it sees; ``None`` for a decoder that is blind."""

    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            steps=200, rows_per_step=24, row_tokens=128, micro_rows=24, learning_rate=3e-3,
            warmup_steps=40, mixed_precision="bf16", validate_every=200, checkpoint_every=200,
            log_every=50, keep_checkpoints=1, threads=1,
        )
    )  # fmt: skip
    """The optimizer."""

    prompts: PromptConfig = field(
        default_factory=lambda: PromptConfig(history_items=15, prompt_tokens=110, answer_tokens=8)
    )
    """How histories are written: semantic IDs, each with its picture where pictures are seen."""

    tasks: dict[str, float] = field(
        default_factory=lambda: {"recommend": 1.0, "picture_to_item": 1.0}
    )
    """How many times an epoch shows the examples of each task; a blind decoder has no use for
    those that ask about pictures. They teach which semantic ID looks how."""

    validation_users: int = 300
    """Validate on so many users, drawn by the seed."""


class Seeing(NamedTuple):
    """A trained decoder and how its training went."""

    model: PreTrainedModel
    renderer: Renderer
    trained: Trained

    def serve(self, catalogue: Catalogue) -> TransformersRecommender:
        """Serve the decoder with the pictures of a catalogue, which may be other ones."""
        return serve(self.model, self.renderer, catalogue)


def serve(
    model: PreTrainedModel, renderer: Renderer, catalogue: Catalogue
) -> TransformersRecommender:
    """Serve a decoder; what it sees is computed anew."""
    pictures = pictures_for(model, catalogue)
    return TransformersRecommender(model, renderer, batch_size=128, pictures=pictures)


def train_seeing(
    dataset: Dataset,
    split: Split,
    ids: SemanticIds,
    config: SeeingConfig,
    *,
    folder: Path,
    seed: int,
) -> Seeing:
    """Train a decoder, or go on where a killed run was.

    Args:
        dataset: The data, with the pictures that are shown.
        split: What trains.
        ids: The semantic IDs of all items.
        config: Shape and training.
        folder: Gets vocabulary and checkpoints.
        seed: Decides weights, dropout and the order of the data.
    """
    told = {"config": to_dict(config), "ids": ids.fingerprint, "seed": seed}
    claim_run_folder(folder, told | {"dataset": dataset.fingerprint})
    backbone = BackboneConfig(tiny=config.model)
    renderer = make_renderer(
        dataset, split.train, ids, Tasks.load(), config.prompts, learned=config.tasks,
        backbone=backbone, vision=config.vision, folder=folder / "vocabulary",
    )  # fmt: skip
    model = make_model(renderer, backbone=backbone, vision=config.vision, seed=seed)
    mixture = Mixture(
        dataset=dataset, train=split.train, renderer=renderer, weights=config.tasks,
        every_position=config.prompts.context_weight > 0, seed=seed,
    )  # fmt: skip
    stream = make_stream(
        mixture, model, config.training, pad=renderer.vocabulary.pad,
        pictures=pictures_for(model, dataset.catalogue, training=True),
    )  # fmt: skip
    events = sample_events(split.validation, config.validation_users, seed=seed)

    validate = Validation(
        dataset=dataset, event_E=events,
        serve=lambda bare: serve(bare, renderer, dataset.catalogue),
    )  # fmt: skip
    trained = train(
        model, stream, replace(config.training, seed=seed),
        accelerator=make_accelerator(config.training, logging_dir=folder / "logs"),
        folder=folder, validate=validate, score=validate.score,
    )  # fmt: skip
    return Seeing(model.eval(), renderer, trained)


def deal_pictures(
    dataset: Dataset, share: float, *, seed: int, within: str | None = None
) -> Dataset:
    """Give a share of the pictures, drawn at random, to other items; who has none keeps none.

    Args:
        dataset: The data.
        share: How many of the pictures move.
        seed: Decides which, and where to.
        within: An attribute; pictures stay among the items that have the same value of it.
    """
    rng = np.random.default_rng(seed)
    table = dataset.catalogue.table
    rows = np.flatnonzero(dataset.catalogue.has_picture)
    moved = rng.choice(rows, size=round(share * len(rows)), replace=False)
    groups = [moved]
    if within is not None:
        value_N = table[within].to_numpy()
        groups = [moved[value_N[moved] == value] for value in np.unique(value_N)]
    source = np.arange(len(table))
    for group in groups:  # in random order already, and none keeps its own
        source[group] = np.roll(group, 1)
    pictures: pl.Series = table["picture"].gather(source)
    catalogue = Catalogue(table.with_columns(pictures))
    return dataclasses.replace(dataset, catalogue=catalogue)
