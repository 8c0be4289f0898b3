"""Measure time and memory of a loss and its gradients, from hidden states and a head.

    OMP_NUM_THREADS=1 python recipes/benchmarks/loss.py --way plain
    OMP_NUM_THREADS=1 python recipes/benchmarks/loss.py --way chunked

``plain`` has all logits in memory, ``chunked`` those of a few tokens at a time and computes the
gradients with them, ``recomputed`` computes each chunk again on the way back. Memory is what comes
on top of hidden states and head, their gradients included. The last line is JSON.
"""

import json
import resource
import time
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from genrec.config import to_dict
from genrec.recipe import run_recipe
from genrec.training import TokenLoss, TrainingConfig, weighted_loss
from genrec.training.chunked import chunked_loss, recomputed_loss


@dataclass(frozen=True, kw_only=True)
class Config:
    way: Literal["plain", "chunked", "recomputed"] = "chunked"
    """Which loss."""

    tokens: int = 2048
    """Tokens that count."""

    width: int = 256
    """Width of the hidden states."""

    vocabulary: int = 150_000
    """Rows of the head."""

    logits_at_once: int = TrainingConfig(steps=1).logits_at_once
    """Logits that stand in memory at a time, but for ``plain``."""

    seed: int = 0
    """Seed of hidden states, head and labels."""


def compute(config: Config, hidden_ND: Tensor, weight_VD: Tensor, labels_N: Tensor) -> Tensor:
    weights_N = torch.ones(len(labels_N), device=labels_N.device)
    options: dict[str, Any] = {"kind": TokenLoss(), "logits_at_once": config.logits_at_once}
    if config.way == "plain":
        return weighted_loss(hidden_ND @ weight_VD.T, labels_N, weights_N)
    if config.way == "chunked":
        return chunked_loss(hidden_ND, weight_VD, None, labels_N, weights_N, **options)
    return recomputed_loss(
        lambda hidden_CD: hidden_CD @ weight_VD.T, hidden_ND, labels_N, weights_N,
        vocabulary=config.vocabulary, **options,
    )  # fmt: skip


def peak() -> float:
    """Return the largest memory of the process so far, in megabytes."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def main(config: Config) -> None:
    torch.manual_seed(config.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    hidden_ND = torch.randn(config.tokens, config.width, device=device, requires_grad=True)
    weight_VD = torch.randn(config.vocabulary, config.width, device=device, requires_grad=True)
    labels_N = torch.randint(0, config.vocabulary, (config.tokens,), device=device)
    before, start = peak(), time.perf_counter()
    torch.autograd.backward(compute(config, hidden_ND, weight_VD, labels_N))
    if device == "cuda":
        torch.cuda.synchronize()
    result = {
        "seconds": round(time.perf_counter() - start, 3),
        "megabytes": round(peak() - before, 1),
        "config": to_dict(config),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
