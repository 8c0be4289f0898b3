"""OPQ: product codes on an optimised rotation, the parallel variant.

Follows Ge, He, Ke and Sun (https://ieeexplore.ieee.org/document/6678503). Every level codes a
subspace of its own, so no level waits for another: a model may predict them in any order, or all at
once. For the same reason no level is the coarsest, and items that share a prefix are alike in some
respects only.

Shape letters in this file: N items, F features, D components, W components of one subspace, L
levels, P levels already coded, K codes of one level.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genrec.tokenization.kmeans import kmeans
from genrec.tokenization.pca import principal_components
from genrec.tokenization.residual import check_codebook_sizes


@dataclass(frozen=True, kw_only=True)
class OPQConfig:
    """Product quantization of principal components."""

    codebook_sizes: tuple[int, ...] = (256, 256, 256, 256)
    """Codes per level; every level codes as many components as any other."""

    components: int = 32
    """Principal components that are quantized; rounded down to a multiple of the levels."""

    rounds: int = 8
    """Times that the rotation is fitted to the codes and the codes to the rotation."""

    iterations: int = 10
    """Most rounds of Lloyd's algorithm per subspace each time."""

    def __post_init__(self) -> None:
        check_codebook_sizes(self.codebook_sizes)
        if self.components < len(self.codebook_sizes):
            raise ValueError(
                f"{self.components} components cannot be shared by {len(self.codebook_sizes)} "
                "levels; quantize at least one per level, such as 32 for 4"
            )
        if self.rounds < 0 or self.iterations < 1:
            raise ValueError(
                f"rounds {self.rounds} must be at least 0, iterations {self.iterations} at least 1"
            )


class OPQ(nn.Module):
    """Codebooks over subspaces; a :class:`genrec.tokenization.quantizer.Quantizer`."""

    mean_F: Tensor
    basis_FD: Tensor

    def __init__(self, config: OPQConfig, feature_dim: int) -> None:
        super().__init__()
        self.config = config
        self.codebook_sizes = config.codebook_sizes
        self.levels = len(config.codebook_sizes)
        self.width = min(config.components, feature_dim) // self.levels
        if self.width < 1:
            raise ValueError(
                f"features are {feature_dim} wide, too few for {self.levels} levels; use fewer"
            )
        self.register_buffer("mean_F", torch.zeros(feature_dim))
        self.register_buffer("basis_FD", torch.zeros(feature_dim, self.width * self.levels))
        self.codebooks = nn.ParameterList(
            torch.zeros(size, self.width) for size in config.codebook_sizes
        )

    @torch.no_grad()
    def fit(self, features_NF: Tensor, *, generator: torch.Generator) -> None:
        """Fit rotation and codebooks to each other, in turns.

        The start deals the components out so that subspaces have about the same variance (the
        parametric solution of section 3.3); each round then solves the orthogonal Procrustes
        problem of section 3.2.
        """
        mean_F, components_FD, variance_D, _ = principal_components(
            features_NF, self.basis_FD.shape[1]
        )
        self.mean_F.copy_(mean_F)
        order_D = torch.tensor(_deal(variance_D, self.levels), device=features_NF.device)
        rotation_DD = torch.eye(len(order_D)).to(features_NF)[:, order_D]
        points_ND = (features_NF - mean_F) @ components_FD
        for turn in range(self.config.rounds + 1):
            if turn > 0:
                coded_ND = self._embed(self._nearest(points_ND @ rotation_DD))
                left_DD, _, right_DD = torch.linalg.svd(points_ND.T @ coded_ND)
                rotation_DD = left_DD @ right_DD
            parts = torch.split(points_ND @ rotation_DD, self.width, dim=1)
            for part_NW, codebook_KW in zip(parts, self.codebooks, strict=True):
                found = kmeans(
                    part_NW, len(codebook_KW), generator=generator,
                    iterations=self.config.iterations,
                    start_KD=codebook_KW if turn > 0 else None,
                )  # fmt: skip
                codebook_KW.copy_(found.centres_KD)
        self.basis_FD.copy_(components_FD @ rotation_DD)

    @torch.no_grad()
    def quantize(self, features_NF: Tensor, prefix_NP: Tensor | None = None) -> Tensor:
        """Choose the nearest centre of every subspace that has no code yet."""
        codes_NL = self._nearest(self._project(features_NF))
        if prefix_NP is not None:
            codes_NL[:, : prefix_NP.shape[1]] = prefix_NP
        return codes_NL

    @torch.no_grad()
    def costs(self, features_NF: Tensor, codes_NP: Tensor) -> Tensor:
        """Price the centres of the next subspace by squared distance."""
        return self._distances(self._project(features_NF), codes_NP.shape[1])

    @torch.no_grad()
    def reconstruct(self, codes_NL: Tensor) -> Tensor:
        """Lead the centres back to features."""
        return self.mean_F + self._embed(codes_NL) @ self.basis_FD.T

    def _project(self, features_NF: Tensor) -> Tensor:
        return (features_NF - self.mean_F) @ self.basis_FD

    def _nearest(self, rotated_ND: Tensor) -> Tensor:
        columns = [self._distances(rotated_ND, level).argmin(dim=1) for level in range(self.levels)]
        return torch.stack(columns, dim=1)

    def _distances(self, rotated_ND: Tensor, level: int) -> Tensor:
        part_NW = rotated_ND[:, level * self.width : (level + 1) * self.width]
        codebook_KW = self.codebooks[level]
        norms_NK = part_NW.square().sum(dim=1)[:, None] + codebook_KW.square().sum(dim=1)
        return torch.addmm(norms_NK, part_NW, codebook_KW.T, alpha=-2)

    def _embed(self, codes_NL: Tensor) -> Tensor:
        return torch.cat(
            [
                codebook_KW[code_N]
                for codebook_KW, code_N in zip(self.codebooks, codes_NL.unbind(dim=1), strict=True)
            ],
            dim=1,
        )


def _deal(variance_D: Tensor, levels: int) -> list[int]:
    """Deal components to subspaces: the widest left goes where the product of variances is least.

    Returns:
        The components in the order of the subspaces, as many for each.
    """
    width = len(variance_D) // levels
    hands: list[list[int]] = [[] for _ in range(levels)]
    weights = [0.0] * levels
    # Scaled so that logarithms are positive: an empty hand then always weighs least.
    logs = (variance_D / variance_D[-1].clamp(min=1e-12)).clamp(min=1e-12).log().add(1.0).tolist()
    for component, weight in enumerate(logs):
        open_hands = [level for level in range(levels) if len(hands[level]) < width]
        least = min(open_hands, key=lambda level: weights[level])
        hands[least].append(component)
        weights[least] += weight
    return [component for hand in hands for component in hand]
