import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.tokenization.estimators import (
    gumbel_choice,
    residual_quantize,
    rotation_trick,
    separation_loss,
)


def test_levels_worked_by_hand():
    codebooks = [torch.tensor([[0.0, 0.0], [4.0, 0.0]]), torch.tensor([[0.0, 1.0], [-1.0, 0.0]])]
    found = residual_quantize(torch.tensor([[3.0, 0.0], [0.0, 2.0]]), codebooks, commitment=0.5)
    assert found.codes_BL.tolist() == [[1, 1], [0, 0]]
    torch.testing.assert_close(found.latents_BD, torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
    # Left over after level 0: (-1, 0) and (0, 2); after level 1: (0, 0) and (0, 1).
    # Squared and summed over dimensions and levels, averaged over the batch: (1 + 4 + 0 + 1) / 2.
    assert found.loss.item() == pytest.approx((1 + 0.5) * 3)


def test_gradients_pass_straight_through():
    latents_BD = torch.randn(5, 4, requires_grad=True)
    residual_quantize(latents_BD, [torch.randn(8, 4)] * 3).latents_BD.sum().backward()
    torch.testing.assert_close(latents_BD.grad, torch.ones_like(latents_BD))


def test_codes_move_towards_latents_and_latents_towards_codes():
    latents_BD = torch.tensor([[1.0, 0.0]], requires_grad=True)
    codebook_KD = torch.tensor([[0.0, 0.0]], requires_grad=True)
    residual_quantize(latents_BD, [codebook_KD], commitment=0.25).loss.backward()
    assert codebook_KD.grad.tolist() == [[-2.0, 0.0]]
    assert latents_BD.grad.tolist() == [[0.5, 0.0]]


@given(st.integers(0, 9999))
@settings(max_examples=40, deadline=None)
def test_the_rotation_ends_at_the_codes(seed):
    generator = torch.Generator().manual_seed(seed)
    latents_BD, quantized_BD = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(rotation_trick(latents_BD, quantized_BD), quantized_BD)


def test_gradients_are_rotated_and_scaled_as_the_latents_are():
    # The code lies a quarter turn from the latent and is twice as long; so are gradients.
    latents_BD = torch.tensor([[1.0, 0.0]], requires_grad=True)
    quantized_BD = torch.tensor([[0.0, 2.0]])
    (rotation_trick(latents_BD, quantized_BD) * torch.tensor([[0.0, 3.0]])).sum().backward()
    torch.testing.assert_close(latents_BD.grad, torch.tensor([[6.0, 0.0]]))


def test_the_rotation_agrees_with_the_matrix_of_the_paper():
    latents_BD, quantized_BD = torch.randn(2, 1, 5, generator=torch.Generator().manual_seed(3))
    e, q = (x[0] / x[0].norm() for x in (latents_BD, quantized_BD))
    r = (e + q) / (e + q).norm()
    rotation_DD = torch.eye(5) - 2 * torch.outer(r, r) + 2 * torch.outer(q, e)
    expected_DD = rotation_DD * quantized_BD.norm() / latents_BD.norm()
    jacobian = torch.autograd.functional.jacobian(
        lambda x_D: rotation_trick(x_D[None], quantized_BD)[0], latents_BD[0]
    )
    torch.testing.assert_close(jacobian, expected_DD)


def test_a_latent_of_zero_does_not_break_the_rotation():
    latents_BD = torch.zeros(1, 3, requires_grad=True)
    rotation_trick(latents_BD, torch.ones(1, 3)).sum().backward()
    assert latents_BD.grad.isfinite().all()


def test_gumbel_draws_follow_the_softmax_of_the_distances():
    # One latent at 0; codes at squared distances 1 and 1.5, in units of the nearest: odds 1 : e^-1.
    residual_BD = torch.zeros(20_000, 1)
    codebook_KD = torch.tensor([[1.0], [1.5**0.5]])
    choice_BK = gumbel_choice(residual_BD, codebook_KD, 0.5, torch.Generator().manual_seed(0))
    assert set(choice_BK.unique().round(decimals=4).tolist()) == {0.0, 1.0}
    share = choice_BK[:, 1].mean().item()
    assert share == pytest.approx(1 / (1 + 2.718281828), abs=0.01)


def test_a_cold_gumbel_draw_takes_the_nearest_code():
    latents_BD = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    codebooks = list(torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(1)))
    drawn = residual_quantize(
        latents_BD, codebooks, estimator="gumbel", temperature=1e-6, generator=torch.Generator()
    )
    nearest = residual_quantize(latents_BD, codebooks)
    assert torch.equal(drawn.codes_BL, nearest.codes_BL)
    torch.testing.assert_close(drawn.latents_BD, nearest.latents_BD)


def test_only_pairs_in_collision_are_separated():
    latents_BD = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.5]], requires_grad=True)
    quantized_BD = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 1.5]])
    codes_BL = torch.tensor([[0, 1], [0, 2], [0, 1]])
    # The mean squared quantization error is 1; items 0 and 2 collide at a squared distance of 1/4.
    loss = separation_loss(latents_BD, quantized_BD, codes_BL, margin=2.0)
    assert loss.item() == pytest.approx(2 - 0.25)
    loss.backward()
    assert latents_BD.grad[1].tolist() == [0.0, 0.0]
    assert latents_BD.grad[0, 1] > 0 > latents_BD.grad[2, 1]


def test_a_pair_beyond_the_margin_is_left_alone():
    latents_BD = torch.tensor([[0.0], [2.0]])
    loss = separation_loss(latents_BD, latents_BD + 1, torch.tensor([[0], [0]]), margin=4.0)
    assert loss.item() == 0
