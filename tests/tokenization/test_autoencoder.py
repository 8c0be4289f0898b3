import pytest
import torch

from genrec.tokenization.autoencoder import Autoencoder, LinearPlusMLP, check_widths
from genrec.tokenization.pca import principal_components


def features() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(200, 5, generator=generator) * torch.tensor([1.0, 5.0, 2.0, 0.1, 3.0]) + 7


def started(*, whiten: bool = False) -> Autoencoder:
    coder = Autoencoder(5, (8, 6), 3)
    coder.start_as_components(features(), generator=torch.Generator().manual_seed(0), whiten=whiten)
    return coder


def test_a_linear_map_is_matched_exactly_at_the_start():
    layer = LinearPlusMLP((4, 7, 7, 2))
    weight_DF = torch.randn(2, 4)
    with torch.no_grad():
        layer.start_as(weight_DF, generator=torch.Generator().manual_seed(0))
    x_BF = torch.randn(3, 4)
    torch.testing.assert_close(layer(x_BF), x_BF @ weight_DF.T)


@pytest.mark.parametrize("whiten", [False, True])
def test_it_starts_as_the_projection_on_principal_components(whiten):
    x_NF = features()
    mean_F, basis_FD, *_ = principal_components(x_NF, 3)
    projected_NF = mean_F + (x_NF - mean_F) @ basis_FD @ basis_FD.T
    coder = started(whiten=whiten)
    torch.testing.assert_close(
        coder.decode(coder.encode(x_NF)).detach(), projected_NF, atol=1e-4, rtol=1e-4
    )


def test_normalised_features_have_a_mean_squared_norm_of_one():
    normal_NF = started().normalise(features())
    assert normal_NF.mean(dim=0).abs().max() < 1e-5
    assert normal_NF.square().sum(dim=1).mean().item() == pytest.approx(1)


def test_whitened_latents_have_a_variance_of_one():
    latents_ND = started(whiten=True).encode(features()).detach()
    torch.testing.assert_close(latents_ND.var(dim=0, correction=0), torch.ones(3))


def test_the_seed_decides_the_hidden_layers():
    first, second = started(), started()
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_widths_below_one_are_refused():
    with pytest.raises(ValueError, match=r"latent_dim 4 and hidden_dims \[0\] must be positive"):
        check_widths(4, [0])
