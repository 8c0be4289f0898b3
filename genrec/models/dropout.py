"""Dropout for decoders whose families have none, because they were made for one pass over data."""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn import functional

M = TypeVar("M", bound=nn.Module)

_BRANCHES = ("self_attn", "mlp")


def add_residual_dropout(model: M, share: float) -> M:
    """Drop a share of what every attention and feed-forward block adds to the residual stream.

    Small models see a small shop's data dozens of times and need it (Srivastava et al. 2014; as in
    the Transformer, https://arxiv.org/abs/1706.03762, section 5.4). The weights and their names
    stay as they are, so a saved model is a plain one.

    Raises:
        ValueError: When no layer has blocks of the names that are known.
    """
    if share == 0:
        return model
    branches = [m for name, m in model.named_modules() if name.rpartition(".")[2] in _BRANCHES]
    if not branches:
        raise ValueError(f"{type(model).__name__} has no layers with {' or '.join(_BRANCHES)}")
    for branch in branches:
        branch.register_forward_hook(_dropping(share))
    return model


def _dropping(share: float) -> Callable[[nn.Module, Any, Any], Any]:
    def drop(module: nn.Module, _: Any, output: Tensor | tuple[Any, ...]) -> Any:
        if isinstance(output, tuple):
            return (functional.dropout(output[0], share, module.training), *output[1:])
        return functional.dropout(output, share, module.training)

    return drop
