"""Collaborative features: items that the same users meet one after the other lie close together.

Shape letters in this file: I events, E of them that may be learned from, N items, D dimensions,
S sketch.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from genrec.data import Interactions
from genrec.tokenization.arrays import Bools, Features


@dataclass(frozen=True, kw_only=True)
class CollaborativeConfig:
    """Features from who met which items together."""

    dim: int = 64
    """Width of the features."""

    window: int = 5
    """How many events apart two items of one user may be to count as met together."""

    weight: float = 1.0
    """Length of the vectors; in a blend of sources, how much these count."""

    def __post_init__(self) -> None:
        if self.dim < 1 or self.window < 1 or self.weight <= 0:
            raise ValueError(
                f"dim {self.dim}, window {self.window} and weight {self.weight} must be positive"
            )


def collaborative_features(
    interactions: Interactions,
    train_I: Bools,
    items: int,
    config: CollaborativeConfig,
    *,
    generator: torch.Generator,
) -> Features:
    """Factorise how much more often than by chance two items are met together, shape (N, D).

    The leading singular vectors of the positive pointwise mutual information, each times the root
    of its value, are what skip-gram embeddings approximate (Levy and Goldberg 2014,
    https://papers.nips.cc/paper/5477). An item that no training event joins to another has the
    zero vector, which says nothing.

    Args:
        interactions: All events.
        train_I: The events that may be learned from; no other leaves a trace.
        items: Size of the catalogue.
        config: Width, window and weight.
        generator: Starts the factorisation.
    """
    counts_NN = cooccurrence(interactions, train_I, items, window=config.window)
    vectors_ND = _factorise(_positive_pmi(counts_NN), min(config.dim, items), generator)
    unit_ND = functional.normalize(vectors_ND, dim=1) * config.weight
    return unit_ND.numpy().astype(np.float32)


def cooccurrence(interactions: Interactions, train_I: Bools, items: int, *, window: int) -> Tensor:
    """Count how often two items are met by one user, nearer events for more, as a sparse matrix.

    Two events that are ``k`` apart count ``1 / k``; the matrix is symmetric, its diagonal empty.
    """
    item_E = torch.from_numpy(interactions.item[train_I].astype(np.int64))
    user_E = torch.from_numpy(interactions.user_of[train_I].astype(np.int64))
    pairs, values = [], []
    for gap in range(1, min(window, len(item_E) - 1) + 1):
        together = (user_E[gap:] == user_E[:-gap]) & (item_E[gap:] != item_E[:-gap])
        pair = torch.stack([item_E[:-gap][together], item_E[gap:][together]])
        pairs += [pair, pair.flip(dims=[0])]
        values += [torch.full((2 * pair.shape[1],), 1 / gap, dtype=torch.float64)]
    indices = torch.cat(pairs, dim=1) if pairs else torch.empty(2, 0, dtype=torch.long)
    counts = torch.cat(values) if values else torch.empty(0, dtype=torch.float64)
    return torch.sparse_coo_tensor(
        indices, counts, (items, items), check_invariants=True
    ).coalesce()


def _positive_pmi(counts_NN: Tensor) -> Tensor:
    """Take the logarithm of each count over what chance would give, and drop what is below it."""
    rows, columns = counts_NN.indices()
    totals_N = counts_NN.sum(dim=1).to_dense()
    # The power of 3/4 keeps rare partners from looking surprising; see section 3.1 of Levy,
    # Goldberg and Dagan 2015, https://aclanthology.org/Q15-1016.
    smooth_N = totals_N**0.75
    chance = smooth_N[rows] * smooth_N[columns] / smooth_N.sum() ** 2 * totals_N.sum()
    pmi = (counts_NN.values() / chance).log().clamp(min=0)
    return torch.sparse_coo_tensor(
        counts_NN.indices(), pmi, counts_NN.shape, check_invariants=True
    ).coalesce()


def _factorise(matrix_NN: Tensor, dim: int, generator: torch.Generator) -> Tensor:
    """Find the leading singular vectors of a symmetric matrix, times the root of their values.

    Randomised subspace iteration (Halko, Martinsson and Tropp, https://arxiv.org/abs/0909.4061).
    """
    items = matrix_NN.shape[0]
    sketch = min(dim + 16, items)
    basis_NS = torch.randn(items, sketch, dtype=torch.float64, generator=generator)
    for _ in range(8):
        basis_NS = torch.linalg.qr(matrix_NN @ basis_NS).Q
    values_S, vectors_SS = torch.linalg.eigh(basis_NS.T @ (matrix_NN @ basis_NS))
    leading_D = values_S.abs().argsort(descending=True)[:dim]
    vectors_ND: Tensor = basis_NS @ vectors_SS[:, leading_D]
    vectors_ND *= values_S[leading_D].abs().sqrt()
    # Rounding leaves next to nothing in rows of nothing, which scaling to a length would blow up.
    vectors_ND[matrix_NN.sum(dim=1).to_dense() == 0] = 0
    return vectors_ND
