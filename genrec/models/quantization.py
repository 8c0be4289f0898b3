"""Weights of 4 bits, for QLoRA (https://arxiv.org/abs/2305.14314)."""

from typing import Any

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from genrec.optional import require


def nf4(dtype: torch.dtype) -> BitsAndBytesConfig:
    """Make the settings of QLoRA: NormalFloat of 4 bits, its scales quantised again.

    Args:
        dtype: The precision of matrix products.

    Raises:
        MissingDependencyError: When bitsandbytes is not installed.
    """
    require("bitsandbytes", extra="quantization", why="training over weights of 4 bits (qlora)")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def keep_learning(model: nn.Module) -> None:
    """Keep layers of 4 bits able to learn after an evaluation on a CPU.

    On CPUs with AVX512-BF16, bitsandbytes packs the weights for inference at the first forward
    without gradients, and never unpacks them: from then on gradients end there (0.50.2).
    """
    for layer in _layers_of_4_bits(model):
        layer.support_avx512bf16_for_cpu = False


def is_quantized(model: nn.Module) -> bool:
    """Tell whether a model has layers of 4 bits, without importing bitsandbytes."""
    return bool(_layers_of_4_bits(model))


def _layers_of_4_bits(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if type(module).__name__ == "Linear4bit"]
