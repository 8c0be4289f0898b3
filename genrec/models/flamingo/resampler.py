"""The Perceiver resampler: from the features of a picture to a fixed number of latents.

Shape letters in this file: U pictures, S features of each, C latents, D width of the encoder,
E width of the decoder, Z features and latents together, B rows, T tokens, H heads, d width of a
head.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class PerceiverResampler(nn.Module):
    """Learnt queries that read a picture's features (Flamingo, section 2.1 and appendix A.1.1).

    https://arxiv.org/abs/2204.14198. A picture is one frame, so there are no time embeddings. The
    last projection brings the latents to the width of the decoder (UniMP, section 2.2).
    """

    def __init__(
        self, *, width: int, out_width: int, latents: int, layers: int, heads: int, multiple: int
    ) -> None:
        super().__init__()
        self.latents_CD = nn.Parameter(torch.empty(latents, width))
        self.blocks = nn.ModuleList(
            ResamplerBlock(width, heads=heads, multiple=multiple) for _ in range(layers)
        )
        self.project = nn.Linear(width, out_width, bias=False)
        self.norm = nn.LayerNorm(out_width)

    def forward(self, features_USD: Tensor) -> Tensor:
        """Return the latents of each picture, of shape (U, C, E)."""
        features_USD = features_USD.to(self.latents_CD.dtype)
        latents_UCD = self.latents_CD.expand(len(features_USD), -1, -1)
        for block in self.blocks:
            latents_UCD = block(latents_UCD, features_USD)
        latents_UCE: Tensor = self.norm(self.project(latents_UCD))
        return latents_UCE


class ResamplerBlock(nn.Module):
    """Latents read the features and each other, then pass a feed-forward layer."""

    def __init__(self, width: int, *, heads: int, multiple: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_latents = nn.LayerNorm(width)
        self.norm_features = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.feed_forward = feed_forward(width, multiple)

    def forward(self, latents_UCD: Tensor, features_USD: Tensor) -> Tensor:
        """Return the latents with what they read."""
        normed_UCD = self.norm_latents(latents_UCD)
        # Keys and values are of the features and of the latents (Flamingo, appendix A.1.1).
        read_UZD = torch.cat([self.norm_features(features_USD), normed_UCD], dim=1)
        key_UZD, value_UZD = self.key_value(read_UZD).chunk(2, dim=-1)
        seen_UHCd = functional.scaled_dot_product_attention(
            split_heads(self.query(normed_UCD), self.heads),
            split_heads(key_UZD, self.heads),
            split_heads(value_UZD, self.heads),
        )
        latents_UCD = latents_UCD + self.out(join_heads(seen_UHCd))
        out_UCD: Tensor = latents_UCD + self.feed_forward(latents_UCD)
        return out_UCD


def feed_forward(width: int, multiple: int) -> nn.Sequential:
    """Make a normed two-layer perceptron, as Flamingo's blocks have."""
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, multiple * width, bias=False),
        nn.GELU(),
        nn.Linear(multiple * width, width, bias=False),
    )


def split_heads(x_BTD: Tensor, heads: int) -> Tensor:
    """Lay out a width as heads in front of the tokens: (B, T, D) to (B, H, T, D / H)."""
    return x_BTD.view(*x_BTD.shape[:2], heads, -1).transpose(1, 2)


def join_heads(x_BHTd: Tensor) -> Tensor:
    """Undo :func:`split_heads`."""
    return x_BHTd.transpose(1, 2).flatten(2)
