import pytest
import torch

from genrec.tokenization.residual import ResidualCodebooks, check_codebook_sizes


def small_codebooks() -> ResidualCodebooks:
    """Two levels: tens and ones on a line."""
    codebooks = ResidualCodebooks((3, 4), dim=1)
    with torch.no_grad():
        codebooks.levels[0].copy_(torch.tensor([[0.0], [10.0], [20.0]]))
        codebooks.levels[1].copy_(torch.tensor([[-2.0], [0.0], [1.0], [3.0]]))
    return codebooks


@pytest.mark.parametrize(
    ("latent", "codes"),
    [(0.1, [0, 1]), (10.9, [1, 2]), (18.2, [2, 0]), (24.0, [2, 3]), (-9.0, [0, 0])],
)
def test_each_level_codes_what_the_last_left_over(latent, codes):
    assert small_codebooks().quantize(torch.tensor([[latent]])).tolist() == [codes]


def test_the_vectors_of_the_codes_add_up():
    codes_NL = torch.tensor([[1, 3], [2, 0]])
    assert small_codebooks().embed(codes_NL).tolist() == [[13.0], [18.0]]


def test_a_prefix_is_kept():
    latents_ND = torch.tensor([[10.9], [10.9]])
    codes_NL = small_codebooks().quantize(latents_ND, torch.tensor([[0], [2]]))
    assert codes_NL.tolist() == [[0, 3], [2, 0]]


def test_costs_are_squared_distances_to_what_is_left_over():
    costs_NK = small_codebooks().costs(torch.tensor([[11.0]]), torch.tensor([[1]]))
    torch.testing.assert_close(costs_NK.detach(), torch.tensor([[9.0, 1.0, 0.0, 4.0]]))


def test_levels_fitted_by_kmeans_lose_less_and_less():
    generator = torch.Generator().manual_seed(0)
    latents_ND = torch.randn(500, 4, generator=generator)
    codebooks = ResidualCodebooks((8, 8, 8), dim=4)
    codebooks.fit_kmeans(latents_ND, generator=generator)
    codes_NL = codebooks.quantize(latents_ND)
    errors = [
        (latents_ND - codebooks.embed(codes_NL[:, :level])).square().sum().item()
        for level in range(4)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[3] < errors[0] / 8


def test_dead_codes_move_to_where_items_are():
    codebooks = small_codebooks()
    latents_ND = torch.tensor([[0.2], [10.4], [9.0], [12.5]])
    codes_NL = codebooks.quantize(latents_ND)
    # Nobody has code 2 of either level; both move to what the first item has left over there.
    assert codebooks.revive(codes_NL, latents_ND) == 2
    assert codebooks.levels[0].flatten().tolist() == pytest.approx([0.0, 10.0, 0.2])
    assert codebooks.levels[1].flatten().tolist() == pytest.approx([-2.0, 0.0, 0.0, 3.0])


@pytest.mark.parametrize(("sizes", "words"), [((), "is empty"), ((8, 1), "level 1 has 1 code")])
def test_sizes_that_are_no_codebooks_are_refused(sizes, words):
    with pytest.raises(ValueError, match=words):
        check_codebook_sizes(sizes)
