"""The training loop of the RQ-VAE.

Shape letters in this file: N items, B batch, F features, D latent dimensions, L levels.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from genrec.tokenization.rqvae import RQVAE


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How an RQ-VAE is trained."""

    epochs: int = 100
    """Passes over the catalogue."""

    batch_size: int = 1024
    """Items per step, drawn at random."""

    colliding: int = 256
    """Items per step that come on top: ones that share all codes with another."""

    learning_rate: float = 2e-3
    """Of AdamW, after the warm-up; it falls linearly to zero."""

    weight_decay: float = 1e-4
    """Of AdamW."""

    warmup_steps: int = 20
    """Steps in which the learning rate rises from zero."""

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
    revived: int


class DivergedError(RuntimeError):
    """The loss is no number any more; the message names the step and the remedy."""


def train_rqvae(
    model: RQVAE,
    features_NF: Tensor,
    config: TrainingConfig,
    *,
    generator: torch.Generator,
    progress: bool = False,
) -> list[Epoch]:
    """Train a model that :meth:`~genrec.tokenization.rqvae.RQVAE.initialise` has prepared.

    Features are on the model's device. Codes that no item chose in an epoch are revived before
    the next one.

    Raises:
        DivergedError: When a loss is not finite.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    batches = math.ceil(len(features_NF) / config.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(
            (step + 1) / max(config.warmup_steps, 1), 1 - step / (batches * config.epochs)
        ),
    )
    history: list[Epoch] = []
    bar = tqdm(range(config.epochs), "train RQ-VAE", unit="epoch", disable=not progress)
    for epoch in bar:
        codes_NL, revived = revive_dead_codes(model, features_NF, generator=generator)
        sums = torch.zeros(3, device=features_NF.device)
        for rows_B in _batches(codes_NL, config, generator):
            losses = model.losses(features_NF[rows_B])
            optimizer.zero_grad(set_to_none=True)
            losses.total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            sums += torch.stack(losses[:3]).detach()
        means = (sums / batches).tolist()
        if not all(map(math.isfinite, means)):
            raise DivergedError(
                f"the loss is {means} after epoch {epoch}; lower learning_rate "
                f"{config.learning_rate} and check that the features hold no NaN"
            )
        history.append(Epoch(means[0], means[1], means[2], revived))
        bar.set_postfix(reconstruction=f"{means[0]:.4f}", revived=revived)
    return history


@torch.no_grad()
def revive_dead_codes(
    model: RQVAE, features_NF: Tensor, *, generator: torch.Generator
) -> tuple[Tensor, int]:
    """Move codes that no item has to where items are, level by level.

    A dead code takes the place of what the levels before left over of an item drawn at random, so
    that at least this item chooses it.

    Returns:
        The codes of all items afterwards, and how many codes were revived.
    """
    latents_ND = model.encode(features_NF)
    codes_NL = model.codebooks.quantize(latents_ND)
    revived = 0
    for level, codebook_KD in enumerate(model.codebooks.levels):
        counts_K = torch.bincount(codes_NL[:, level], minlength=len(codebook_KD))
        dead_K = (counts_K == 0).nonzero()[:, 0]
        if len(dead_K) == 0:
            continue
        residual_ND = latents_ND - model.codebooks.embed(codes_NL[:, :level])
        rows = torch.randperm(len(residual_ND), generator=generator)[: len(dead_K)]
        codebook_KD[dead_K[: len(rows)]] = residual_ND[rows.to(residual_ND.device)]
        codes_NL = model.codebooks.quantize(latents_ND, codes_NL[:, :level])
        revived += len(dead_K)
    return codes_NL, revived


def _batches(
    codes_NL: Tensor, config: TrainingConfig, generator: torch.Generator
) -> Iterator[Tensor]:
    """Draw the rows of every step of an epoch; groups in collision stay together."""
    groups_N, counts = torch.unique(codes_NL, dim=0, return_inverse=True, return_counts=True)[1:]
    colliding = (counts[groups_N] > 1).nonzero()[:, 0]
    colliding = colliding[groups_N[colliding].argsort(stable=True)].cpu()
    order_N = torch.randperm(len(codes_NL), generator=generator)
    for rows_B in torch.split(order_N, config.batch_size):
        if config.colliding and len(colliding) > 0:
            start = int(torch.randint(len(colliding), (1,), generator=generator))
            extra = colliding.roll(-start)[: config.colliding]
            rows_B = torch.cat([rows_B, extra])
        yield rows_B.to(codes_NL.device)
