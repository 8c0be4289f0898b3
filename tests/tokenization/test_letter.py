import math

import pytest
import torch

from genrec.tokenization.letter import (
    CollaborativeContrast,
    LetterConfig,
    LetterLosses,
    cluster_codes,
    diversity_loss,
)
from genrec.tokenization.rqvae import RQVAE, RQVAEConfig
from genrec.tokenization.training import TrainingConfig, train_quantizer


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def contrast_of(embeddings_NC: torch.Tensor) -> CollaborativeContrast:
    """Make a contrast whose map is the identity."""
    contrast = CollaborativeContrast(embeddings_NC, embeddings_NC.shape[1], generator=seeded())
    contrast.weight_DC.data = torch.eye(embeddings_NC.shape[1])
    return contrast


def test_the_contrast_worked_by_hand():
    contrast = contrast_of(torch.eye(2) * 7)
    loss = contrast(torch.tensor([[3.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 1]), temperature=0.5)
    # Cosines are 1 with the own embedding and 0 with the other's; over 0.5 that is 2 against 0.
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)))


def test_items_of_which_nothing_is_known_are_left_out():
    embeddings_NC = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    quantized_BD = torch.randn(3, 2, generator=seeded()).requires_grad_()
    contrast_of(embeddings_NC)(quantized_BD, torch.arange(3)).backward()
    assert quantized_BD.grad[1].tolist() == [0, 0]
    assert quantized_BD.grad[0].abs().sum() > 0


def test_an_item_that_the_batch_holds_twice_is_no_stranger_to_itself():
    contrast = contrast_of(torch.eye(2))
    quantized_BD = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    twice = contrast(quantized_BD, torch.tensor([0, 1, 0]))
    # Cosines over 0.1: 10 with the own embedding, 0 with the other's, which item 1 meets twice.
    expected = (2 * math.log(1 + math.exp(-10)) + math.log(1 + 2 * math.exp(-10))) / 3
    assert twice.item() == pytest.approx(expected, abs=1e-6)


def test_the_diversity_worked_by_hand():
    # Codes 0 and 1 form a cluster, 2 is alone. An item with code 0 is pulled towards code 1 and
    # away from code 2; one with code 2 feels nothing. All codes have the squared length 1.
    codebook_KD = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    clusters = [torch.tensor([0, 0, 1])]
    loss = diversity_loss([codebook_KD], torch.tensor([[0], [2]]), clusters, generator=seeded())
    # Inner products of code 0: 0 with code 1, -1 with code 2.
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)))


def test_every_code_of_a_level_has_a_cluster():
    codebooks = [torch.randn(12, 3, generator=seeded()), torch.randn(4, 3, generator=seeded(1))]
    clusters = cluster_codes(codebooks, 5, generator=seeded())
    assert [cluster_K.unique().tolist() for cluster_K in clusters] == [[*range(5)], [*range(4)]]


def test_codes_learn_to_agree_with_what_users_do():
    # Users care for the two features that tell least of an item.
    x_NF = torch.randn(120, 8, generator=seeded()) * torch.tensor([1.0] * 6 + [0.3] * 2)
    together_NC = x_NF[:, 6:]

    def agreement(letter: LetterConfig | None) -> float:
        """Find how much of the embeddings a linear map finds in the quantized latents."""
        model = RQVAE(RQVAEConfig(codebook_sizes=(8, 8, 8), latent_dim=4, hidden_dims=(32,)), 8)
        model.initialise(x_NF, generator=seeded())
        training = TrainingConfig(epochs=60, batch_size=30, learning_rate=1e-2, letter=letter)
        train_quantizer(model, x_NF, training, generator=seeded(), collaborative_NC=together_NC)
        latents_ND = model.codebooks.embed(model.quantize(x_NF)).detach()
        inputs = torch.cat([latents_ND, torch.ones(120, 1)], dim=1)
        found = inputs @ torch.linalg.lstsq(inputs, together_NC).solution
        return 1 - float((together_NC - found).square().sum() / together_NC.square().sum())

    assert agreement(LetterConfig(contrast=1.0)) > agreement(None) + 0.3


def test_a_contrast_without_embeddings_is_refused():
    with pytest.raises(ValueError, match="needs collaborative embeddings"):
        LetterLosses(LetterConfig(), [torch.zeros(4, 2)], None, generator=seeded())


def test_a_grid_is_refused():
    with pytest.raises(ValueError, match="codebooks that are learnt"):
        LetterLosses(LetterConfig(contrast=0), [], None, generator=seeded())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"contrast": -1.0}, "must not be negative"),
        ({"temperature": 0.0}, "temperature 0.0 must be positive"),
    ],
)
def test_nonsense_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        LetterConfig(**wrong)
