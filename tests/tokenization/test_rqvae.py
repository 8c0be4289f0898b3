import pytest
import torch

from genrec.tokenization.pca import principal_components
from genrec.tokenization.rqvae import (
    RQVAE,
    LinearPlusMLP,
    RQVAEConfig,
    residual_quantize,
    separation_loss,
)

CONFIG = RQVAEConfig(codebook_sizes=(6, 6), latent_dim=3, hidden_dims=(8,))


def initialised(config: RQVAEConfig = CONFIG) -> tuple[RQVAE, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x_NF = torch.randn(80, 5, generator=generator) * 4 + 1
    model = RQVAE(config, 5)
    model.initialise(x_NF, generator=generator)
    return model, x_NF


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


def test_the_reconstruction_is_summed_over_dimensions_and_averaged_over_items():
    model, x_NF = initialised()
    decoded_NF = model.reconstruct(model.quantize(x_NF))
    by_hand = ((decoded_NF - x_NF) * model.scale).square().sum() / len(x_NF)
    torch.testing.assert_close(model.losses(x_NF).reconstruction.detach(), by_hand)


def test_inputs_enter_centred_with_a_mean_squared_norm_of_one():
    model, x_NF = initialised()
    inputs_NF = (x_NF - model.mean_F) * model.scale
    assert inputs_NF.mean(dim=0).abs().max() < 1e-6
    assert inputs_NF.square().sum(dim=1).mean().item() == pytest.approx(1)


def test_it_starts_as_principal_components():
    model, x_NF = initialised()
    mean_F, basis_FD = principal_components(x_NF, 3)
    torch.testing.assert_close(
        model.encode(x_NF).detach(), (x_NF - mean_F) * model.scale @ basis_FD
    )


def test_a_linear_map_is_matched_exactly_at_the_start():
    layer = LinearPlusMLP((4, 7, 7, 2))
    weight_DF = torch.randn(2, 4)
    with torch.no_grad():
        layer.start_as(weight_DF, generator=torch.Generator().manual_seed(0))
    x_BF = torch.randn(3, 4)
    torch.testing.assert_close(layer(x_BF), x_BF @ weight_DF.T)


def test_the_chosen_code_is_the_cheapest():
    model, x_NF = initialised()
    codes_NL = model.quantize(x_NF)
    assert torch.equal(model.costs(x_NF, codes_NL[:, :1]).argmin(dim=1), codes_NL[:, 1])


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


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"codebook_sizes": ()}, "codebook_sizes is empty"),
        ({"latent_dim": 0}, "must be positive widths"),
        ({"commitment": -1.0}, "must not be negative"),
    ],
)
def test_nonsense_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        RQVAEConfig(**wrong)
