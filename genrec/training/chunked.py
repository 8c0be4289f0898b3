"""The loss straight from hidden states: the logits of a large vocabulary never stand in memory.

A batch of 4,096 tokens has 2.5 GB of logits at a vocabulary of 150,000, and as much again for
their gradient. Here only a chunk of tokens has logits at a time.

Shape letters in this file: N tokens that count, C tokens of a chunk, D width, V vocabulary.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from genrec.training.losses import TokenLoss, focal_weight, missing_probability, weighted_loss


class LogitShape(NamedTuple):
    """What a model does to the output of its head: cap * tanh(scale * x / cap)."""

    scale: float = 1.0
    """Cohere, Granite and others multiply."""

    cap: float | None = None
    """Gemma 2 bounds its logits softly (https://arxiv.org/abs/2408.00118, section 2)."""

    def __call__(self, logits: Tensor) -> Tensor:
        """Do the same, out of place and with gradients."""
        logits = logits * self.scale
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)


_AS_THEY_ARE = LogitShape()


def chunked_loss(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    labels_N: Tensor,
    weights_N: Tensor,
    *,
    kind: TokenLoss,
    shape: LogitShape = _AS_THEY_ARE,
    logits_at_once: int,
) -> Tensor:
    """Sum the weighted losses of a linear head, with gradients computed on the way forward.

    The gradient of a sum of losses is known as soon as the logits are, so each chunk leaves its
    gradients behind and nothing is computed twice (as in https://arxiv.org/abs/2410.10989).

    Args:
        hidden_ND: Inputs of the head for the tokens that count.
        weight_VD: The head's weight.
        bias_V: Its bias, if it has one.
        labels_N: The tokens that came.
        weights_N: Their weights.
        kind: The loss of a token.
        shape: What happens to the logits before the softmax.
        logits_at_once: Logits that stand in memory at a time, at least a token's.

    Returns:
        The sum as a float32 scalar, as :func:`weighted_loss` of all logits would be.
    """
    settings = _Settings(kind, shape, _chunk_tokens(weight_VD.shape[0], logits_at_once))
    loss: Tensor = _ChunkedLoss.apply(  # type: ignore[no-untyped-call]
        hidden_ND, weight_VD, bias_V, labels_N, weights_N, settings
    )
    return loss


def recomputed_loss(
    head: Callable[[Tensor], Tensor],
    hidden_ND: Tensor,
    labels_N: Tensor,
    weights_N: Tensor,
    *,
    vocabulary: int,
    kind: TokenLoss,
    shape: LogitShape = _AS_THEY_ARE,
    logits_at_once: int,
) -> Tensor:
    """Sum the weighted losses of any head, chunk by chunk, and compute each again on the way back.

    For heads that are more than a matrix, such as one with LoRA and its dropout. It costs a third
    more of the head's time than :func:`chunked_loss`, whose other arguments are the same.
    """

    def of_chunk(hidden_CD: Tensor, labels_C: Tensor, weights_C: Tensor) -> Tensor:
        return weighted_loss(shape(head(hidden_CD)), labels_C, weights_C, kind)

    total = hidden_ND[:0].float().sum()  # nothing, with the gradients of nothing
    for chunk in _chunks(len(hidden_ND), _chunk_tokens(vocabulary, logits_at_once)):
        args = hidden_ND[chunk], labels_N[chunk], weights_N[chunk]
        total = total + checkpoint(of_chunk, *args, use_reentrant=False)
    return total


class _Settings(NamedTuple):
    kind: TokenLoss
    shape: LogitShape
    chunk_tokens: int


class _ChunkedLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        labels_N: Tensor,
        weights_N: Tensor,
        settings: _Settings,
    ) -> Tensor:
        device, dtype = hidden_ND.device.type, _product_dtype(hidden_ND, weight_VD)
        sums = torch.promote_types(dtype, torch.float32)
        wanted = ctx.needs_input_grad[:3]
        inputs = (hidden_ND, weight_VD, bias_V)
        # Sums over chunks are kept in float32; every row of the first is written once.
        grads = [
            torch.zeros_like(x, dtype=sums if i else x.dtype) if want and x is not None else None
            for i, (x, want) in enumerate(zip(inputs, wanted, strict=True))
        ]
        total = hidden_ND.new_zeros((), dtype=sums)
        with torch.autocast(device, enabled=False):
            weight_VD = weight_VD.to(dtype)
            bias_V = None if bias_V is None else bias_V.to(dtype)
            for chunk in _chunks(len(hidden_ND), settings.chunk_tokens):
                hidden_CD = hidden_ND[chunk].to(dtype)
                logits_CV = functional.linear(hidden_CD, weight_VD, bias_V).to(sums)
                loss, slope_CV = _loss_and_slope(
                    logits_CV, labels_N[chunk], weights_N[chunk].to(sums), settings,
                    want_slope=any(wanted),
                )  # fmt: skip
                total += loss
                if slope_CV is not None:
                    _add_gradients(grads, slope_CV.to(dtype), hidden_CD, weight_VD, chunk)
        ctx.grads = [
            None if grad is None or x is None else grad.to(x.dtype)
            for grad, x in zip(grads, inputs, strict=True)
        ]
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        # In place: one more copy of the head's gradient would be the largest thing in memory.
        grads, ctx.grads = ctx.grads, None
        if grads is None:
            raise RuntimeError("the gradients of this loss were used up by an earlier backward")
        return *(None if grad is None else grad.mul_(grad_loss) for grad in grads), None, None, None


def _loss_and_slope(
    logits_CV: Tensor, labels_C: Tensor, weights_C: Tensor, settings: _Settings, *, want_slope: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the loss of a chunk and its gradient by the head's output; overwrites the logits.

    With q = 1 - p of the label, cross-entropy c (smoothed by e) and focal weight f = q^gamma, the
    loss is f * c. Its derivative by a logit is f * dc + c * df, where dc = softmax - (1 - e) *
    onehot - e / V and df = k / c * (softmax - onehot) with k = c * gamma * q^(gamma - 1) * p.
    """
    (smoothing, gamma, detached), (scale, cap) = _fields(settings.kind), settings.shape
    if scale != 1.0:
        logits_CV.mul_(scale)
    bend_CV = None
    if cap is not None:
        logits_CV.div_(cap).tanh_()
        bend_CV = 1 - logits_CV.square() if want_slope else None
        logits_CV.mul_(cap)
    label_C1 = labels_C[:, None]
    top_C1 = logits_CV.amax(dim=1, keepdim=True)
    logits_CV.sub_(top_C1)
    label_logit_C = logits_CV.gather(1, label_C1).squeeze(1)
    mean_logit_C = logits_CV.mean(dim=1) if smoothing else label_logit_C
    sum_C = logits_CV.exp_().sum(dim=1)
    log_sum_C = sum_C.log()
    log_p_C = label_logit_C - log_sum_C
    entropy_C = log_sum_C - (1 - smoothing) * label_logit_C - smoothing * mean_logit_C
    focus_C = focal_weight(log_p_C, gamma) * weights_C if gamma else weights_C
    loss = (focus_C * entropy_C).sum()
    if not want_slope:
        return loss, None

    pull_C = torch.zeros_like(focus_C)
    if gamma and not detached:
        missing_C = missing_probability(log_p_C)
        pull_C = weights_C * entropy_C * gamma * missing_C ** (gamma - 1) * log_p_C.exp()
    slope_CV = logits_CV.mul_(((focus_C + pull_C) / sum_C)[:, None])
    slope_CV.scatter_add_(1, label_C1, -((1 - smoothing) * focus_C + pull_C)[:, None])
    if smoothing:
        slope_CV.sub_((smoothing / slope_CV.shape[1] * focus_C)[:, None])
    if bend_CV is not None:
        slope_CV.mul_(bend_CV)
    if scale != 1.0:
        slope_CV.mul_(scale)
    return loss, slope_CV


def _add_gradients(
    grads: list[Tensor | None], slope_CV: Tensor, hidden_CD: Tensor, weight_VD: Tensor, chunk: slice
) -> None:
    hidden_grad, weight_grad, bias_grad = grads
    if hidden_grad is not None:
        hidden_grad[chunk] = slope_CV @ weight_VD
    if weight_grad is not None and weight_grad.dtype == slope_CV.dtype:
        weight_grad.addmm_(slope_CV.T, hidden_CD)
    elif weight_grad is not None:
        weight_grad.add_(slope_CV.T @ hidden_CD)
    if bias_grad is not None:
        bias_grad.add_(slope_CV.sum(dim=0, dtype=bias_grad.dtype))


def _fields(kind: TokenLoss) -> tuple[float, float, bool]:
    return kind.label_smoothing, kind.focal_gamma, kind.focal_detached


def _product_dtype(hidden: Tensor, weight: Tensor) -> torch.dtype:
    """Return the precision of matrix products: autocast's, or that of the tensors."""
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return torch.promote_types(hidden.dtype, weight.dtype)


def _chunk_tokens(vocabulary: int, logits_at_once: int) -> int:
    return max(1, logits_at_once // vocabulary)


def _chunks(size: int, step: int) -> Iterator[slice]:
    return (slice(start, start + step) for start in range(0, size, step))
