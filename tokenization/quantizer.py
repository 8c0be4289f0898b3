"""What every quantizer can do: all that assignment, quality report and artifact know of one.

Shape letters in this file: N items, F features, L levels, P levels already coded, K codes of one
level, B batch, D latent dimensions, S items drawn at random.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn


class Quantizer(Protocol):
    """A trained map from item features to codes and back."""

    codebook_sizes: tuple[int, ...]
    """Codes per level, coarsest first."""

    def quantize(self, features_NF: Tensor, prefix_NP: Tensor | None = None) -> Tensor:
        """Choose codes level by level, keeping the first P if they are given; shape (N, L)."""
        ...

    def costs(self, features_NF: Tensor, codes_NP: Tensor) -> Tensor:
        """Tell what each code of the level after the given ones would cost, of shape (N, K).

        A cost is a squared distance in the quantizer's own space: the lowest is the code that
        :meth:`quantize` chooses.
        """
        ...

    def reconstruct(self, codes_NL: Tensor) -> Tensor:
        """Tell which features the codes stand for, of shape (N, F)."""
        ...


class Losses(NamedTuple):
    """What a batch gives: losses summed over dimensions and averaged over items, latents, codes."""

    reconstruction: Tensor
    quantization: Tensor
    separation: Tensor
    quantized_BD: Tensor
    codes_BL: Tensor


class Trainable(Quantizer, Protocol):
    """A quantizer that gradients train."""

    def losses(self, features_BF: Tensor, *, generator: torch.Generator | None = None) -> Losses:
        """Quantize a batch, reconstruct it, and tell the losses."""
        ...

    def revive(self, codes_NL: Tensor, features_SF: Tensor) -> int:
        """Move codes that no item has to where items drawn at random are; tell how many."""
        ...

    def finish(self, features_NF: Tensor) -> None:
        """Do what is left to do when training has ended."""
        ...

    def learnt_codebooks(self) -> list[Tensor]:
        """Give the codebooks that training changes, one a level; none where codes are a grid."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Give what the optimizer changes."""
        ...
