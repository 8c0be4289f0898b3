"""LETTER's two extra losses: codes that agree with what users do, and codes that spread.

Follows sections 3.2.2 and 3.2.3 of LETTER (https://arxiv.org/abs/2405.07314).

Shape letters in this file: B batch, N items, C width of collaborative embeddings, D latent
dimensions, K codes of a level, L levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from genrec.tokenization.kmeans import kmeans


@dataclass(frozen=True, kw_only=True)
class LetterConfig:
    """Losses that LETTER adds to those of an RQ-VAE; the defaults are the paper's."""

    contrast: float = 0.02
    """Weight of the agreement with collaborative embeddings (alpha); 0 needs none."""

    temperature: float = 0.1
    """Of the cosines that are contrasted."""

    diversity: float = 1e-4
    """Weight of the spread of codes (beta)."""

    clusters: int = 10
    """Clusters of the codes of a level."""

    def __post_init__(self) -> None:
        if min(self.contrast, self.diversity) < 0:
            raise ValueError(
                f"contrast {self.contrast} and diversity {self.diversity} must not be negative"
            )
        if self.temperature <= 0 or self.clusters < 1:
            raise ValueError(
                f"temperature {self.temperature} must be positive, clusters {self.clusters} at "
                "least 1"
            )


class LetterLosses(nn.Module):
    """Both losses for the steps of a training; what they learn is dropped after it."""

    def __init__(
        self,
        config: LetterConfig,
        codebooks: Sequence[Tensor],
        embeddings_NC: Tensor | None,
        *,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if not codebooks:
            raise ValueError("LETTER's losses are for codebooks that are learnt; use an RQ-VAE")
        if config.contrast > 0 and embeddings_NC is None:
            raise ValueError(
                "LETTER's contrast needs collaborative embeddings, one row per item; give them, "
                "or set contrast to 0"
            )
        self.config = config
        self._codebooks = list(codebooks)
        self._clusters: list[Tensor] = []
        self._generator = generator
        self.contrast = None
        if config.contrast > 0 and embeddings_NC is not None:
            self.contrast = CollaborativeContrast(
                embeddings_NC, codebooks[0].shape[1], generator=generator
            )

    def start_epoch(self) -> None:
        """Cluster the codes as they are now."""
        if self.config.diversity > 0:
            self._clusters = cluster_codes(
                self._codebooks, self.config.clusters, generator=self._generator
            )

    def forward(self, quantized_BD: Tensor, codes_BL: Tensor, rows_B: Tensor) -> Tensor:
        """Add up the weighted losses of a batch."""
        loss = quantized_BD.new_zeros(())
        if self.contrast is not None:
            contrast = self.contrast(quantized_BD, rows_B, temperature=self.config.temperature)
            loss = loss + self.config.contrast * contrast
        if self.config.diversity > 0:
            diversity = diversity_loss(
                self._codebooks, codes_BL, self._clusters, generator=self._generator
            )
            loss = loss + self.config.diversity * diversity
        return loss


class CollaborativeContrast(nn.Module):
    """An item's quantized latents should know its collaborative embedding from others'."""

    embeddings_NC: Tensor

    def __init__(
        self, embeddings_NC: Tensor, latent_dim: int, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.register_buffer("embeddings_NC", functional.normalize(embeddings_NC, dim=1))
        # LETTER asks for embeddings as wide as the latents; a map that is dropped after training
        # takes any. Items of which nothing is known have the zero vector and are left out.
        weight_DC = torch.randn(latent_dim, embeddings_NC.shape[1], generator=generator)
        self.weight_DC = nn.Parameter((weight_DC / latent_dim**0.5).to(embeddings_NC))

    def forward(self, quantized_BD: Tensor, rows_B: Tensor, *, temperature: float = 0.1) -> Tensor:
        """Tell the cross entropy of each item's own embedding among those of the batch."""
        embeddings_BC = self.embeddings_NC[rows_B]
        known_B = embeddings_BC.square().sum(dim=1) > 0
        if int(known_B.sum()) < 2:
            return quantized_BD.new_zeros(())
        mapped_BC = functional.normalize(quantized_BD[known_B] @ self.weight_DC, dim=1)
        similar_BB = mapped_BC @ embeddings_BC[known_B].T / temperature
        # An item that the batch holds twice is no stranger to itself.
        rows_B = rows_B[known_B]
        twice_BB = (rows_B[:, None] == rows_B).fill_diagonal_(fill_value=False)
        similar_BB = similar_BB.masked_fill(twice_BB, -torch.inf)
        return functional.cross_entropy(similar_BB, torch.arange(len(rows_B)).to(rows_B))


def cluster_codes(
    codebooks: Sequence[Tensor], clusters: int, *, generator: torch.Generator
) -> list[Tensor]:
    """Cluster the codes of every level, for :func:`diversity_loss` to spread them within."""
    return [
        kmeans(codebook_KD.detach(), min(clusters, len(codebook_KD)), generator=generator).codes_N
        for codebook_KD in codebooks
    ]


def diversity_loss(
    codebooks: Sequence[Tensor],
    codes_BL: Tensor,
    clusters: Sequence[Tensor],
    *,
    generator: torch.Generator,
) -> Tensor:
    """Pull each chosen code towards another of its cluster and away from all others.

    Codes of a cluster come to lie evenly, so that items do not crowd on a few. Inner products are
    measured in the mean squared length of the level's codes. Summed over levels; a code alone in
    its cluster feels nothing.
    """
    loss = codebooks[0].new_zeros(())
    for codebook_KD, cluster_K, code_B in zip(
        codebooks, clusters, codes_BL.unbind(dim=1), strict=True
    ):
        unit = codebook_KD.detach().square().sum(dim=1).mean().clamp(min=1e-12)
        # Codes that are chosen; each has a fellow of its cluster drawn for it.
        chosen_B = code_B[torch.bincount(cluster_K)[cluster_K[code_B]] > 1]
        if len(chosen_B) == 0:
            continue
        fellow_BK = (cluster_K[chosen_B, None] == cluster_K).float()
        fellow_BK.scatter_(1, chosen_B[:, None], 0)
        draw_BK = torch.rand(fellow_BK.shape, generator=generator).to(fellow_BK)
        fellow_B = (fellow_BK * (1 + draw_BK)).argmax(dim=1)
        similar_BK = codebook_KD[chosen_B] @ codebook_KD.T / unit
        similar_BK = similar_BK.scatter(1, chosen_B[:, None], -torch.inf)
        loss = loss + functional.cross_entropy(similar_BK, fellow_B)
    return loss
