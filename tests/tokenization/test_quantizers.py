import json

import pytest
import torch

from genrec.config import to_dict
from genrec.tokenization.fsq import FSQConfig
from genrec.tokenization.opq import OPQConfig
from genrec.tokenization.quantizers import (
    CONFIGS,
    build_quantizer,
    config_from_json,
    fit_quantizer,
    is_trained,
    method_of,
)
from genrec.tokenization.rqkmeans import RQKMeansConfig
from genrec.tokenization.rqvae import RQVAEConfig
from genrec.tokenization.training import TrainingConfig

SMALL = [
    RQVAEConfig(codebook_sizes=(4, 4), latent_dim=3, hidden_dims=(8,)),
    RQKMeansConfig(codebook_sizes=(4, 4), components=3),
    OPQConfig(codebook_sizes=(4, 4), components=4),
    FSQConfig(levels=2, values=(2, 2), hidden_dims=(8,)),
]


def test_every_method_has_a_small_config_here():
    assert [method_of(config) for config in SMALL] == list(CONFIGS)


@pytest.mark.parametrize("config", SMALL, ids=method_of)
def test_a_config_comes_back_from_json(config):
    plain = json.loads(json.dumps(to_dict(config)))
    assert config_from_json(method_of(config), plain) == config


@pytest.mark.parametrize("config", SMALL, ids=method_of)
def test_what_is_fitted_keeps_every_promise_of_a_quantizer(config):
    x_NF = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    model = fit_quantizer(
        config, x_NF, TrainingConfig(epochs=2, batch_size=30),
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    codes_NL = model.quantize(x_NF)
    assert codes_NL.shape == (60, len(model.codebook_sizes))
    assert model.reconstruct(codes_NL).shape == x_NF.shape
    for level, size in enumerate(model.codebook_sizes):
        costs_NK = model.costs(x_NF, codes_NL[:, :level])
        assert costs_NK.shape == (60, size)
        own_N = costs_NK.gather(1, codes_NL[:, level : level + 1])[:, 0]
        torch.testing.assert_close(own_N, costs_NK.min(dim=1).values)
        kept_NL = model.quantize(x_NF, codes_NL[:, :level])
        assert torch.equal(kept_NL, codes_NL)


@pytest.mark.parametrize("config", SMALL, ids=method_of)
def test_weights_that_are_saved_make_the_same_quantizer(config):
    x_NF = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
    training = TrainingConfig(epochs=1)
    fitted = fit_quantizer(config, x_NF, training, generator=torch.Generator().manual_seed(0))
    again = build_quantizer(config, 6)
    again.load_state_dict(fitted.state_dict())
    assert torch.equal(again.quantize(x_NF), fitted.quantize(x_NF))


def test_gradients_train_two_of_them():
    assert [method_of(config) for config in SMALL if is_trained(config)] == ["rqvae", "fsq"]


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="no method 'rq'; known are rqvae, rqkmeans, opq, fsq"):
        config_from_json("rq", {})
