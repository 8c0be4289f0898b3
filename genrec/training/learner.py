"""One optimizer step: the same loss and gradients however rows fall into batches and processes."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import nn

from genrec.training.batches import Batch
from genrec.training.config import TrainingConfig, TrainingError
from genrec.training.engine import Engine
from genrec.training.shards import dimensions
from genrec.training.with_loss import ModelWithLoss


class Taken(NamedTuple):
    """What an optimizer step came to, over all processes."""

    loss: float
    """Mean loss of a token, by weight."""

    tokens: int
    """Tokens of the step's rows, padding included."""


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A model with its optimizer, prepared for the way the run was launched."""

    engine: Engine
    accelerator: Accelerator
    config: TrainingConfig

    @classmethod
    def prepare(
        cls, model: ModelWithLoss, config: TrainingConfig, accelerator: Accelerator
    ) -> "Learner":
        """Make the optimizer, and let accelerate wrap it and the model."""
        optimizer = torch.optim.AdamW(decay_groups(model, config), lr=config.learning_rate)
        engine = Engine(model, optimizer, accelerator, clip_norm=config.clip_norm)
        return cls(engine=engine, accelerator=accelerator, config=config)

    def step(self, batches: list[Batch], *, number: int) -> Taken:
        """Take optimizer step ``number``, from 0, on this process's share of its rows.

        Every token counts the same however rows fall into batches and processes: sums of losses
        are divided by the weight of the whole step, not by that of a batch.

        Raises:
            TrainingError: When the loss is not finite.
        """
        engine, accelerator, device = self.engine, self.accelerator, self.accelerator.device
        weight = torch.stack([batch.weights_RT.sum() for batch in batches]).sum().to(device)
        weight = accelerator.reduce(weight, reduction="sum").clamp(min=1e-9)
        total = torch.zeros((), device=device)
        engine.model.train()
        for part, batch in enumerate(batches, start=1):
            with engine.part(last=part == len(batches)):
                loss = engine.model(*batch.to(device))
                # Processes average their gradients; the sum is meant.
                engine.backward(loss / weight * accelerator.num_processes)
            total += loss.detach()
        mean = float(accelerator.reduce(total, reduction="sum") / weight)
        refuse_infinite(mean, "loss")
        engine.step(learning_rate=learning_rate(number, self.config))
        tokens = sum(batch.labels_RT.numel() for batch in batches)
        return Taken(mean, tokens * accelerator.num_processes)


def refuse_infinite(value: float, what: str) -> None:
    """Stop before weights that are no numbers come of it."""
    if not math.isfinite(value):
        raise TrainingError(
            f"the {what} is {value}; what was saved before is intact: begin anew with a lower "
            "learning_rate or a higher warmup_steps"
        )


def decay_groups(model: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
    """Split the weights that train into those that decay and those that do not."""
    trains = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trains if dimensions(p) >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trains if dimensions(p) < 2], "weight_decay": 0.0},
    ]


def learning_rate(step: int, config: TrainingConfig) -> float:
    """The learning rate of a step, from 0."""
    return config.learning_rate * rate(step, config)


def rate(step: int, config: TrainingConfig) -> float:
    """Share of the highest learning rate: a linear warm-up, then half a cosine."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return config.final_share + (1 - config.final_share) * cosine
