"""RQ-VAE: an autoencoder whose latents are quantized level by level.

Follows section 3.1 of TIGER (https://arxiv.org/abs/2305.05065) with the quantizer of RQ-VAE
(https://arxiv.org/abs/2203.01941). Three things are ours. Encoder and decoder start as principal
components, so training sets out from RQ-k-means rather than from noise. Items that share all codes
push each other apart, so that near duplicates get codes of their own. And the few that still share
all codes after training are parted by splitting their cells.

Shape letters in this file: B batch, N items, F features, D latent dimensions, L levels, P levels
already coded, S items drawn at random.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genrec.tokenization.autoencoder import Autoencoder, check_widths
from genrec.tokenization.estimators import Estimator, residual_quantize, separation_loss
from genrec.tokenization.quantizer import Losses
from genrec.tokenization.residual import (
    ROWS_AT_ONCE,
    ResidualCodebooks,
    check_codebook_sizes,
)
from genrec.tokenization.splitting import split_collisions


@dataclass(frozen=True, kw_only=True)
class RQVAEConfig:
    """An RQ-VAE over item features."""

    codebook_sizes: tuple[int, ...] = (256, 256, 256, 256)
    """Codes per level, coarsest first. Its length is the number of levels."""

    latent_dim: int = 32
    """Width of what is quantized."""

    hidden_dims: tuple[int, ...] = (512, 256)
    """Hidden layers of the encoder; the decoder has them in reverse."""

    estimator: Estimator = "straight_through"
    """How gradients pass the codes: straight through, by the rotation trick, or by Gumbel draws."""

    temperature: float = 0.1
    """Of the Gumbel draws; the lower, the more often the nearest code is drawn."""

    commitment: float = 0.25
    """Weight of the loss that pulls latents towards their codes (beta)."""

    separation: float = 0.1
    """Weight of the loss that pushes items with the same codes apart; 0 is plain TIGER."""

    separation_margin: float = 2.0
    """How far apart such items should be: a squared distance, in units of the mean squared
    distance between latents and their codes."""

    split: bool = True
    """After training, split the cells of the last level that hold items in collision."""

    def __post_init__(self) -> None:
        check_codebook_sizes(self.codebook_sizes)
        check_widths(self.latent_dim, self.hidden_dims)
        if min(self.commitment, self.separation, self.separation_margin) < 0:
            raise ValueError("commitment, separation and separation_margin must not be negative")
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}; use a positive one like 0.1")


class RQVAE(nn.Module):
    """Encoder, residual codebooks, decoder; a :class:`genrec.tokenization.quantizer.Trainable`."""

    def __init__(self, config: RQVAEConfig, feature_dim: int) -> None:
        super().__init__()
        self.config = config
        self.codebook_sizes = config.codebook_sizes
        latent_dim = min(config.latent_dim, feature_dim)
        self.coder = Autoencoder(feature_dim, config.hidden_dims, latent_dim)
        self.codebooks = ResidualCodebooks(config.codebook_sizes, latent_dim)

    @torch.no_grad()
    def initialise(self, features_NF: Tensor, *, generator: torch.Generator) -> None:
        """Start as RQ-k-means on principal components."""
        self.coder.start_as_components(features_NF, generator=generator)
        self.codebooks.fit_kmeans(self.coder.encode(features_NF), generator=generator)

    def losses(self, features_BF: Tensor, *, generator: torch.Generator | None = None) -> Losses:
        """Quantize, decode, and compare with what came in."""
        inputs_BF = self.coder.normalise(features_BF)
        latents_BD = self.coder.encoder(inputs_BF).float()
        with torch.autocast(features_BF.device.type, enabled=False):
            quantized = residual_quantize(
                latents_BD, self.learnt_codebooks(), commitment=self.config.commitment,
                estimator=self.config.estimator, temperature=self.config.temperature,
                generator=generator,
            )  # fmt: skip
            separation = separation_loss(
                latents_BD, quantized.latents_BD, quantized.codes_BL, self.config.separation_margin
            )
        # The sum over dimensions, as the paper writes it: with the mean, the reconstruction of
        # unit vectors weighs next to nothing and the codebooks collapse.
        error_BF = (self.coder.decoder(quantized.latents_BD) - inputs_BF).square()
        return Losses(
            reconstruction=error_BF.sum(dim=1).mean(),
            quantization=quantized.loss,
            separation=self.config.separation * separation,
            quantized_BD=quantized.latents_BD,
            codes_BL=quantized.codes_BL,
        )

    @torch.no_grad()
    def finish(self, features_NF: Tensor) -> None:
        """Part the items that training left in collision."""
        if self.config.split:
            parts = torch.split(features_NF, ROWS_AT_ONCE)
            latents_ND = torch.cat([self.coder.encode(x_BF) for x_BF in parts])
            split_collisions(self.codebooks, latents_ND)

    @torch.no_grad()
    def revive(self, codes_NL: Tensor, features_SF: Tensor) -> int:
        """Move codes that no item has to where items drawn at random are; tell how many."""
        return self.codebooks.revive(codes_NL, self.coder.encode(features_SF))

    def learnt_codebooks(self) -> list[Tensor]:
        """Give the codebooks, coarsest first."""
        return list(self.codebooks.levels)

    @torch.no_grad()
    def quantize(self, features_NF: Tensor, prefix_NP: Tensor | None = None) -> Tensor:
        """Choose the nearest codes level by level."""
        return self.codebooks.quantize(self.coder.encode(features_NF), prefix_NP)

    @torch.no_grad()
    def costs(self, features_NF: Tensor, codes_NP: Tensor) -> Tensor:
        """Price the codes of the next level by squared distance between latents."""
        return self.codebooks.costs(self.coder.encode(features_NF), codes_NP)

    @torch.no_grad()
    def reconstruct(self, codes_NL: Tensor) -> Tensor:
        """Decode the sum of the codes' vectors."""
        return self.coder.decode(self.codebooks.embed(codes_NL))
