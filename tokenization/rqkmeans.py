"""RQ-k-means: residual quantization with k-means centres, no network to train.

The last level is ours: it cuts near duplicates apart, of which 256 more centres would leave most
together.

Shape letters in this file: N items, F features, D components, L levels, P levels already coded.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genrec.tokenization.pca import principal_components
from genrec.tokenization.residual import ResidualCodebooks, check_codebook_sizes


@dataclass(frozen=True, kw_only=True)
class RQKMeansConfig:
    """Residual k-means on the principal components of item features."""

    codebook_sizes: tuple[int, ...] = (256, 256, 256, 256)
    """Codes per level, coarsest first. Its length is the number of levels."""

    components: int = 32
    """Principal components that are quantized. In hundreds of dimensions residuals are mostly
    noise: later levels spend their codes on outliers and leave the bulk in one cell."""

    iterations: int = 30
    """Most rounds of Lloyd's algorithm per level."""

    separate: bool = True
    """Let the last level tell near duplicates apart instead of describing everybody a little
    better; see :mod:`genrec.tokenization.separator`."""

    def __post_init__(self) -> None:
        check_codebook_sizes(self.codebook_sizes)
        if self.components < 1:
            raise ValueError(f"components is {self.components}; quantize at least 1, such as 32")


class RQKMeans(nn.Module):
    """Codebooks over principal components; a :class:`genrec.tokenization.quantizer.Quantizer`."""

    mean_F: Tensor
    basis_FD: Tensor

    def __init__(self, config: RQKMeansConfig, feature_dim: int) -> None:
        super().__init__()
        self.config = config
        self.codebook_sizes = config.codebook_sizes
        components = min(config.components, feature_dim)
        self.register_buffer("mean_F", torch.zeros(feature_dim))
        self.register_buffer("basis_FD", torch.zeros(feature_dim, components))
        self.codebooks = ResidualCodebooks(
            config.codebook_sizes, components, separating=config.separate
        )

    @torch.no_grad()
    def fit(self, features_NF: Tensor, *, generator: torch.Generator) -> None:
        """Set the components and, level by level, the codebooks."""
        mean_F, basis_FD, *_ = principal_components(features_NF, self.basis_FD.shape[1])
        self.mean_F.copy_(mean_F)
        self.basis_FD.copy_(basis_FD)
        self.codebooks.fit_kmeans(
            self._project(features_NF), generator=generator, iterations=self.config.iterations
        )

    @torch.no_grad()
    def quantize(self, features_NF: Tensor, prefix_NP: Tensor | None = None) -> Tensor:
        """Choose the nearest centres level by level."""
        return self.codebooks.quantize(self._project(features_NF), prefix_NP)

    @torch.no_grad()
    def costs(self, features_NF: Tensor, codes_NP: Tensor) -> Tensor:
        """Price the centres of the next level by squared distance."""
        return self.codebooks.costs(self._project(features_NF), codes_NP)

    @torch.no_grad()
    def reconstruct(self, codes_NL: Tensor) -> Tensor:
        """Lead the sum of the centres back to features."""
        return self.mean_F + self.codebooks.embed(codes_NL) @ self.basis_FD.T

    def _project(self, features_NF: Tensor) -> Tensor:
        return (features_NF - self.mean_F) @ self.basis_FD
