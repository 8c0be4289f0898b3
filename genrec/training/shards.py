"""Weights that lie in shards, one a process: ZeRO-3 (https://arxiv.org/abs/1910.02054) and FSDP.

Elsewhere a process has whole weights, and these functions hand them on as they are.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from genrec.optional import require


def trained_weights(model: nn.Module, accelerator: Accelerator) -> dict[str, Tensor]:
    """Gather the weights that train, whole, into the main process's memory, one after the other.

    All processes must call it; those that are not the main one get nothing.
    """
    gathered: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        with _whole(parameter) as value:
            if accelerator.is_main_process:
                gathered[name] = value.to("cpu", copy=True).contiguous()
    return gathered


def all_finite(model: nn.Module, accelerator: Accelerator) -> bool:
    """Tell whether the weights of all processes are numbers; all processes must call it."""
    sums = [_local(parameter).sum(dtype=torch.float32) for parameter in model.parameters()]
    total = torch.stack([value.to(accelerator.device) for value in sums]).sum()
    return bool(torch.isfinite(accelerator.reduce(total, reduction="sum")))


def dimensions(parameter: nn.Parameter) -> int:
    """Count the dimensions of a weight, also of one that ZeRO-3 has cut and shows as empty."""
    return len(getattr(parameter, "ds_shape", parameter.shape))


def in_shards(model: nn.Module) -> bool:
    """Tell whether a process holds but a part of the weights."""
    return any(hasattr(p, "ds_id") or isinstance(p.data, DTensor) for p in model.parameters())


@contextlib.contextmanager
def whole_model(model: nn.Module, prepared: Any) -> Iterator[None]:
    """Hold whole weights in every process, so that each may run the model as often as it likes.

    In shards a model runs only when all processes run it together, which beams of different users
    do not.

    Args:
        model: The bare model.
        prepared: What accelerate made of it and of all around it.
    """
    sharded = [module for module in prepared.modules() if isinstance(module, FSDPModule)]
    for module in sharded:
        module.set_reshard_after_forward(False, recurse=False)
        module.unshard()
    if any(hasattr(parameter, "ds_id") for parameter in model.parameters()):
        with _deepspeed().zero.unwrap_model_for_generation(prepared):
            yield
    else:
        yield
    for module in sharded:
        module.set_reshard_after_forward(True, recurse=False)
        module.reshard()


@contextlib.contextmanager
def _whole(parameter: nn.Parameter) -> Iterator[Tensor]:
    if hasattr(parameter, "ds_id"):
        with _deepspeed().zero.GatheredParameters([parameter]):
            yield parameter.data
    elif isinstance(parameter.data, DTensor):
        yield parameter.data.full_tensor()
    else:
        yield parameter.data


def _local(parameter: Any) -> Tensor:
    """Return what this process holds of a weight."""
    if hasattr(parameter, "ds_id"):
        shard: Tensor = parameter.ds_tensor
        return shard
    value: Tensor = parameter.detach()
    return value.to_local() if isinstance(value, DTensor) else value


def _deepspeed() -> Any:
    return require("deepspeed", extra="deepspeed", why="ZeRO-3")
