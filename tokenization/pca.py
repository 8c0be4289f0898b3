"""Principal components: the few directions in which features differ most.

Shape letters in this file: N items, F features, D components.
"""

from typing import NamedTuple

import torch
from torch import Tensor

ROWS_AT_ONCE = 65_536
"""Rows that enter the covariance at a time; bounds the memory of their float64 copy."""


class PrincipalComponents(NamedTuple):
    """Orthonormal directions, the most telling first, and how much they tell."""

    mean_F: Tensor
    basis_FD: Tensor
    variance_D: Tensor
    """Variance of the features along each direction."""

    variance: Tensor
    """Variance of the features in all."""


def principal_components(features_NF: Tensor, components: int) -> PrincipalComponents:
    """Find the directions of the largest variance, each signed so that its sum is not negative.

    Raises:
        ValueError: When there are fewer features than components.
    """
    count, width = features_NF.shape
    if components > width:
        raise ValueError(
            f"{components} components cannot come from {width} features; use at most {width}"
        )
    mean_F = features_NF.mean(dim=0, dtype=torch.float64)
    covariance_FF = torch.zeros(width, width, dtype=torch.float64, device=features_NF.device)
    for part_NF in torch.split(features_NF, ROWS_AT_ONCE):
        centred_NF = part_NF.double() - mean_F
        covariance_FF += centred_NF.T @ centred_NF / count
    values_F, vectors_FF = torch.linalg.eigh(covariance_FF)
    basis_FD = vectors_FF.flip(dims=[1])[:, :components]
    signs_D = torch.where(basis_FD.sum(dim=0) < 0, -1.0, 1.0).to(basis_FD)
    return PrincipalComponents(
        mean_F.float(),
        (basis_FD * signs_D).float(),
        values_F.flip(dims=[0])[:components].clamp(min=0).float(),
        covariance_FF.trace().float(),
    )
