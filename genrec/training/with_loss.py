"""A language model and its loss as one module, which is what wrappers take best.

Shape letters in this file: R rows, T tokens of a row, N tokens that count, D width, V vocabulary.
"""

from typing import Any

import torch
from peft.tuners.trainable_tokens import TrainableTokensLayer
from peft.utils.other import TrainableTokensWrapper
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from genrec.training.chunked import LogitShape, chunked_loss, recomputed_loss
from genrec.training.config import TrainingError
from genrec.training.losses import TokenLoss, weighted_loss

# What the head hands on in place of logits: it comes back as the model has changed it.
_RAMP = (-100.0, -10.0, -1.0, 0.0, 1.0, 10.0, 100.0)


class ModelWithLoss(nn.Module):
    """A model whose forward takes a batch and returns the summed loss of its tokens.

    The head computes the loss where it would compute logits, from the very hidden states that it
    gets: a T5 has scaled them by then, pictures are fused into them, ZeRO-3 has gathered the head's
    weights, PEFT has put its own head there. Only tokens that count reach the head at all, and only
    a chunk of them at a time has logits. Outside of :meth:`forward`, such as in a validation, the
    model gives logits as always; :meth:`release` takes the change back altogether.
    """

    model: PreTrainedModel

    def __init__(
        self,
        model: PreTrainedModel,
        kind: TokenLoss,
        *,
        logits_at_once: int,
        compiled: bool = False,
    ) -> None:
        """Wrap a model of transformers, or one that PEFT has adapted.

        Args:
            model: Its forward takes ``use_cache`` and returns an object with ``logits``.
            kind: The loss of a token.
            logits_at_once: Logits that stand in memory at a time; 0 takes all of a batch, as the
                model itself would compute them.
            compiled: Compile the model's forward, but for the head.
        """
        super().__init__()
        self.model = model
        self._compiled = torch.compile(model.forward) if compiled else None
        self._kind = kind
        self._logits_at_once = logits_at_once
        self._wanted: _Wanted | None = None
        self._checked = False
        if logits_at_once:
            self._shape = logit_shape(model.config)
            self._head = (model.get_output_embeddings(),)  # a tuple: the model owns the module
            self._logits = self._head[0].forward
            self._head[0].forward = self._head_forward

    def __getattr__(self, name: str) -> Any:
        """Answer for the model: accelerate and DeepSpeed ask for ``config`` and the like."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("model"), name)

    def forward(self, inputs: dict[str, Tensor], labels_RT: Tensor, weights_RT: Tensor) -> Tensor:
        """Sum the weighted losses of a batch, as a float32 scalar.

        Raises:
            TrainingError: When the model does with its head what the loss in chunks cannot know.
        """
        run = self._compiled or self.model
        if not self._logits_at_once:
            # transformers tells packed examples apart only where it keeps no cache.
            logits_RTV = run(**inputs, use_cache=False).logits
            return weighted_loss(
                logits_RTV.flatten(0, 1), labels_RT.flatten(), weights_RT.flatten(), self._kind
            )
        self._wanted = wanted = _Wanted(labels_RT, weights_RT)
        try:
            ramp = run(**inputs, use_cache=False).logits
        finally:
            self._wanted = None
        if wanted.loss is None:
            raise TrainingError(
                f"{type(self.model).__name__} did not call its output embeddings; "
                "set logits_at_once to 0"
            )
        if not self._checked:
            self._check(ramp, wanted.loss)
        # The ramp adds nothing. It leads ZeRO's hooks, which wait for the head's output, to the
        # gradients of the head.
        total: Tensor = wanted.loss + 0.0 * ramp.sum()
        return total

    def release(self) -> None:
        """Leave the model as it was."""
        if self._logits_at_once:
            self._head[0].forward = self._logits
            if self._logits == type(self._head[0]).forward.__get__(self._head[0]):
                del self._head[0].forward  # the class has it

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _head_forward(self, hidden_RTD: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self._wanted is None:
            logits_RTV: Tensor = self._logits(hidden_RTD, *args, **kwargs)
            return logits_RTV
        self._wanted.loss = loss = self._loss(hidden_RTD, self._wanted)
        ramp = torch.tensor(_RAMP, device=hidden_RTD.device, dtype=torch.float32)
        return (ramp + 0.0 * loss).view(1, 1, -1)

    def _loss(self, hidden_RTD: Tensor, wanted: "_Wanted") -> Tensor:
        if hidden_RTD.shape[:2] != wanted.labels_RT.shape:
            raise ValueError(
                f"the head got hidden states of shape {tuple(hidden_RTD.shape)}, but labels are of "
                f"shape {tuple(wanted.labels_RT.shape)}"
            )
        counted_RT = wanted.weights_RT > 0
        tokens = hidden_RTD[counted_RT], wanted.labels_RT[counted_RT], wanted.weights_RT[counted_RT]
        matrix = _matrix(self._head[0])
        options: dict[str, Any] = {
            "kind": self._kind, "shape": self._shape, "logits_at_once": self._logits_at_once
        }  # fmt: skip
        if matrix is None:
            vocabulary = self.model.get_input_embeddings().weight.shape[0]
            return recomputed_loss(self._logits, *tokens, vocabulary=vocabulary, **options)
        hidden_ND, *rest = tokens
        return chunked_loss(hidden_ND, *matrix, *rest, **options)

    def _check(self, ramp: Tensor, loss: Tensor) -> None:
        """Make sure that the model does with logits what the loss takes it to do."""
        expected = self._shape(torch.tensor(_RAMP, device=ramp.device))
        found = ramp.detach().float().flatten()
        if not torch.isfinite(loss):
            return  # the ramp is not finite either; the caller stops
        if found.shape != expected.shape or not torch.allclose(found, expected, rtol=1e-2):
            raise TrainingError(
                f"{type(self.model).__name__} changes its logits in a way that the loss in chunks "
                f"does not know ({self._shape}); set logits_at_once to 0"
            )
        self._checked = True


class _Wanted:
    """What a forward asks of the head, and its answer."""

    def __init__(self, labels_RT: Tensor, weights_RT: Tensor) -> None:
        self.labels_RT = labels_RT
        self.weights_RT = weights_RT
        self.loss: Tensor | None = None


def logit_shape(config: PreTrainedConfig) -> LogitShape:
    """Read from a model's config what it does to the output of its head."""
    config = config.get_text_config(decoder=True)
    scale = getattr(config, "logit_scale", 1.0)  # Cohere
    if config.model_type.startswith("granite"):
        scale = 1.0 / config.logits_scaling
    return LogitShape(scale, getattr(config, "final_logit_softcapping", None))


def _matrix(head: nn.Module) -> tuple[Tensor, Tensor | None] | None:
    """Return weight and bias of a head that is nothing but those, or ``None``."""
    if isinstance(head, TrainableTokensWrapper):
        head = head.token_adapter
    if isinstance(head, TrainableTokensLayer):
        # The new rows stand in the place of the old ones; gradients reach them alone.
        return head.get_merged_weights(head.active_adapters), None
    return (head.weight, head.bias) if type(head) is nn.Linear else None
