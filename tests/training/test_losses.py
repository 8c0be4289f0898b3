import pytest
import torch
from torch.nn import functional

from genrec.training import weighted_cross_entropy


def test_it_is_the_plain_cross_entropy_where_all_weights_are_one():
    torch.manual_seed(0)
    logits, labels = torch.randn(7, 5), torch.randint(0, 5, (7,))
    expected = functional.cross_entropy(logits, labels, reduction="sum")
    torch.testing.assert_close(weighted_cross_entropy(logits, labels, torch.ones(7)), expected)


def test_by_hand():
    # The model gives the label 3/4 and 1/4 of the probability; the second token counts twice.
    logits = torch.tensor([[3.0, 1.0], [3.0, 1.0]]).log()
    loss = weighted_cross_entropy(logits, torch.tensor([0, 1]), torch.tensor([1.0, 2.0]))
    expected = -torch.tensor(0.75).log() - 2 * torch.tensor(0.25).log()
    torch.testing.assert_close(loss, expected)


def test_a_token_of_weight_0_has_no_part_even_when_it_is_not_finite():
    logits = torch.tensor([[1.0, 2.0], [float("nan"), 0.0]], requires_grad=True)
    loss = weighted_cross_entropy(logits, torch.tensor([0, 1]), torch.tensor([1.0, 0.0]))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad[1].tolist() == [0.0, 0.0]


def test_half_precision_is_summed_in_float32():
    logits = torch.randn(4, 6, dtype=torch.bfloat16)
    loss = weighted_cross_entropy(logits, torch.zeros(4, dtype=torch.long), torch.ones(4))
    assert loss.dtype == torch.float32


def test_label_smoothing_is_that_of_torch():
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 5), torch.randint(0, 5, (3,))
    expected = functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=0.1)
    loss = weighted_cross_entropy(logits, labels, torch.ones(3), label_smoothing=0.1)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
