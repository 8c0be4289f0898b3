"""The loss of a token, and its sum, against torch's and by hand."""

import pytest
import torch
from torch.nn import functional

from genrec.training import TokenLoss, weighted_loss


def test_it_is_the_plain_cross_entropy_where_all_weights_are_one():
    torch.manual_seed(0)
    logits, labels = torch.randn(7, 5), torch.randint(0, 5, (7,))
    expected = functional.cross_entropy(logits, labels, reduction="sum")
    torch.testing.assert_close(weighted_loss(logits, labels, torch.ones(7)), expected)


def test_by_hand():
    # The model gives the label 3/4 and 1/4 of the probability; the second token counts twice.
    logits = torch.tensor([[3.0, 1.0], [3.0, 1.0]]).log()
    loss = weighted_loss(logits, torch.tensor([0, 1]), torch.tensor([1.0, 2.0]))
    expected = -torch.tensor(0.75).log() - 2 * torch.tensor(0.25).log()
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("detached", [False, True])
def test_focal_weights_by_hand(detached):
    # (1 - p)^2 is 1/16 for the easy token and 9/16 for the hard one.
    logits = torch.tensor([[3.0, 1.0], [3.0, 1.0]]).log()
    kind = TokenLoss(focal_gamma=2.0, focal_detached=detached)
    loss = weighted_loss(logits, torch.tensor([0, 1]), torch.ones(2), kind)
    expected = -torch.tensor(0.75).log() / 16 - torch.tensor(0.25).log() * 9 / 16
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize(
    ("detached", "slope"),
    # d/dz of -(1-p)^2 log p at p = 1/2: p(1-p) times -(1-p)^2/p, and 2(1-p) log p if it may flow.
    [(True, -0.125), (False, -0.125 + 0.25 * torch.tensor(0.5).log().item())],
)
def test_a_detached_focal_weight_is_a_constant(detached, slope):
    logits = torch.zeros(1, 2, requires_grad=True)
    kind = TokenLoss(focal_gamma=2.0, focal_detached=detached)
    weighted_loss(logits, torch.tensor([0]), torch.ones(1), kind).backward()
    assert logits.grad[0].tolist() == pytest.approx([slope, -slope])


def test_a_certain_token_has_a_finite_gradient_whatever_the_power():
    logits = torch.tensor([[100.0, -100.0]], requires_grad=True)
    weighted_loss(logits, torch.tensor([0]), torch.ones(1), TokenLoss(focal_gamma=0.5)).backward()
    assert torch.isfinite(logits.grad).all()


def test_a_token_of_weight_0_has_no_part_even_when_it_is_not_finite():
    logits = torch.tensor([[1.0, 2.0], [float("nan"), 0.0]], requires_grad=True)
    loss = weighted_loss(logits, torch.tensor([0, 1]), torch.tensor([1.0, 0.0]))
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad[1].tolist() == [0.0, 0.0]


def test_half_precision_is_summed_in_float32():
    logits = torch.randn(4, 6, dtype=torch.bfloat16)
    loss = weighted_loss(logits, torch.zeros(4, dtype=torch.long), torch.ones(4))
    assert loss.dtype == torch.float32


def test_label_smoothing_is_that_of_torch():
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 5), torch.randint(0, 5, (3,))
    expected = functional.cross_entropy(logits, labels, reduction="sum", label_smoothing=0.1)
    loss = weighted_loss(logits, labels, torch.ones(3), TokenLoss(label_smoothing=0.1))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(
    ("field", "value"), [("label_smoothing", 1.0), ("label_smoothing", -0.1), ("focal_gamma", -1.0)]
)
def test_nonsense_is_refused_at_birth(field, value):
    with pytest.raises(ValueError, match=f"{field} is {value}"):
        TokenLoss(**{field: value})
