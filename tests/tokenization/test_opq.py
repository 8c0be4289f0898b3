import numpy as np
import pytest
import torch

from genrec.tokenization.opq import OPQ, OPQConfig, _deal


def features(items: int = 300) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mixed_FF = torch.randn(8, 8, generator=generator)
    spread_F = torch.tensor([4.0, 3.0, 2.0, 1.0, 1.0, 0.5, 0.2, 0.1])
    return torch.randn(items, 8, generator=generator) * spread_F @ mixed_FF + 2


def fitted() -> tuple[OPQ, torch.Tensor]:
    x_NF = features()
    model = OPQ(OPQConfig(codebook_sizes=(8, 8), components=8, rounds=6), 8)
    model.fit(x_NF, generator=torch.Generator().manual_seed(0))
    return model, x_NF


def error(model: OPQ, x_NF: torch.Tensor) -> float:
    return (x_NF - model.reconstruct(model.quantize(x_NF))).square().sum().item()


def test_fitting_the_rotation_finds_subspaces_that_were_mixed():
    # Two independent choices among four heaps, each in a plane, rotated into one another.
    generator = torch.Generator().manual_seed(0)
    heaps_2KW = torch.randn(2, 4, 2, generator=generator)
    picks_2N = torch.randint(4, (2, 400), generator=generator)
    x_NF = torch.cat([heaps_2KW[0][picks_2N[0]], heaps_2KW[1][picks_2N[1]]], dim=1)
    x_NF = x_NF + 0.01 * torch.randn(400, 4, generator=generator)
    x_NF = x_NF @ torch.linalg.qr(torch.randn(4, 4, generator=generator)).Q

    def left(rounds: int) -> float:
        model = OPQ(OPQConfig(codebook_sizes=(4, 4), components=4, rounds=rounds), 4)
        model.fit(x_NF, generator=torch.Generator().manual_seed(0))
        return error(model, x_NF)

    assert left(30) < 0.8 * left(0)


def test_the_map_stays_a_rotation():
    model, _ = fitted()
    torch.testing.assert_close(
        model.basis_FD.T @ model.basis_FD, torch.eye(8), atol=1e-5, rtol=1e-5
    )


def test_costs_add_up_to_the_squared_error_of_all_levels():
    model, x_NF = fitted()
    codes_NL = model.quantize(x_NF)
    cost_N = sum(
        model.costs(x_NF, codes_NL[:, :level]).gather(1, codes_NL[:, level : level + 1])[:, 0]
        for level in range(2)
    )
    error_N = (x_NF - model.reconstruct(codes_NL)).square().sum(dim=1)
    torch.testing.assert_close(cost_N, error_N, atol=1e-3, rtol=1e-4)


def test_the_chosen_code_is_the_cheapest_whatever_the_others_are():
    model, x_NF = fitted()
    codes_NL = model.quantize(x_NF)
    for prefix in (0, 5):
        prefix_NP = torch.full((len(x_NF), 1), prefix)
        assert torch.equal(model.costs(x_NF, prefix_NP).argmin(dim=1), codes_NL[:, 1])


def test_a_prefix_is_kept():
    model, x_NF = fitted()
    codes_NL = model.quantize(x_NF, torch.full((len(x_NF), 1), 3))
    assert codes_NL[:, 0].unique().tolist() == [3]
    assert torch.equal(codes_NL[:, 1], model.quantize(x_NF)[:, 1])


def test_components_are_dealt_so_that_products_of_variances_are_even():
    # 16 and 1 against 4 and 4: both products are 16.
    hands = np.array(_deal(torch.tensor([16.0, 4.0, 4.0, 1.0]), 2)).reshape(2, 2)
    assert sorted(map(sorted, hands.tolist())) == [[0, 3], [1, 2]]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"components": 3}, "3 components cannot be shared by 4 levels"),
        ({"rounds": -1}, "rounds -1 must be at least 0"),
        ({"codebook_sizes": (1,)}, "level 0 has 1 code"),
    ],
)
def test_nonsense_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        OPQConfig(**wrong)


def test_features_narrower_than_the_levels_are_refused():
    with pytest.raises(ValueError, match="features are 3 wide, too few for 4 levels"):
        OPQ(OPQConfig(), 3)
