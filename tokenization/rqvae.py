"""RQ-VAE: an autoencoder whose latents are quantized level by level.

Follows section 3.1 of TIGER (https://arxiv.org/abs/2305.05065) with the quantizer of RQ-VAE
(https://arxiv.org/abs/2203.01941). Two things are ours. Encoder and decoder start as principal
components, so training sets out from RQ-k-means rather than from noise. And items that share all
codes push each other apart, so that near duplicates get codes of their own.

Shape letters in this file: B batch, F features, D latent dimensions, H hidden units, K codes of a
level, L levels, P levels already coded, C pairs in collision.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from genrec.tokenization.pca import principal_components
from genrec.tokenization.residual import ResidualCodebooks, check_codebook_sizes


@dataclass(frozen=True, kw_only=True)
class RQVAEConfig:
    """An RQ-VAE over item features."""

    codebook_sizes: tuple[int, ...] = (256, 256, 256, 256)
    """Codes per level, coarsest first. Its length is the number of levels."""

    latent_dim: int = 32
    """Width of what is quantized."""

    hidden_dims: tuple[int, ...] = (512, 256)
    """Hidden layers of the encoder; the decoder has them in reverse."""

    commitment: float = 0.25
    """Weight of the loss that pulls latents towards their codes (beta)."""

    separation: float = 0.3
    """Weight of the loss that pushes items with the same codes apart; 0 is plain TIGER."""

    separation_margin: float = 2.0
    """How far apart such items should be: a squared distance, in units of the mean squared
    distance between latents and their codes."""

    def __post_init__(self) -> None:
        check_codebook_sizes(self.codebook_sizes)
        if self.latent_dim < 1 or any(width < 1 for width in self.hidden_dims):
            raise ValueError(
                f"latent_dim {self.latent_dim} and hidden_dims {list(self.hidden_dims)} "
                "must be positive widths, such as 32 and [512, 256]"
            )
        if min(self.commitment, self.separation, self.separation_margin) < 0:
            raise ValueError("commitment, separation and separation_margin must not be negative")


class RQVAELosses(NamedTuple):
    """The parts of the loss: summed over dimensions, averaged over the batch."""

    reconstruction: Tensor
    quantization: Tensor
    separation: Tensor
    codes_BL: Tensor

    @property
    def total(self) -> Tensor:
        """What training minimises."""
        return self.reconstruction + self.quantization + self.separation


class RQVAE(nn.Module):
    """Encoder, residual codebooks, decoder; a :class:`genrec.tokenization.quantizer.Quantizer`."""

    mean_F: Tensor
    scale: Tensor

    def __init__(self, config: RQVAEConfig, feature_dim: int) -> None:
        super().__init__()
        self.config = config
        self.codebook_sizes = config.codebook_sizes
        latent_dim = min(config.latent_dim, feature_dim)
        # Features enter centred and scaled, so that loss weights mean the same for every encoder.
        self.register_buffer("mean_F", torch.zeros(feature_dim))
        self.register_buffer("scale", torch.ones(()))
        self.encoder = LinearPlusMLP((feature_dim, *config.hidden_dims, latent_dim))
        self.codebooks = ResidualCodebooks(config.codebook_sizes, latent_dim)
        self.decoder = LinearPlusMLP((latent_dim, *reversed(config.hidden_dims), feature_dim))

    @torch.no_grad()
    def initialise(self, features_NF: Tensor, *, generator: torch.Generator) -> None:
        """Start as RQ-k-means on principal components."""
        mean_F, basis_FD = principal_components(features_NF, self.codebooks.dim)
        self.mean_F.copy_(mean_F)
        variance = (features_NF - mean_F).square().sum(dim=1).mean()
        self.scale.copy_(variance.clamp(min=1e-12).rsqrt())
        self.encoder.start_as(basis_FD.T, generator=generator)
        self.decoder.start_as(basis_FD, generator=generator)
        self.codebooks.fit_kmeans(self.encode(features_NF), generator=generator)

    def encode(self, features_BF: Tensor) -> Tensor:
        """Map features to latents, (B, D)."""
        latents_BD: Tensor = self.encoder(self._normalise(features_BF))
        return latents_BD

    def losses(self, features_BF: Tensor) -> RQVAELosses:
        """Quantize, decode, and compare with what came in."""
        inputs_BF = self._normalise(features_BF)
        latents_BD = self.encoder(inputs_BF)
        quantized = residual_quantize(
            latents_BD, list(self.codebooks.levels), commitment=self.config.commitment
        )
        # The sum over dimensions, as the paper writes it: with the mean, the reconstruction of
        # unit vectors weighs next to nothing and the codebooks collapse.
        error_BF = (self.decoder(quantized.latents_BD) - inputs_BF).square()
        separation = separation_loss(
            latents_BD, quantized.latents_BD, quantized.codes_BL, self.config.separation_margin
        )
        return RQVAELosses(
            reconstruction=error_BF.sum(dim=1).mean(),
            quantization=quantized.loss,
            separation=self.config.separation * separation,
            codes_BL=quantized.codes_BL,
        )

    @torch.no_grad()
    def quantize(self, features_NF: Tensor, prefix_NP: Tensor | None = None) -> Tensor:
        """Choose the nearest codes level by level."""
        return self.codebooks.quantize(self.encode(features_NF), prefix_NP)

    @torch.no_grad()
    def costs(self, features_NF: Tensor, codes_NP: Tensor) -> Tensor:
        """Price the codes of the next level by squared distance between latents."""
        return self.codebooks.costs(self.encode(features_NF), codes_NP)

    @torch.no_grad()
    def reconstruct(self, codes_NL: Tensor) -> Tensor:
        """Decode the sum of the codes' vectors."""
        decoded_NF: Tensor = self.decoder(self.codebooks.embed(codes_NL))
        return self.mean_F + decoded_NF / self.scale

    def _normalise(self, features_BF: Tensor) -> Tensor:
        return (features_BF - self.mean_F) * self.scale


class LinearPlusMLP(nn.Module):
    """A linear map plus an MLP that starts at zero and learns what the linear map cannot."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.linear = nn.Linear(widths[0], widths[-1], bias=False)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths[:-1]):
            layers += [nn.Linear(before, after), nn.GELU()]
        self.mlp = nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))

    def forward(self, x_BF: Tensor) -> Tensor:
        """Add the two maps."""
        linear_BD: Tensor = self.linear(x_BF)
        mlp_BD: Tensor = self.mlp(x_BF)
        return linear_BD + mlp_BD

    def start_as(self, weight_DF: Tensor, *, generator: torch.Generator) -> None:
        """Become a given linear map, with fresh hidden layers behind an output of zero."""
        self.linear.weight.copy_(weight_DF)
        *hidden, last = (layer for layer in self.mlp if isinstance(layer, nn.Linear))
        for layer in hidden:
            weight_HF = torch.randn(layer.weight.shape, generator=generator)
            layer.weight.copy_(weight_HF * (2 / layer.in_features) ** 0.5)
            layer.bias.zero_()
        last.weight.zero_()
        last.bias.zero_()


class Quantized(NamedTuple):
    """What residual quantization makes of a batch of latents."""

    latents_BD: Tensor
    codes_BL: Tensor
    loss: Tensor


def residual_quantize(
    latents_BD: Tensor, codebooks: Sequence[Tensor], *, commitment: float = 0.25
) -> Quantized:
    """Quantize latents level by level, each level coding what the last one left over.

    Gradients reach the latents straight through (https://arxiv.org/abs/1308.3432).

    Args:
        latents_BD: The latents to quantize.
        codebooks: One codebook of shape (K, D) per level, coarsest first.
        commitment: Weight of the loss that pulls latents towards their codes.

    Returns:
        The sum of the chosen codes, their indices, and the loss: squared distances summed over D
        and L, averaged over B.
    """
    residual_BD, codes, loss = latents_BD, [], latents_BD.new_zeros(())
    for codebook_KD in codebooks:
        code_B = torch.cdist(residual_BD.detach(), codebook_KD.detach()).argmin(dim=1)
        chosen_BD = codebook_KD[code_B]
        to_codes = (chosen_BD - residual_BD.detach()).square().sum(dim=1).mean()
        to_latents = (residual_BD - chosen_BD.detach()).square().sum(dim=1).mean()
        loss = loss + to_codes + commitment * to_latents
        residual_BD = residual_BD - chosen_BD.detach()
        codes.append(code_B)
    quantized_BD = latents_BD - residual_BD
    straight_through_BD = latents_BD + (quantized_BD - latents_BD).detach()
    return Quantized(straight_through_BD, torch.stack(codes, dim=1), loss)


def separation_loss(
    latents_BD: Tensor, quantized_BD: Tensor, codes_BL: Tensor, margin: float
) -> Tensor:
    """Push latents apart that share all codes, until they are a cell's width from each other.

    A hinge on the squared distance of each pair of the batch in collision, in units of the mean
    squared quantization error: near duplicates move until a code comes between them; a pair that
    does not collide feels nothing. Averaged over the pairs, the pressure stays the same while the
    pairs get fewer, and bounded where items are too many for the codes.
    """
    same_BB = (codes_BL[:, None] == codes_BL[None, :]).all(dim=2)
    first_C, second_C = same_BB.triu(diagonal=1).nonzero(as_tuple=True)
    if len(first_C) == 0:
        return latents_BD.new_zeros(())
    unit = (latents_BD - quantized_BD).detach().square().sum(dim=1).mean().clamp(min=1e-12)
    distance_C = (latents_BD[first_C] - latents_BD[second_C]).square().sum(dim=1) / unit
    return functional.relu(margin - distance_C).mean()
