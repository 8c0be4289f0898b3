"""From settings to what is trained: the prompts with their vocabulary, and the model."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from genrec.data import Dataset, Dialogue
from genrec.models import (
    AdaptConfig,
    BackboneConfig,
    VisionConfig,
    adapt,
    add_vision,
    build_backbone,
)
from genrec.models.image_tokens import ImageTokenizer
from genrec.prompts import PromptConfig, Renderer, Tasks, Vocabulary, corpus, make_tokenizer
from genrec.semantic_ids import SemanticIds

Bools = np.ndarray[Any, np.dtype[np.bool_]]


def make_renderer(
    dataset: Dataset,
    train: Bools,
    ids: SemanticIds,
    tasks: Tasks,
    prompts: PromptConfig,
    *,
    learned: Iterable[str],
    backbone: BackboneConfig,
    vision: VisionConfig | None = None,
    soft_prompt: int = 0,
    dialogues: Sequence[Dialogue] = (),
    images: ImageTokenizer | None = None,
    folder: Path,
) -> Renderer:
    """Write prompts for a catalogue, with a vocabulary that is made once and kept.

    Args:
        dataset: The catalogue, and the events whose words a small tokenizer learns.
        train: Which events may be learnt from, of shape (events,).
        ids: The semantic IDs of all items.
        tasks: What can be asked.
        prompts: How items and histories are written.
        learned: The tasks that the model learns; a small tokenizer learns the words of these.
        backbone: Whose tokenizer it is.
        vision: How the model sees; decides what stands for a picture.
        soft_prompt: Soft tokens that every prompt begins with.
        dialogues: Talks about items that are learnt from.
        images: Writes pictures as codes, for tasks that answer with pictures.
        folder: Where the vocabulary is kept.
    """
    tiny = backbone.tiny
    vocabulary = Vocabulary.kept_in(
        folder,
        ids,
        lambda: make_tokenizer(
            backbone.path, corpus(dataset, train, tasks.only(learned), dialogues=dialogues),
            size=tiny.text_pieces, kind=tiny.tokenizer_kind,
        ),
        soft_prompt=soft_prompt, image_codes=0 if images is None else images.codebook_size,
    )  # fmt: skip
    if vision is not None and vision.marks:
        prompts = replace(prompts, pictures=True, picture_tokens=vision.marks)
    return Renderer(
        vocabulary=vocabulary, ids=ids, catalogue=dataset.catalogue, tasks=tasks, config=prompts,
        image_codes_NT=None if images is None else images.encode_catalogue(dataset.catalogue),
    )  # fmt: skip


def make_model(
    renderer: Renderer,
    *,
    backbone: BackboneConfig,
    vision: VisionConfig | None = None,
    adaptation: AdaptConfig | None = None,
    seed: int,
) -> PreTrainedModel:
    """Make a model as it is before training: loaded or new, seeing or blind, adapted.

    Args:
        renderer: Its vocabulary and how long its prompts are.
        backbone: The language model to start from.
        vision: How it sees the items' pictures; ``None`` for text alone.
        adaptation: What trains; every weight when left out.
        seed: Decides all new weights.
    """
    adaptation = adaptation or AdaptConfig()
    vocabulary, prompts = renderer.vocabulary, renderer.config
    model = build_backbone(
        backbone, vocabulary_size=len(vocabulary), special=vocabulary.special,
        max_tokens=prompts.prompt_tokens + prompts.answer_tokens, seed=seed,
        quantized=adaptation.quantized,
    )  # fmt: skip
    if vision is not None:
        model = add_vision(model, vision, picture_token=vocabulary.image, seed=seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # adapters are drawn
        return adapt(model, adaptation, new_tokens=vocabulary.new_tokens)
