import dataclasses

import pytest
import torch

from genrec.tokenization.pca import principal_components
from genrec.tokenization.rqvae import RQVAE, RQVAEConfig

CONFIG = RQVAEConfig(codebook_sizes=(6, 6), latent_dim=3, hidden_dims=(8,))


def initialised(config: RQVAEConfig = CONFIG) -> tuple[RQVAE, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x_NF = torch.randn(80, 5, generator=generator) * 4 + 1
    model = RQVAE(config, 5)
    model.initialise(x_NF, generator=generator)
    return model, x_NF


def test_the_reconstruction_is_summed_over_dimensions_and_averaged_over_items():
    model, x_NF = initialised()
    decoded_NF = model.reconstruct(model.quantize(x_NF))
    by_hand = ((decoded_NF - x_NF) * model.coder.scale).square().sum() / len(x_NF)
    torch.testing.assert_close(model.losses(x_NF).reconstruction.detach(), by_hand)


def test_inputs_enter_centred_with_a_mean_squared_norm_of_one():
    model, x_NF = initialised()
    inputs_NF = model.coder.normalise(x_NF)
    assert inputs_NF.mean(dim=0).abs().max() < 1e-6
    assert inputs_NF.square().sum(dim=1).mean().item() == pytest.approx(1)


def test_it_starts_as_principal_components():
    model, x_NF = initialised()
    mean_F, basis_FD, *_ = principal_components(x_NF, 3)
    torch.testing.assert_close(
        model.coder.encode(x_NF).detach(), (x_NF - mean_F) * model.coder.scale @ basis_FD
    )


def test_the_chosen_code_is_the_cheapest():
    model, x_NF = initialised()
    codes_NL = model.quantize(x_NF)
    assert torch.equal(model.costs(x_NF, codes_NL[:, :1]).argmin(dim=1), codes_NL[:, 1])


@pytest.mark.parametrize("estimator", ["straight_through", "rotation", "gumbel"])
def test_every_estimator_moves_encoder_codebooks_and_decoder(estimator):
    model, x_NF = initialised(dataclasses.replace(CONFIG, estimator=estimator))
    losses = model.losses(x_NF, generator=torch.Generator().manual_seed(0))
    (losses.reconstruction + losses.quantization).backward()
    assert model.coder.encoder.linear.weight.grad.abs().sum() > 0
    assert model.coder.decoder.linear.weight.grad.abs().sum() > 0
    assert all(codebook_KD.grad.abs().sum() > 0 for codebook_KD in model.codebooks.levels)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"codebook_sizes": ()}, "codebook_sizes is empty"),
        ({"latent_dim": 0}, "must be positive widths"),
        ({"commitment": -1.0}, "must not be negative"),
        ({"temperature": 0.0}, "temperature is 0.0"),
    ],
)
def test_nonsense_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        RQVAEConfig(**wrong)
