"""From features to codes and back, a block of rows at a time.

Shape letters in this file: N items, F features, L levels.
"""

import numpy as np
import torch
from torch import Tensor

from genrec.tokenization.arrays import Features
from genrec.tokenization.quality import CollapsedCodebookError
from genrec.tokenization.quantizer import Quantizer

ROWS_AT_ONCE = 65_536
"""Items encoded at a time."""


def quantize(quantizer: Quantizer, x_NF: Tensor) -> Tensor:
    """Choose the nearest codes of all items, of shape (N, L)."""
    return torch.cat([quantizer.quantize(part_NF) for part_NF in torch.split(x_NF, ROWS_AT_ONCE)])


@torch.no_grad()
def reconstruction_errors(quantizer: Quantizer, x_NF: Tensor, codes_NL: Tensor) -> Features:
    """Square the distance of every item from what its codes stand for, of shape (N,)."""
    parts = zip(torch.split(x_NF, ROWS_AT_ONCE), torch.split(codes_NL, ROWS_AT_ONCE), strict=True)
    errors = [
        (part_NF - quantizer.reconstruct(code_NL)).square().sum(dim=1) for part_NF, code_NL in parts
    ]
    return torch.cat(errors).cpu().numpy()


def check_features(features_NF: Features, *, items: int | None = None) -> None:
    """Refuse features that are no finite matrix with one row per item.

    Raises:
        ValueError: When they are not; the message says where.
    """
    if features_NF.ndim != 2 or 0 in features_NF.shape:
        raise ValueError(f"features must have the shape (items, width), not {features_NF.shape}")
    if items is not None and len(features_NF) != items:
        raise ValueError(
            f"there are features of {len(features_NF)} items, but the catalogue has {items}; "
            "encode this catalogue again"
        )
    count, first = 0, 0
    for start in range(0, len(features_NF), ROWS_AT_ONCE):
        broken = np.flatnonzero(~np.isfinite(features_NF[start : start + ROWS_AT_ONCE]).all(axis=1))
        if len(broken) > 0:
            first = first if count else start + int(broken[0])
            count += len(broken)
    if count:
        raise ValueError(
            f"the features of {count} item(s) are not finite, the first in row {first}; encode "
            "them again"
        )


def feature_variance(features_NF: Features) -> float:
    """Average the squared distance of all items from their mean.

    Raises:
        CollapsedCodebookError: When it is zero, for then no code could tell items apart.
    """
    parts = range(0, len(features_NF), ROWS_AT_ONCE)
    mean_F = sum(
        features_NF[start : start + ROWS_AT_ONCE].sum(axis=0, dtype=np.float64) for start in parts
    ) / len(features_NF)
    total = sum(
        float(np.square(features_NF[start : start + ROWS_AT_ONCE] - mean_F).sum())
        for start in parts
    )
    variance = total / len(features_NF)
    if variance <= 1e-12 * float(np.square(mean_F).sum()):
        raise CollapsedCodebookError(
            f"the features of all {len(features_NF)} items are equal, so every codebook would "
            "collapse; check what is encoded: the attributes, the pictures, the encoder"
        )
    return variance
