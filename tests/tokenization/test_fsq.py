import pytest
import torch

from genrec.tokenization.fsq import FSQ, FSQConfig
from genrec.tokenization.training import TrainingConfig, train_quantizer

CONFIG = FSQConfig(levels=2, values=(4, 3), hidden_dims=(16,))


def initialised(config: FSQConfig = CONFIG) -> tuple[FSQ, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x_NF = torch.randn(400, 6, generator=generator) * torch.tensor([5.0, 4.0, 3.0, 2.0, 0.1, 0.1])
    model = FSQ(config, 6)
    model.initialise(x_NF, generator=generator)
    return model, x_NF


def test_every_code_stands_for_the_grid_point_that_has_it():
    model, _ = initialised()
    codes_BL = torch.stack([torch.arange(12), torch.arange(12).flip(0)], dim=1)
    assert torch.equal(model._codes(model._digits_of(codes_BL)), codes_BL)
    centres_BD = model._centres(model._digits_of(codes_BL))
    assert torch.equal(model._codes(model._digits(centres_BD)), codes_BL)


def test_grid_points_worked_by_hand():
    model, _ = initialised()
    # Code 7 of values (4, 3) is digit 3 of the first dimension and digit 1 of the second.
    assert model._digits_of(torch.tensor([[7, 0]])).tolist() == [[3, 1, 0, 0]]
    assert model._centres(torch.tensor([[3, 1, 0, 0]])).tolist() == [
        pytest.approx([0.75, 0.0, -0.75, -2 / 3])
    ]


def test_at_the_start_codes_are_used_evenly():
    model, x_NF = initialised()
    counts_K = torch.bincount(model.quantize(x_NF)[:, 0], minlength=12)
    assert counts_K.min() > 400 / 12 / 2


def test_the_chosen_code_is_the_cheapest():
    model, x_NF = initialised()
    codes_NL = model.quantize(x_NF)
    for level in range(2):
        costs_NK = model.costs(x_NF, codes_NL[:, :level])
        assert torch.equal(costs_NK.argmin(dim=1), codes_NL[:, level])


def test_a_prefix_is_kept():
    model, x_NF = initialised()
    codes_NL = model.quantize(x_NF, torch.full((len(x_NF), 1), 3))
    assert codes_NL[:, 0].unique().tolist() == [3]
    assert torch.equal(codes_NL[:, 1], model.quantize(x_NF)[:, 1])


def test_training_lowers_the_reconstruction_error():
    model, x_NF = initialised()
    history = train_quantizer(
        model, x_NF, TrainingConfig(epochs=30, batch_size=100), generator=torch.Generator()
    )
    assert history[-1].reconstruction < 0.9 * history[0].reconstruction


def test_the_reconstruction_is_that_of_the_codes():
    model, x_NF = initialised()
    decoded_NF = model.reconstruct(model.quantize(x_NF))
    by_hand = ((decoded_NF - x_NF) * model.coder.scale).square().sum() / len(x_NF)
    torch.testing.assert_close(model.losses(x_NF).reconstruction.detach(), by_hand)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"values": ()}, r"levels 4 and values \[\]"),
        ({"values": (8, 1)}, "2 values or more"),
        ({"separation": -1.0}, "must not be negative"),
    ],
)
def test_nonsense_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        FSQConfig(**wrong)


def test_more_dimensions_than_features_are_refused():
    with pytest.raises(ValueError, match="4 levels of 3 dimensions need features of at least 12"):
        FSQ(FSQConfig(), 8)
