import pytest
import torch

from genrec.tokenization.residual import ResidualCodebooks
from genrec.tokenization.splitting import split_collisions


def codebooks_of(*levels: list[list[float]]) -> ResidualCodebooks:
    codebooks = ResidualCodebooks(tuple(map(len, levels)), len(levels[0][0]))
    with torch.no_grad():
        for codebook_KD, centres in zip(codebooks.levels, levels, strict=True):
            codebook_KD.copy_(torch.tensor(centres))
    return codebooks


def test_a_pair_in_one_cell_is_parted_by_the_plane_halfway_between():
    codebooks = codebooks_of([[0.0, 0.0], [5.0, 3.0]])
    latents_ND = torch.tensor([[0.5, 0.0], [-0.1, 0.0]])
    assert split_collisions(codebooks, latents_ND) == 0
    # The plane lies at 0.2; the centre stays at 0, or at its mirror image 0.4 on the other side,
    # but no closer than the items are to the plane: 0.3 from it.
    first_D, second_D = codebooks.levels[0].detach()
    torch.testing.assert_close(first_D, torch.tensor([0.5, 0.0]))
    torch.testing.assert_close(second_D, torch.tensor([-0.1, 0.0]))


def test_the_code_that_is_missed_least_gives_its_place():
    codebooks = codebooks_of([[0.0], [10.0], [10.1], [30.0]])
    latents_ND = torch.tensor([[0.4], [-0.4], [10.0], [30.0]])
    assert split_collisions(codebooks, latents_ND) == 0
    centres = sorted(codebooks.levels[0].flatten().tolist())
    assert centres == pytest.approx([-0.4, 0.4, 10.0, 30.0])


def test_levels_before_the_last_stay():
    generator = torch.Generator().manual_seed(0)
    latents_ND = torch.randn(300, 4, generator=generator)
    codebooks = ResidualCodebooks((16, 16), 4)
    codebooks.fit_kmeans(latents_ND, generator=generator)
    first_KD = codebooks.levels[0].detach().clone()
    before = len(codebooks.quantize(latents_ND).unique(dim=0))
    split_collisions(codebooks, latents_ND)
    assert torch.equal(codebooks.levels[0].detach(), first_KD)
    assert len(codebooks.quantize(latents_ND).unique(dim=0)) >= before


def test_what_is_left_is_counted():
    generator = torch.Generator().manual_seed(1)
    latents_ND = torch.randn(200, 3, generator=generator)
    codebooks = ResidualCodebooks((8, 64), 3)
    codebooks.fit_kmeans(latents_ND, generator=generator)
    left = split_collisions(codebooks, latents_ND)
    _, group_N, counts = torch.unique(
        codebooks.quantize(latents_ND), dim=0, return_inverse=True, return_counts=True
    )
    assert left == int((counts[group_N] > 1).sum())


def test_equal_items_stay_together_and_break_nothing():
    codebooks = codebooks_of([[0.0, 0.0], [5.0, 3.0]])
    assert split_collisions(codebooks, torch.zeros(3, 2)) == 3
    assert codebooks.levels[0].isfinite().all()
