import pytest
import torch

from genrec.tokenization.rqkmeans import RQKMeans, RQKMeansConfig


def fitted(components: int = 4, *, separate: bool = False) -> tuple[RQKMeans, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x_NF = torch.randn(200, 6, generator=generator) + 3
    model = RQKMeans(
        RQKMeansConfig(codebook_sizes=(8, 8), components=components, separate=separate), 6
    )
    model.fit(x_NF, generator=generator)
    return model, x_NF


@pytest.mark.parametrize("separate", [False, True])
def test_the_chosen_code_is_the_cheapest(separate):
    model, x_NF = fitted(separate=separate)
    codes_NL = model.quantize(x_NF)
    assert torch.equal(model.costs(x_NF, codes_NL[:, :0]).argmin(dim=1), codes_NL[:, 0])
    assert torch.equal(model.costs(x_NF, codes_NL[:, :1]).argmin(dim=1), codes_NL[:, 1])


def test_with_all_components_costs_are_distances_between_features():
    model, x_NF = fitted(components=6)
    codes_NL = model.quantize(x_NF)
    cost_N = model.costs(x_NF, codes_NL[:, :1]).gather(1, codes_NL[:, 1:])[:, 0]
    torch.testing.assert_close(cost_N, (x_NF - model.reconstruct(codes_NL)).square().sum(dim=1))


def test_separating_changes_the_last_level_alone():
    plain, x_NF = fitted()
    parting, _ = fitted(separate=True)
    codes_NL, parted_NL = plain.quantize(x_NF), parting.quantize(x_NF)
    assert torch.equal(codes_NL[:, 0], parted_NL[:, 0])
    assert not torch.equal(codes_NL[:, 1], parted_NL[:, 1])


def test_more_components_than_features_means_all_of_them():
    model, _ = fitted(components=32)
    assert model.basis_FD.shape == (6, 6)


def test_no_components_are_refused():
    with pytest.raises(ValueError, match="components is 0"):
        RQKMeansConfig(components=0)
