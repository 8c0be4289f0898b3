"""Residual codebooks: each level codes what the levels before it left over.

Shape letters in this file: N items, D latent dimensions, L levels, P levels already coded, K codes
of one level.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genrec.tokenization.kmeans import kmeans

ROWS_AT_ONCE = 65_536
"""Rows compared with a whole codebook at a time; bounds the memory of the costs."""


def check_codebook_sizes(sizes: Sequence[int]) -> None:
    """Refuse sizes that are no codebooks.

    Raises:
        ValueError: When there is no level, or a level with fewer than 2 codes.
    """
    if not sizes:
        raise ValueError("codebook_sizes is empty; give one size per level, such as [256, 256]")
    for level, size in enumerate(sizes):
        if size < 2:
            raise ValueError(f"level {level} has {size} code(s); a codebook needs at least 2")


class ResidualCodebooks(nn.Module):
    """One codebook a level, coarsest first; the vectors of an item's codes add up to latents."""

    def __init__(self, sizes: Sequence[int], dim: int) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.dim = dim
        self.levels = nn.ParameterList(torch.zeros(size, dim) for size in sizes)

    def embed(self, codes_NP: Tensor) -> Tensor:
        """Add up the vectors of the first P codes, shape (N, D)."""
        vectors_ND: Tensor = self.levels[0].new_zeros(codes_NP.shape[0], self.dim)
        for codebook_KD, code_N in zip(self.levels, codes_NP.unbind(dim=1), strict=False):
            vectors_ND = vectors_ND + codebook_KD[code_N]
        return vectors_ND

    def costs(self, latents_ND: Tensor, codes_NP: Tensor) -> Tensor:
        """Square the distance from what P levels left over to each code of the next, (N, K)."""
        residual_ND = latents_ND - self.embed(codes_NP)
        codebook_KD = self.levels[codes_NP.shape[1]]
        norms_NK = residual_ND.square().sum(dim=1)[:, None] + codebook_KD.square().sum(dim=1)
        return torch.addmm(norms_NK, residual_ND, codebook_KD.T, alpha=-2)

    @torch.no_grad()
    def quantize(self, latents_ND: Tensor, prefix_NP: Tensor | None = None) -> Tensor:
        """Choose the nearest code level by level, from the level after the prefix on, (N, L)."""
        if prefix_NP is None:
            prefix_NP = torch.empty(len(latents_ND), 0, dtype=torch.long, device=latents_ND.device)
        parts = zip(
            torch.split(latents_ND, ROWS_AT_ONCE), torch.split(prefix_NP, ROWS_AT_ONCE), strict=True
        )
        return torch.cat([self._quantize_part(*part) for part in parts])

    def _quantize_part(self, latents_ND: Tensor, codes_NP: Tensor) -> Tensor:
        for _ in self.levels[codes_NP.shape[1] :]:
            code_N = self.costs(latents_ND, codes_NP).argmin(dim=1)
            codes_NP = torch.cat([codes_NP, code_N[:, None]], dim=1)
        return codes_NP

    @torch.no_grad()
    def fit_kmeans(
        self, latents_ND: Tensor, *, generator: torch.Generator, iterations: int = 30
    ) -> None:
        """Set every level to the k-means centres of what the levels before it left over."""
        residual_ND = latents_ND
        for codebook_KD in self.levels:
            fit = kmeans(residual_ND, len(codebook_KD), generator=generator, iterations=iterations)
            codebook_KD.copy_(fit.centres_KD)
            residual_ND = residual_ND - fit.centres_KD[fit.codes_N]
