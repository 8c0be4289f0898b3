"""The same training by genrec and by transformers' Trainer, measured step by step.

Shape letters in this file: R rows, T tokens of a row or steps of a run, N items, L levels.
"""

import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import IterableDataset
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from genrec.data import leave_one_out
from genrec.data.toy_shop import ToyShopConfig, toy_shop
from genrec.models import TinyConfig, build_tiny
from genrec.prompts import (
    Example,
    Mixture,
    PromptConfig,
    Renderer,
    Tasks,
    Vocabulary,
    corpus,
    train_tokenizer,
)
from genrec.semantic_ids import SemanticIds
from genrec.training import (
    PackingCollator,
    Position,
    StepStream,
    TrainingConfig,
    make_accelerator,
    train,
)


@dataclass(frozen=True, kw_only=True)
class Config:
    steps: int = 24
    """Optimizer steps of a run; the first quarter is not counted."""

    rows: int = 16
    """Rows of a step."""

    row_tokens: int = 256
    """Tokens of a row."""

    layers: int = 4
    """Layers of the decoder."""

    width: int = 128
    """Hidden size of the decoder, with heads of 32."""

    users: int = 400
    """Users of the toy shop."""

    precision: Literal["no", "bf16"] = "no"
    """Precision of matrix products."""

    runs: int = 3
    """Runs of each, in turns, of which the fastest counts."""

    loss: tuple[str, ...] = ()
    """Options for loss.py, such as ``[--tokens=4096]``."""

    seed: int = 0
    """Seed of data and weights."""


class Measured(NamedTuple):
    seconds: float
    """Of a step."""

    processor_seconds: float
    """Of a step, whatever else the machine does."""

    megabytes: float
    """At most, beyond what there was at the start."""


def make_stream(config: Config) -> tuple[StepStream, PreTrainedModel]:
    """Make the rows of the toy shop and a model that reads them."""
    shop = ToyShopConfig(users=config.users, missing_pictures=1.0)
    dataset = toy_shop(shop, seed=config.seed).dataset
    train_events, tasks = leave_one_out(dataset.interactions).train, Tasks.load()
    numbers = np.arange(len(dataset.catalogue))
    codes_NL = np.stack(np.unravel_index(numbers, (16,) * 3), axis=1).astype(np.int32)
    ids = SemanticIds(codes_NL, (16,) * 3)
    tokenizer = train_tokenizer(corpus(dataset, train_events, tasks), size=1000)
    renderer = Renderer(
        vocabulary=Vocabulary.extend(tokenizer, ids), ids=ids, catalogue=dataset.catalogue,
        tasks=tasks, config=PromptConfig(prompt_tokens=config.row_tokens - 64),
    )  # fmt: skip
    vocabulary = renderer.vocabulary
    mixture = Mixture(
        dataset=dataset, train=train_events, renderer=renderer, seed=config.seed,
        weights={"recommend": 1.0, "search": 0.5, "rate": 0.5}, every_position=True,
    )  # fmt: skip
    shape = TinyConfig(
        hidden_size=config.width, layers=config.layers, heads=config.width // 32,
        intermediate_size=4 * config.width, dropout=0.0,
    )  # fmt: skip
    model = build_tiny(
        shape, vocabulary_size=len(vocabulary), special=vocabulary.special,
        max_tokens=config.row_tokens, seed=config.seed,
    )  # fmt: skip
    collator = PackingCollator(row_tokens=config.row_tokens, pad=vocabulary.pad)
    return StepStream(mixture=mixture, collator=collator, rows_per_step=config.rows), model


class Clock(TrainerCallback):  # type: ignore[misc]
    """Notes when each step ends, by the clock and by the processor."""

    def __init__(self) -> None:
        self._times: list[tuple[float, float]] = []

    def tick(self, *_: Any) -> dict[str, float]:
        """Note the end of a step; a validation that scores nothing."""
        self._times.append((time.perf_counter(), time.process_time()))
        return {"score": 0.0}

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Note the end of a step."""
        self.tick()

    def measured(self, before: float) -> Measured:
        """Take the median step behind the first quarter, in which memory is claimed."""
        steps_T2 = np.diff(np.array(self._times[len(self._times) // 4 :]), axis=0)
        seconds, processor_seconds = np.median(steps_T2, axis=0).tolist()
        return Measured(seconds, processor_seconds, peak() - before)


def run_genrec(config: Config) -> Measured:
    """Train with genrec's loop."""
    stream, model = make_stream(config)
    settings = TrainingConfig(
        steps=config.steps, rows_per_step=config.rows, micro_rows=config.rows,
        row_tokens=config.row_tokens, mixed_precision=config.precision, validate_every=1,
        checkpoint_every=config.steps, threads=torch.get_num_threads(),
    )  # fmt: skip
    clock, before = Clock(), peak()
    with tempfile.TemporaryDirectory() as folder:
        train(
            model, stream, settings, folder=Path(folder), validate=clock.tick, score="score",
            accelerator=make_accelerator(settings, logging_dir=Path(folder)),
        )  # fmt: skip
    return clock.measured(before)


class Rows(IterableDataset[list[Example]]):
    """The rows of the stream, one by one, for a data loader."""

    def __init__(self, stream: StepStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[list[Example]]:
        for _, rows in self._stream.read(Position(0, 0)):
            yield from rows


def run_trainer(config: Config) -> Measured:
    """Train with the Trainer, on the same rows."""
    stream, model = make_stream(config)
    model.config.use_cache = False  # as packed rows want it

    def collate(rows: list[list[Example]]) -> dict[str, torch.Tensor]:
        inputs, labels_RT, weights_RT = stream.collator.collate(rows)
        labels_RT = torch.where(weights_RT > 0, labels_RT, -100)
        # The Trainer's model shifts labels itself.
        return inputs | {"labels": functional.pad(labels_RT[:, :-1], (1, 0), value=-100)}

    clock, before = Clock(), peak()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, max_steps=config.steps, per_device_train_batch_size=config.rows,
            learning_rate=1e-3, warmup_steps=100, weight_decay=0.05,
            bf16=config.precision == "bf16", logging_strategy="no", save_strategy="no",
            report_to=[], disable_tqdm=True, dataloader_pin_memory=False,
            use_cpu=not torch.cuda.is_available(), remove_unused_columns=False,
        )  # fmt: skip
        Trainer(
            model, arguments, train_dataset=Rows(stream), data_collator=collate, callbacks=[clock]
        ).train()
    return clock.measured(before)


def peak() -> float:
    """Return the largest memory so far, in megabytes."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
