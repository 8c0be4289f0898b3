"""Measure how fast prompts are rendered, how fast training eats them, and what memory they take.

    python recipes/benchmarks/prompts.py
    python recipes/benchmarks/prompts.py --dataset runs/beauty/data --tasks '{recommend: 1.0}'

The examples of the toy shop (or of a data set of one's own, with random semantic IDs) are rendered
by one process a core; each goes through a million of them and notes how much memory that adds.
Then the toy shop's decoder takes optimizer steps on all cores. The last line is JSON.
"""

import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genrec.data import Dataset, leave_one_out
from genrec.data.toy_shop import toy_shop
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
from genrec.recipe import run_recipe
from genrec.semantic_ids import SemanticIds
from genrec.training import (
    ModelWithLoss,
    Position,
    StepStream,
    TokenLoss,
    TrainingConfig,
    make_accelerator,
    make_collator,
)
from genrec.training.learner import Learner

LEVELS, CODES = 4, 256
PROMPTS = PromptConfig(history_items=20, prompt_tokens=192, answer_tokens=48)
SHAPE = TinyConfig(hidden_size=128, layers=4, heads=4, intermediate_size=512, dropout=0.2)


@dataclass(frozen=True, kw_only=True)
class Config:
    dataset: Path | None = None
    """A data set that recipes/prepare.py wrote; the toy shop when left out."""

    tasks: dict[str, float] = field(
        default_factory=lambda: {"recommend": 1.0, "search": 0.2, "rate": 0.1, "explain": 0.03}
    )
    """How many times an epoch shows the examples of each task; those of the toy shop's config."""

    examples: int = 1_000_000
    """Examples that each process renders."""

    processes: int = os.cpu_count() or 1
    """Processes that render at the same time, and threads that train."""

    steps: int = 40
    """Optimizer steps to time, of 16 rows of 256 tokens."""

    seed: int = 0


class Rendered(NamedTuple):
    """What a process did."""

    tokens: int
    seconds: float
    added_mb: float
    """How much its memory grew at most, once everything that is kept was in place."""


def main(config: Config) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(config.processes) as pool:
        numbers = range(config.processes)
        rendered = pool.starmap(render, [(config, number) for number in numbers], chunksize=1)
    tokens_per_second = sum(one.tokens / one.seconds for one in rendered)
    eaten = train_tokens_per_second(config)
    peak = max(one.added_mb for one in rendered)
    result = {
        "examples_per_second": round(sum(config.examples / one.seconds for one in rendered)),
        "tokens_per_second": round(tokens_per_second),
        "train_tokens_per_second": round(eaten),
        "times_as_fast_as_training": round(tokens_per_second / eaten, 1),
        "peak_mb_per_million": round(peak / (config.examples / 1_000_000), 1),
        "processes": config.processes,
        "examples": config.examples,
    }
    print(json.dumps(result))


def render(config: Config, number: int) -> Rendered:
    """Render after a warm-up, in which what is kept of items and texts is made."""
    mixture = make_mixture(config, seed=config.seed + number)
    examples = endless(mixture)
    for _ in range(min(len(mixture), config.examples)):
        next(examples)
    before, began, tokens, peak = resident_mb(), time.perf_counter(), 0, 0.0
    for place in range(config.examples):
        example = next(examples)
        tokens += len(example.prompt) + len(example.answer)
        if place % 10_000 == 0:
            peak = max(peak, resident_mb())
    return Rendered(tokens, time.perf_counter() - began, max(peak - before, 0.0))


def train_tokens_per_second(config: Config) -> float:
    """Time optimizer steps on rows that were rendered before; padding does not count."""
    training = TrainingConfig(
        steps=config.steps, rows_per_step=16, micro_rows=16, row_tokens=256,
        mixed_precision="bf16", threads=config.processes,
    )  # fmt: skip
    mixture = make_mixture(config, seed=config.seed)
    vocabulary = mixture.renderer.vocabulary
    model = build_tiny(
        SHAPE, vocabulary_size=len(vocabulary), special=vocabulary.special, max_tokens=256,
        seed=config.seed,
    )  # fmt: skip
    stream = StepStream(
        mixture=mixture, collator=make_collator(model, pad=vocabulary.pad, row_tokens=256),
        rows_per_step=training.rows_per_step,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        accelerator = make_accelerator(training, logging_dir=Path(folder))
    whole = ModelWithLoss(model, TokenLoss(), logits_at_once=training.logits_at_once)
    learner = Learner.prepare(whole, training, accelerator)
    steps = stream.read(Position(0, 0))
    seconds, tokens, warmup = 0.0, 0, 3
    for number in range(config.steps + warmup):
        _, rows = next(steps)
        batches = stream.share(rows, rank=0, world=1, micro_rows=training.micro_rows)
        began = time.perf_counter()
        learner.step(batches, number=number)
        if number >= warmup:
            seconds += time.perf_counter() - began
            tokens += sum(len(e.prompt) + len(e.answer) for row in rows for e in row)
    return tokens / seconds


def make_mixture(config: Config, *, seed: int) -> Mixture:
    """Open the data set and give every item an ID of its own."""
    dataset = toy_shop().dataset if config.dataset is None else Dataset.load(config.dataset)
    train = leave_one_out(dataset.interactions).train
    tasks = Tasks.load()
    number_N = np.random.default_rng(0).choice(2**31, size=len(dataset.catalogue), replace=False)
    codes_NL = number_N[:, None] // CODES ** np.arange(LEVELS) % CODES
    ids = SemanticIds(codes_NL.astype(np.int32), (CODES,) * LEVELS)
    mine = Tasks({name: tasks[name] for name in config.tasks})
    tokenizer = train_tokenizer(corpus(dataset, train, mine), size=1_000)
    renderer = Renderer(
        vocabulary=Vocabulary.extend(tokenizer, ids), ids=ids, catalogue=dataset.catalogue,
        tasks=tasks, config=PROMPTS,
    )  # fmt: skip
    return Mixture(
        dataset=dataset, train=train, renderer=renderer, weights=config.tasks,
        every_position=True, seed=seed,
    )  # fmt: skip


def endless(mixture: Mixture) -> Iterator[Example]:
    """Go through one epoch after the other."""
    for number in count():
        yield from mixture.epoch(number)


def resident_mb() -> float:
    """The memory of this process now; the highest so far where the system has no /proc."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
