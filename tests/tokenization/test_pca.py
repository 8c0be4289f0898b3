import pytest
import torch

from genrec.tokenization.pca import principal_components


def features() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(300, 5, generator=generator) * torch.tensor([1.0, 5.0, 2.0, 0.1, 3.0]) + 7


def test_the_widest_direction_comes_first():
    basis_FD = principal_components(features(), 2).basis_FD
    assert basis_FD.abs().argmax(dim=0).tolist() == [1, 4]


def test_directions_are_orthonormal():
    basis_FD = principal_components(features(), 3).basis_FD
    torch.testing.assert_close(basis_FD.T @ basis_FD, torch.eye(3))


def test_it_keeps_the_variance_that_the_svd_promises():
    x_NF = features()
    mean_F, basis_FD, *_ = principal_components(x_NF, 3)
    kept = ((x_NF - mean_F) @ basis_FD).square().sum()
    singular = torch.linalg.svdvals(x_NF - x_NF.mean(dim=0))
    torch.testing.assert_close(kept, singular[:3].square().sum())


def test_more_components_than_features_are_refused():
    with pytest.raises(ValueError, match="6 components cannot come from 5 features"):
        principal_components(features(), 6)


def test_variances_are_those_along_the_directions_and_in_all():
    x_NF = features()
    found = principal_components(x_NF, 2)
    along_ND = (x_NF - found.mean_F) @ found.basis_FD
    torch.testing.assert_close(found.variance_D, along_ND.var(dim=0, correction=0))
    torch.testing.assert_close(found.variance, x_NF.var(dim=0, correction=0).sum())
