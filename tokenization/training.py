"""The training loop of the quantizers that gradients train.

Shape letters in this file: N items, B batch, F features, L levels, S items drawn at random, M items
in collision, D latent dimensions, C width of LETTER's embeddings.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from genrec.tokenization.groups import group_rows
from genrec.tokenization.letter import LetterConfig, LetterLosses
from genrec.tokenization.quantizer import Trainable

ROWS_AT_ONCE = 65_536
"""Items quantized at a time before the first epoch."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a quantizer is trained."""

    epochs: int = 100
    """Passes over the catalogue."""

    batch_size: int = 1024
    """Items per step, drawn at random."""

    colliding: int = 128
    """Items per step that come on top: ones that share all codes with another."""

    learning_rate: float = 2e-3
    """Of AdamW, after the warm-up; it falls linearly to zero."""

    weight_decay: float = 1e-4
    """Of AdamW."""

    warmup_steps: int = 20
    """Steps in which the learning rate rises from zero."""

    precision: Literal["bfloat16", "float32"] = "bfloat16"
    """Of the products in encoder and decoder; distances to codes are float32 always."""

    letter: LetterConfig | None = None
    """Losses of LETTER on top; none when left out."""

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size) < 1 or min(self.colliding, self.warmup_steps) < 0:
            raise ValueError(
                f"epochs {self.epochs} and batch_size {self.batch_size} must be at least 1, "
                f"colliding {self.colliding} and warmup_steps {self.warmup_steps} at least 0"
            )
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; use a small one like 1e-3")


class Epoch(NamedTuple):
    """What one pass over the catalogue gave."""

    reconstruction: float
    quantization: float
    separation: float
    letter: float
    revived: int


class DivergedError(RuntimeError):
    """The loss is no number any more; the message names the step and the remedy."""


def train_quantizer(
    model: Trainable,
    features_NF: Tensor,
    config: TrainingConfig,
    *,
    generator: torch.Generator,
    collaborative_NC: Tensor | None = None,
    progress: bool = False,
) -> list[Epoch]:
    """Train a model that has been initialised from the features.

    Features are on the model's device. Codes that no item chose in an epoch are revived before
    the next one; codes are those that items had when a step last met them.

    Args:
        model: What is trained.
        features_NF: One row per item.
        config: How it is trained.
        generator: Draws the batches, and whatever else is drawn.
        collaborative_NC: Embeddings that LETTER's contrast agrees with; a zero row says nothing.
        progress: Show a progress bar.

    Raises:
        ValueError: When LETTER's losses are asked for and cannot be had.
        DivergedError: When a loss is not finite.
    """
    if collaborative_NC is not None and len(collaborative_NC) != len(features_NF):
        raise ValueError(
            f"there are collaborative embeddings of {len(collaborative_NC)} items, but features of "
            f"{len(features_NF)}; give one row per item, zeros where nothing is known"
        )
    letter = None
    if config.letter is not None:
        letter = LetterLosses(
            config.letter, model.learnt_codebooks(), collaborative_NC, generator=generator
        )
    optimizer = torch.optim.AdamW(
        itertools.chain(model.parameters(), letter.parameters() if letter else ()),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
    )
    batches = math.ceil(len(features_NF) / config.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(
            (step + 1) / max(config.warmup_steps, 1), 1 - step / (batches * config.epochs)
        ),
    )
    codes_NL = torch.cat([model.quantize(x_BF) for x_BF in torch.split(features_NF, ROWS_AT_ONCE)])
    history: list[Epoch] = []
    bar = tqdm(range(config.epochs), "train", unit="epoch", disable=not progress)
    for epoch in bar:
        some_S = torch.randperm(len(features_NF), generator=generator)[: config.batch_size]
        revived = model.revive(codes_NL, features_NF[some_S.to(features_NF.device)])
        if letter:
            letter.start_epoch()
        sums = torch.zeros(4, device=features_NF.device)
        for rows_B in _batches(codes_NL, config, generator):
            with torch.autocast(
                features_NF.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"
            ):
                losses = model.losses(features_NF[rows_B], generator=generator)
            extra = losses.separation.new_zeros(())
            if letter:
                extra = letter(losses.quantized_BD, losses.codes_BL, rows_B)
            terms = torch.stack([*losses[:3], extra])
            optimizer.zero_grad(set_to_none=True)
            terms.sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            sums += terms.detach()
            codes_NL[rows_B] = losses.codes_BL
        means = (sums / batches).tolist()
        if not all(map(math.isfinite, means)):
            raise DivergedError(
                f"the loss is {means} after epoch {epoch}; lower learning_rate "
                f"{config.learning_rate} and check that the features hold no NaN"
            )
        history.append(Epoch(means[0], means[1], means[2], means[3], revived))
        bar.set_postfix(reconstruction=f"{means[0]:.4f}", revived=revived)
    model.finish(features_NF)
    return history


def _batches(
    codes_NL: Tensor, config: TrainingConfig, generator: torch.Generator
) -> Iterator[Tensor]:
    """Draw the rows of every step of an epoch; groups in collision stay together."""
    group_N = torch.from_numpy(group_rows(codes_NL.cpu().numpy()))
    crowd_M = (torch.bincount(group_N)[group_N] > 1).nonzero()[:, 0]
    crowd_M = crowd_M[group_N[crowd_M].argsort(stable=True)]
    order_N = torch.randperm(len(codes_NL), generator=generator)
    for rows_B in torch.split(order_N, config.batch_size):
        if config.colliding and len(crowd_M) > 0:
            start = int(torch.randint(len(crowd_M), (1,), generator=generator))
            rows_B = torch.cat([rows_B, crowd_M.roll(-start)[: config.colliding]])
        yield rows_B.to(codes_NL.device)
