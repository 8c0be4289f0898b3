"""One optimizer step: the same loss and gradients however rows fall into batches and processes."""

import contextlib
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from genrec.training.batches import Batch
from genrec.training.config import TrainingConfig, TrainingError
from genrec.training.with_loss import ModelWithLoss


class Taken(NamedTuple):
    """What an optimizer step came to, over all processes."""

    loss: float
    """Mean loss of a token, by weight."""

    tokens: int
    """Tokens of the step's rows, padding included."""


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A model with its optimizer and schedule, prepared for the way the run was launched."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LambdaLR
    accelerator: Accelerator
    config: TrainingConfig

    @classmethod
    def prepare(
        cls, model: ModelWithLoss, config: TrainingConfig, accelerator: Accelerator
    ) -> "Learner":
        """Make the optimizer and the schedule, and let accelerate wrap all three."""
        optimizer = torch.optim.AdamW(decay_groups(model, config), lr=config.learning_rate)
        schedule = LambdaLR(optimizer, lambda step: rate(step, config))
        prepared = accelerator.prepare(model, optimizer, schedule)
        return cls(
            model=prepared[0], optimizer=prepared[1], schedule=prepared[2],
            accelerator=accelerator, config=config,
        )  # fmt: skip

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return float(self.schedule.get_last_lr()[0])

    def step(self, batches: list[Batch]) -> Taken:
        """Take one optimizer step on this process's share of its rows.

        Every token counts the same however rows fall into batches and processes: sums of losses
        are divided by the weight of the whole step, not by that of a batch.

        Raises:
            TrainingError: When the loss is not finite.
        """
        accelerator, device = self.accelerator, self.accelerator.device
        weight = torch.stack([batch.weights_RT.sum() for batch in batches]).sum().to(device)
        weight = accelerator.reduce(weight, reduction="sum").clamp(min=1e-9)
        total = torch.zeros((), device=device)
        self.model.train()
        for number, batch in enumerate(batches, start=1):
            with self._synchronized(number == len(batches)):
                loss = self.model(*batch.to(device))
                # Processes average their gradients; the sum is meant.
                accelerator.backward(loss / weight * accelerator.num_processes)
            total += loss.detach()
        mean = float(accelerator.reduce(total, reduction="sum") / weight)
        refuse_infinite(mean, "loss")
        accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        tokens = sum(batch.labels_RT.numel() for batch in batches)
        return Taken(mean, tokens * accelerator.num_processes)

    def _synchronized(self, last: bool) -> contextlib.AbstractContextManager[None]:
        """Share gradients between processes only with the last batch of a step."""
        return contextlib.nullcontext() if last else self.accelerator.no_sync(self.model)


def refuse_infinite(value: float, what: str) -> None:
    """Stop before weights that are no numbers reach a checkpoint."""
    if not math.isfinite(value):
        raise TrainingError(
            f"the {what} is {value}; the last checkpoint is intact: "
            "lower learning_rate or raise warmup_steps, then start again"
        )


def decay_groups(model: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
    """Split the weights that train into those that decay and those that do not."""
    trains = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trains if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trains if p.dim() < 2], "weight_decay": 0.0},
    ]


def rate(step: int, config: TrainingConfig) -> float:
    """Share of the highest learning rate: a linear warm-up, then half a cosine."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return config.final_share + (1 - config.final_share) * cosine
