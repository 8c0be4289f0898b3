"""Encoder and decoder around a bottleneck, set out as principal components.

A quantizer that is trained by gradients codes what lies between the two. Training sets out from a
linear map that already describes the features well, so no codebook collapses in a warm-up.

Shape letters in this file: B batch, N items, F features, D latent dimensions, H hidden units.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genrec.tokenization.pca import principal_components


def check_widths(latent_dim: int, hidden_dims: Sequence[int]) -> None:
    """Refuse widths of which no network can be built."""
    if latent_dim < 1 or any(width < 1 for width in hidden_dims):
        raise ValueError(
            f"latent_dim {latent_dim} and hidden_dims {list(hidden_dims)} "
            "must be positive widths, such as 32 and [512, 256]"
        )


class Autoencoder(nn.Module):
    """A map from features to latents and back; the loss lives where features are normalised."""

    mean_F: Tensor
    scale: Tensor

    def __init__(self, feature_dim: int, hidden_dims: Sequence[int], latent_dim: int) -> None:
        super().__init__()
        # Features enter centred and scaled, so that loss weights mean the same for every encoder.
        self.register_buffer("mean_F", torch.zeros(feature_dim))
        self.register_buffer("scale", torch.ones(()))
        self.encoder = LinearPlusMLP((feature_dim, *hidden_dims, latent_dim))
        self.decoder = LinearPlusMLP((latent_dim, *reversed(hidden_dims), feature_dim))

    @torch.no_grad()
    def start_as_components(
        self, features_NF: Tensor, *, generator: torch.Generator, whiten: bool = False
    ) -> None:
        """Become the projection on principal components and its transpose.

        Args:
            features_NF: What to describe.
            generator: Draws the hidden layers, which have no say at first.
            whiten: Give every latent a variance of 1 instead of its component's.
        """
        latent_dim = self.encoder.linear.out_features
        mean_F, basis_FD, variance_D, variance = principal_components(features_NF, latent_dim)
        self.mean_F.copy_(mean_F)
        self.scale.copy_(variance.clamp(min=1e-12).rsqrt())
        spread_D = (variance_D.sqrt() * self.scale).clamp(min=1e-6)
        spread_D = spread_D if whiten else torch.ones_like(spread_D)
        self.encoder.start_as((basis_FD / spread_D).T, generator=generator)
        self.decoder.start_as(basis_FD * spread_D, generator=generator)

    def normalise(self, features_BF: Tensor) -> Tensor:
        """Centre features and give them a mean squared norm of 1."""
        return (features_BF - self.mean_F) * self.scale

    def encode(self, features_BF: Tensor) -> Tensor:
        """Map features to latents, (B, D)."""
        latents_BD: Tensor = self.encoder(self.normalise(features_BF))
        return latents_BD

    def decode(self, latents_BD: Tensor) -> Tensor:
        """Map latents to features, (B, F)."""
        decoded_BF: Tensor = self.decoder(latents_BD)
        return self.mean_F + decoded_BF / self.scale


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
