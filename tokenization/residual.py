"""Residual codebooks: each level codes what the levels before it left over.

Shape letters in this file: N items, D latent dimensions, L levels, P levels already coded, K codes
of one level, S items drawn at random.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from genrec.tokenization.groups import group_rows
from genrec.tokenization.kmeans import kmeans
from genrec.tokenization.separator import Separator

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
    """One codebook a level, coarsest first; the vectors of an item's codes add up to latents.

    A level chooses the code whose vector is nearest to what is left over; the last one, where it is
    ``separating``, the cell of a :class:`~genrec.tokenization.separator.Separator`.
    """

    def __init__(self, sizes: Sequence[int], dim: int, *, separating: bool = False) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.dim = dim
        self.levels = nn.ParameterList(torch.zeros(size, dim) for size in sizes)
        self.separator = Separator(sizes[-1], dim) if separating else None

    def embed(self, codes_NP: Tensor) -> Tensor:
        """Add up the vectors of the first P codes, shape (N, D)."""
        vectors_ND: Tensor = self.levels[0].new_zeros(codes_NP.shape[0], self.dim)
        for codebook_KD, code_N in zip(self.levels, codes_NP.unbind(dim=1), strict=False):
            vectors_ND = vectors_ND + codebook_KD[code_N]
        return vectors_ND

    def costs(self, latents_ND: Tensor, codes_NP: Tensor) -> Tensor:
        """Square the distance from what P levels left over to each code of the next, (N, K)."""
        level = codes_NP.shape[1]
        residual_ND = latents_ND - self.embed(codes_NP)
        if self.separator is not None and level == len(self.sizes) - 1:
            return self.separator.costs(residual_ND)
        codebook_KD = self.levels[level]
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
        codes: list[Tensor] = []
        for level, codebook_KD in enumerate(self.levels):
            if self.separator is not None and level == len(self.levels) - 1:
                self._fit_separator(self.separator, residual_ND, codes)
                return
            fit = kmeans(residual_ND, len(codebook_KD), generator=generator, iterations=iterations)
            codebook_KD.copy_(fit.centres_KD)
            residual_ND = residual_ND - fit.centres_KD[fit.codes_N]
            codes.append(fit.codes_N)

    def _fit_separator(
        self, separator: Separator, residual_ND: Tensor, codes: list[Tensor]
    ) -> None:
        """Set the last level to cells along a line, and its vectors to their items' means."""
        prefix_N = np.zeros(len(residual_ND), dtype=np.int64)
        if codes:
            prefix_N = group_rows(torch.stack(codes, dim=1).cpu().numpy())
        separator.fit(residual_ND, prefix_N)
        code_N = torch.cat(
            [
                separator.costs(part_ND).argmin(dim=1)
                for part_ND in torch.split(residual_ND, ROWS_AT_ONCE)
            ]
        )
        codebook_KD = self.levels[-1]
        counts_K = torch.bincount(code_N, minlength=len(codebook_KD)).clamp(min=1)
        codebook_KD.zero_().index_add_(0, code_N, residual_ND).div_(counts_K[:, None])

    @torch.no_grad()
    def revive(self, codes_NL: Tensor, latents_SD: Tensor) -> int:
        """Move codes that no item has to where items are, level by level; tell how many.

        A dead code takes the place of what the levels before left over of an item, so that at least
        this item chooses it.

        Args:
            codes_NL: The codes of all items.
            latents_SD: Latents of items drawn at random.
        """
        revived = 0
        for level, codebook_KD in enumerate(self.levels):
            counts_K = torch.bincount(codes_NL[:, level], minlength=len(codebook_KD))
            dead_K = (counts_K == 0).nonzero()[: len(latents_SD), 0]
            if len(dead_K) == 0:
                continue
            rest_SD = latents_SD - self.embed(self.quantize(latents_SD)[:, :level])
            codebook_KD[dead_K] = rest_SD[: len(dead_K)]
            revived += len(dead_K)
        return revived
