"""One optimizer step under every launch: one process, DDP, FSDP, DeepSpeed."""

import contextlib
from collections.abc import Iterator
from typing import Any

from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch import Tensor, nn
from torch.optim import Optimizer


class Engine:
    """A model with its optimizer, as accelerate prepared them for the launch."""

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, accelerator: Accelerator, *, clip_norm: float
    ) -> None:
        """Let accelerate wrap a model and its optimizer.

        Args:
            model: Stays in use behind the wrapping.
            optimizer: Over the weights that train.
            accelerator: From :func:`genrec.training.make_accelerator`.
            clip_norm: Longest gradient. DeepSpeed clips by its own settings, where
                ``make_accelerator`` has put the same number.
        """
        self.model: Any
        self.optimizer: Any
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        self._accelerator = accelerator
        self._clip_norm = clip_norm
        self._on_deepspeed = accelerator.distributed_type == DistributedType.DEEPSPEED

    @contextlib.contextmanager
    def part(self, *, last: bool) -> Iterator[None]:
        """Hold while a part of a step's rows is computed: the last one shares the gradients."""
        if self._on_deepspeed:
            self.model.set_gradient_accumulation_boundary(last)
            yield
        elif last:
            yield
        else:
            with self._accelerator.no_sync(self.model):
                yield

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss to those of the step."""
        if self._on_deepspeed:
            # accelerator.backward would take an optimizer step with every part.
            self.model.backward(loss)
        else:
            self._accelerator.backward(loss)

    def step(self, *, learning_rate: float) -> None:
        """Clip the gradients, move the weights, forget the gradients."""
        # Set here and not by a schedule of torch: DeepSpeed's offload replaces the optimizer, and
        # a schedule would go on turning the one that was left behind.
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        if self._on_deepspeed:
            self.model.step()
            return
        self._accelerator.clip_grad_norm_(self.model.parameters(), self._clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
