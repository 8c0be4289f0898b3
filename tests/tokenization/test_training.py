import pytest
import torch

from genrec.tokenization.rqvae import RQVAE, RQVAEConfig
from genrec.tokenization.training import (
    DivergedError,
    TrainingConfig,
    train_quantizer,
)

CONFIG = RQVAEConfig(codebook_sizes=(8, 8), latent_dim=4, hidden_dims=(16,))


def clustered(items: int = 256, seed: int = 0) -> torch.Tensor:
    """Draw items around a few centres, bent so that no linear map describes them."""
    generator = torch.Generator().manual_seed(seed)
    centres_KF = torch.randn(6, 12, generator=generator)
    x_NF = centres_KF[torch.randint(6, (items,), generator=generator)]
    return torch.tanh(x_NF + 0.5 * torch.randn(items, 12, generator=generator))


def trained(x_NF: torch.Tensor, training: TrainingConfig, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    model = RQVAE(CONFIG, x_NF.shape[1])
    model.initialise(x_NF, generator=generator)
    return model, train_quantizer(model, x_NF, training, generator=generator)


def test_training_lowers_the_reconstruction_error():
    _, history = trained(clustered(), TrainingConfig(epochs=40, batch_size=64))
    assert history[-1].reconstruction < 0.9 * history[0].reconstruction


def test_the_seed_decides_every_weight():
    x_NF = clustered()
    first, second = (trained(x_NF, TrainingConfig(epochs=3, batch_size=64))[0] for _ in range(2))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_another_seed_gives_other_weights():
    x_NF = clustered()
    first, second = (trained(x_NF, TrainingConfig(epochs=1), seed=seed)[0] for seed in (0, 1))
    assert not torch.equal(first.codebooks.levels[0], second.codebooks.levels[0])


def test_codes_that_die_are_revived_before_the_next_epoch():
    x_NF = clustered()
    model, _ = trained(x_NF, TrainingConfig(epochs=1))
    with torch.no_grad():
        model.codebooks.levels[0][2:] = 1000.0
    generator = torch.Generator().manual_seed(0)
    history = train_quantizer(model, x_NF, TrainingConfig(epochs=2), generator=generator)
    assert history[0].revived >= 6
    assert len(model.quantize(x_NF)[:, 0].unique()) >= 7


def test_half_precision_changes_little():
    x_NF = clustered()
    exact = trained(x_NF, TrainingConfig(epochs=5, batch_size=64, precision="float32"))[1]
    half = trained(x_NF, TrainingConfig(epochs=5, batch_size=64, precision="bfloat16"))[1]
    assert half != exact
    assert half[-1].reconstruction == pytest.approx(exact[-1].reconstruction, rel=0.1)


def test_near_duplicates_get_codes_of_their_own():
    x_NF = clustered(64)
    twins_NF = torch.cat([x_NF, x_NF])
    twins_NF[64:, 0] += 0.3
    training = TrainingConfig(epochs=60, batch_size=64, learning_rate=3e-3)

    def collisions(separation: float) -> int:
        generator = torch.Generator().manual_seed(0)
        config = RQVAEConfig(
            codebook_sizes=(16, 16, 16), latent_dim=4, hidden_dims=(32,),
            separation=separation, split=False,
        )  # fmt: skip
        model = RQVAE(config, twins_NF.shape[1])
        model.initialise(twins_NF, generator=generator)
        train_quantizer(model, twins_NF, training, generator=generator)
        return len(twins_NF) - len(model.quantize(twins_NF).unique(dim=0))

    assert collisions(0.3) < 0.5 * collisions(0.0)


def test_a_loss_that_is_no_number_stops_the_run():
    x_NF = clustered()
    x_NF[3, 3] = torch.nan
    model, _ = trained(clustered(), TrainingConfig(epochs=1))
    with pytest.raises(DivergedError, match="after epoch 0; lower learning_rate"):
        train_quantizer(model, x_NF, TrainingConfig(epochs=1), generator=torch.Generator())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"epochs": 0}, "epochs 0"), ({"learning_rate": 0.0}, "learning_rate is 0.0")],
)
def test_nonsense_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        TrainingConfig(**wrong)
