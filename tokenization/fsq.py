"""FSQ: finite scalar quantization; codes are points of a grid, and there is no codebook to learn.

Follows Mentzer et al. (https://arxiv.org/abs/2309.15505). Each latent dimension is bounded and
rounded to a few values; the dimensions of one level together are its code. As with product codes,
no level waits for another, yet the first ones code the leading components of the features.

Shape letters in this file: B batch, N items, F features, L levels, P levels already coded, W
dimensions of one level, D dimensions of all levels, K codes of one level, S items drawn at random.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genrec.tokenization.autoencoder import Autoencoder, check_widths
from genrec.tokenization.estimators import separation_loss, straight_through
from genrec.tokenization.quantizer import Losses


@dataclass(frozen=True, kw_only=True)
class FSQConfig:
    """An autoencoder whose latents are rounded."""

    levels: int = 4
    """Codes of an ID."""

    values: tuple[int, ...] = (8, 6, 5)
    """Values of each latent dimension of a level; their product is the number of codes: 240."""

    hidden_dims: tuple[int, ...] = (512, 256)
    """Hidden layers of the encoder; the decoder has them in reverse."""

    separation: float = 0.1
    """Weight of the loss that pushes items with the same codes apart; 0 is plain FSQ."""

    separation_margin: float = 2.0
    """How far apart such items should be, in units of the mean squared rounding error."""

    def __post_init__(self) -> None:
        check_widths(1, self.hidden_dims)
        if self.levels < 1 or not self.values or min(self.values) < 2:
            raise ValueError(
                f"levels {self.levels} and values {list(self.values)}: there must be at least one "
                "level and one dimension, each of 2 values or more, such as 4 and [8, 6, 5]"
            )
        if min(self.separation, self.separation_margin) < 0:
            raise ValueError("separation and separation_margin must not be negative")

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Codes per level."""
        return (math.prod(self.values),) * self.levels


class FSQ(nn.Module):
    """Encoder, grid, decoder; a :class:`genrec.tokenization.quantizer.Trainable`."""

    values_D: Tensor
    place_W: Tensor

    def __init__(self, config: FSQConfig, feature_dim: int) -> None:
        super().__init__()
        self.config = config
        self.codebook_sizes = config.codebook_sizes
        self.width = len(config.values)
        latent_dim = config.levels * self.width
        if latent_dim > feature_dim:
            raise ValueError(
                f"{config.levels} levels of {self.width} dimensions need features of at least "
                f"{latent_dim}, not {feature_dim}; use fewer levels or values"
            )
        self.coder = Autoencoder(feature_dim, config.hidden_dims, latent_dim)
        values_W = torch.tensor(config.values)
        place_W = torch.cat([torch.ones(1, dtype=torch.long), values_W.cumprod(dim=0)[:-1]])
        self.register_buffer("values_D", values_W.repeat(config.levels), persistent=False)
        self.register_buffer("place_W", place_W, persistent=False)

    @torch.no_grad()
    def initialise(self, features_NF: Tensor, *, generator: torch.Generator) -> None:
        """Start as rounded principal components, each spread over the values of its dimension."""
        self.coder.start_as_components(features_NF, generator=generator, whiten=True)

    def losses(self, features_BF: Tensor, *, generator: torch.Generator | None = None) -> Losses:
        """Round, decode, and compare with what came in."""
        inputs_BF = self.coder.normalise(features_BF)
        latents_BD = self._bound(self.coder.encoder(inputs_BF).float())
        digits_BD = self._digits(latents_BD)
        codes_BL = self._codes(digits_BD)
        quantized_BD = straight_through(latents_BD, self._centres(digits_BD))
        separation = separation_loss(
            latents_BD, quantized_BD, codes_BL, self.config.separation_margin
        )
        error_BF = (self.coder.decoder(quantized_BD) - inputs_BF).square()
        return Losses(
            reconstruction=error_BF.sum(dim=1).mean(),
            quantization=latents_BD.new_zeros(()),
            separation=self.config.separation * separation,
            quantized_BD=quantized_BD,
            codes_BL=codes_BL,
        )

    def revive(self, codes_NL: Tensor, features_SF: Tensor) -> int:
        """Do nothing: the points of a grid cannot die."""
        return 0

    def finish(self, features_NF: Tensor) -> None:
        """Do nothing: a grid has no cells to split."""

    def learnt_codebooks(self) -> list[Tensor]:
        """Give none: a grid is not learnt."""
        return []

    @torch.no_grad()
    def quantize(self, features_NF: Tensor, prefix_NP: Tensor | None = None) -> Tensor:
        """Round every level that has no code yet."""
        codes_NL = self._codes(self._digits(self._bound(self.coder.encode(features_NF))))
        if prefix_NP is not None:
            codes_NL[:, : prefix_NP.shape[1]] = prefix_NP
        return codes_NL

    @torch.no_grad()
    def costs(self, features_NF: Tensor, codes_NP: Tensor) -> Tensor:
        """Price the grid points of the next level by squared distance."""
        latents_ND = self._bound(self.coder.encode(features_NF))
        level = codes_NP.shape[1]
        codes_KL = torch.arange(self.codebook_sizes[level], device=latents_ND.device)[:, None]
        grid_KW = self._centres(self._digits_of(codes_KL), self.values_D[: self.width])
        part_NW = latents_ND[:, level * self.width : (level + 1) * self.width]
        costs_NK: Tensor = (part_NW[:, None] - grid_KW).square().sum(dim=2)
        return costs_NK

    @torch.no_grad()
    def reconstruct(self, codes_NL: Tensor) -> Tensor:
        """Decode the grid points."""
        return self.coder.decode(self._centres(self._digits_of(codes_NL)))

    def _bound(self, latents_BD: Tensor) -> Tensor:
        """Bring latents between -1 and 1, as normal ones are spread evenly: by the error function.

        The paper bounds by the hyperbolic tangent; latents here start as whitened components.
        """
        return torch.erf(latents_BD / math.sqrt(2))

    def _digits(self, bounded_BD: Tensor) -> Tensor:
        """Find the cell of each dimension: of as many equal ones as it has values, from 0."""
        digits_BD = ((bounded_BD.detach() + 1) / 2 * self.values_D).floor().long()
        return digits_BD.clamp(min=0).minimum(self.values_D - 1)

    def _centres(self, digits_BD: Tensor, values_D: Tensor | None = None) -> Tensor:
        """Find the middle of cells."""
        return (2 * digits_BD + 1) / (self.values_D if values_D is None else values_D) - 1

    def _codes(self, digits_BD: Tensor) -> Tensor:
        """Read the digits of every level as one number."""
        digits_BLW = digits_BD.view(len(digits_BD), -1, self.width)
        return (digits_BLW * self.place_W).sum(dim=2)

    def _digits_of(self, codes_BL: Tensor) -> Tensor:
        """Write the codes of levels as digits."""
        digits_BLW = codes_BL[:, :, None] // self.place_W % self.values_D[: self.width]
        return digits_BLW.flatten(1)
