"""From examples to the tensors of an optimizer step, the same for any number of processes.

Shape letters in this file: R rows, T tokens of a row, S tokens of a prompt.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from genrec.models.picture_inputs import PictureInputs, PictureSource
from genrec.prompts import Example, Examples
from genrec.training.config import TrainingConfig, TrainingError

Int = np.ndarray[Any, np.dtype[np.int64]]


class Batch(NamedTuple):
    """Inputs of a model with the labels and loss weights of its logits."""

    inputs: dict[str, Tensor]
    """Keyword arguments of the model's forward."""

    labels_RT: Tensor
    """The token that each position must predict."""

    weights_RT: Tensor
    """Loss weight of each position; 0 where nothing is to be learnt."""

    def to(self, device: torch.device) -> "Batch":
        """Move all tensors to a device."""
        inputs = {name: tensor.to(device) for name, tensor in self.inputs.items()}
        return Batch(inputs, self.labels_RT.to(device), self.weights_RT.to(device))


class Collator(Protocol):
    """Turns a stream of examples into rows, and rows into a batch."""

    def rows(self, examples: Iterable[Example]) -> Iterator[list[Example]]:
        """Group examples: those of a group share a row."""
        ...

    def collate(self, rows: list[list[Example]]) -> Batch:
        """Make tensors of rows; a row may be empty."""
        ...

    def width(self, row: list[Example]) -> int:
        """Tell how wide a batch has to be for a row."""
        ...


@dataclass(frozen=True, kw_only=True)
class PackingCollator:
    """Several examples a row, end to end without padding between them, for decoders.

    Positions start at 0 with each example. transformers reads the examples' bounds from that and
    lets no token see another example (its padding-free convention).
    """

    row_tokens: int
    """Tokens of a row."""

    pad: int
    """The token that fills up a row."""

    pictures: PictureSource | None = None
    """Where the pictures come from, for models that see them."""

    open_rows: int = 32
    """Rows that are filled side by side."""

    def rows(self, examples: Iterable[Example]) -> Iterator[list[Example]]:
        """Pack first-fit into a few open rows; the fullest one leaves when nothing fits.

        Raises:
            TrainingError: When an example is longer than a row.
        """
        rows: list[list[Example]] = []
        free: list[int] = []
        for example in examples:
            size = len(example.prompt) + len(example.answer)
            if size > self.row_tokens:
                raise TrainingError(
                    f"an example of the task {example.task!r} has {size} tokens, but a row holds "
                    f"{self.row_tokens}; raise row_tokens or lower prompts.history_items"
                )
            fits = next((i for i, left in enumerate(free) if left >= size), None)
            if fits is None:
                if len(rows) == self.open_rows:
                    fullest = int(np.argmin(free))
                    free.pop(fullest)
                    yield rows.pop(fullest)
                rows.append([])
                free.append(self.row_tokens)
                fits = len(rows) - 1
            rows[fits].append(example)
            free[fits] -= size
        yield from rows

    def collate(self, rows: list[list[Example]]) -> Batch:
        """Lay the examples of every row end to end; shift labels to the position before."""
        shape = (len(rows), self.row_tokens)
        tokens_RT = np.full(shape, self.pad, dtype=np.int64)
        positions_RT = np.zeros(shape, dtype=np.int64)
        labels_RT = np.full(shape, self.pad, dtype=np.int64)
        weights_RT = np.zeros(shape, dtype=np.float32)
        seen = PictureInputs(*shape)
        for r, row in enumerate(rows):
            start = 0
            for example in row:
                tokens = np.concatenate([example.prompt, example.answer])
                answer_weights = np.full(len(example.answer), example.answer_weight)
                weights = np.concatenate([example.prompt_weights, answer_weights])
                stop = start + len(tokens)
                tokens_RT[r, start:stop] = tokens
                positions_RT[r, start:stop] = np.arange(len(tokens))
                labels_RT[r, start : stop - 1] = tokens[1:]
                weights_RT[r, start : stop - 1] = weights[1:]
                seen.place(r, start, example.owner, example.pictures)
                start = stop
            positions_RT[r, start:] = np.arange(self.row_tokens - start)
        inputs = {
            "input_ids": torch.from_numpy(tokens_RT),
            "position_ids": torch.from_numpy(positions_RT),
        }
        if self.pictures is not None:
            inputs |= seen.inputs(self.pictures)
        return Batch(inputs, torch.from_numpy(labels_RT), torch.from_numpy(weights_RT))

    def width(self, row: list[Example]) -> int:
        """Give the tokens of a row: all are padded to the same."""
        return self.row_tokens


@dataclass(frozen=True, kw_only=True)
class Seq2SeqCollator:
    """One example a row, prompt and answer apart, for encoder-decoders."""

    pad: int
    start: int
    """The token that a decoder begins with."""

    buffer: int = 1024
    """Examples among which those of a like length are put side by side."""

    bucket: int = 16
    """So many of a like length stay together; the buckets of a buffer come in a mixed order, so
    that long examples are learnt as early as short ones."""

    def rows(self, examples: Iterable[Example]) -> Iterator[list[Example]]:
        """Put examples of a like length side by side, so that little of a batch is padding."""
        stream, draw = iter(examples), np.random.default_rng(0)
        while chunk := list(islice(stream, self.buffer)):
            chunk.sort(key=lambda example: (len(example.prompt), len(example.answer)))
            for start in draw.permutation(range(0, len(chunk), self.bucket)):
                yield from ([example] for example in chunk[start : start + self.bucket])

    def collate(self, rows: list[list[Example]]) -> Batch:
        """Pad prompts and answers to the longest of the batch."""
        examples = [row[0] if row else None for row in rows]
        prompt_size = max((len(e.prompt) for e in examples if e), default=1)
        answer_size = max((len(e.answer) for e in examples if e), default=1)
        prompts_RS = np.full((len(rows), prompt_size), self.pad, dtype=np.int64)
        seen_RS = np.zeros((len(rows), prompt_size), dtype=np.int64)
        seen_RS[:, 0] = 1  # an empty row must attend to something
        labels_RT = np.full((len(rows), answer_size), self.pad, dtype=np.int64)
        weights_RT = np.zeros((len(rows), answer_size), dtype=np.float32)
        for r, example in enumerate(examples):
            if example is not None:
                prompts_RS[r, : len(example.prompt)] = example.prompt
                seen_RS[r, : len(example.prompt)] = 1
                labels_RT[r, : len(example.answer)] = example.answer
                weights_RT[r, : len(example.answer)] = example.answer_weight
        starts_R1 = np.full((len(rows), 1), self.start, dtype=np.int64)
        inputs = {
            "input_ids": torch.from_numpy(prompts_RS),
            "attention_mask": torch.from_numpy(seen_RS),
            "decoder_input_ids": torch.from_numpy(np.hstack([starts_R1, labels_RT[:, :-1]])),
        }
        return Batch(inputs, torch.from_numpy(labels_RT), torch.from_numpy(weights_RT))

    def width(self, row: list[Example]) -> int:
        """Count the tokens of the prompt, which most of the work is about."""
        return max((len(example.prompt) for example in row), default=0)


def make_collator(
    model: PreTrainedModel, *, pad: int, row_tokens: int, pictures: PictureSource | None = None
) -> PackingCollator | Seq2SeqCollator:
    """Choose the collator that fits the kind of model.

    Raises:
        ValueError: When an encoder-decoder is to see pictures.
    """
    if not model.config.is_encoder_decoder:
        return PackingCollator(row_tokens=row_tokens, pad=pad, pictures=pictures)
    if pictures is not None:
        raise ValueError("an encoder-decoder sees no pictures; take a decoder or leave them out")
    return Seq2SeqCollator(pad=pad, start=model.config.decoder_start_token_id)


class Position(NamedTuple):
    """Where in the data a run stands."""

    epoch: int
    step: int
    """Steps of this epoch that were done."""


@dataclass(frozen=True, kw_only=True)
class StepStream:
    """The rows of one optimizer step after the other, without end.

    Which examples form a step depends on the seed and on ``rows_per_step`` alone: every process
    forms the same steps and takes its own share of the rows, so one process or eight learn the
    same, and a run can go on from any step.
    """

    mixture: Examples
    """A :class:`genrec.prompts.Mixture`, or a blend of several."""

    collator: Collator
    rows_per_step: int

    def read(self, position: Position) -> Iterator[tuple[Position, list[list[Example]]]]:
        """Yield the rows of each step with the position behind it."""
        epoch, skip = position
        while True:
            rows = self.collator.rows(self.mixture.epoch(epoch))
            number = 0
            while step := list(islice(rows, self.rows_per_step)):
                number += 1
                if number > skip:
                    step += [[] for _ in range(self.rows_per_step - len(step))]
                    yield Position(epoch, number), step
            epoch, skip = epoch + 1, 0

    def check(self) -> None:
        """Read the first step, which refuses rows that are too short before anything is written.

        Raises:
            TrainingError: When an example of it is longer than a row.
        """
        next(self.read(Position(0, 0)))

    def share(
        self, rows: list[list[Example]], *, rank: int, world: int, micro_rows: int
    ) -> list[Batch]:
        """Collate the rows of one process, in batches of at most ``micro_rows``.

        Rows of a like width share a batch, so that little of it is padding.
        """
        mine = sorted(rows, key=self.collator.width)[rank::world]
        return [
            self.collator.collate(mine[start : start + micro_rows])
            for start in range(0, len(mine), micro_rows)
        ]


def make_stream(
    mixture: Examples,
    model: PreTrainedModel,
    config: TrainingConfig,
    *,
    pad: int,
    pictures: PictureSource | None = None,
) -> StepStream:
    """Feed examples to a model in steps of the size that its training has.

    Args:
        mixture: A :class:`genrec.prompts.Mixture`, or a blend of several.
        model: Decides how examples become rows; see :func:`make_collator`.
        config: How long rows are, and how many make a step.
        pad: Number of the padding token.
        pictures: Where the pictures of prompts come from, for a model that sees them.
    """
    collator = make_collator(model, pad=pad, row_tokens=config.row_tokens, pictures=pictures)
    return StepStream(mixture=mixture, collator=collator, rows_per_step=config.rows_per_step)
