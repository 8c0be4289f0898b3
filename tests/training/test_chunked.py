"""The loss in chunks is the loss of all logits, in value and in every gradient."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from genrec.training import TokenLoss, weighted_loss
from genrec.training.chunked import LogitShape, chunked_loss, recomputed_loss


def problem(*, tokens=11, width=6, vocabulary=9, dtype=torch.float64, seed=0):
    """Draw hidden states, a head, labels and weights."""
    torch.manual_seed(seed)
    hidden = torch.randn(tokens, width, dtype=dtype, requires_grad=True)
    weight = torch.randn(vocabulary, width, dtype=dtype, requires_grad=True)
    bias = torch.randn(vocabulary, dtype=dtype, requires_grad=True)
    labels = torch.randint(0, vocabulary, (tokens,))
    return hidden, weight, bias, labels, torch.rand(tokens, dtype=dtype) + 0.1


def value_and_gradients(loss, *tensors):
    return loss, *torch.autograd.grad(loss, tensors)


AS_THEY_ARE = LogitShape()


def plain(hidden, weight, bias, labels, weights, *, kind, shape=AS_THEY_ARE):
    return weighted_loss(shape(hidden @ weight.T + bias), labels, weights, kind)


@settings(max_examples=60, deadline=None)
@given(
    smoothing=st.sampled_from([0.0, 0.1]),
    gamma=st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.5]),
    detached=st.booleans(),
    scale=st.sampled_from([1.0, 0.25]),
    cap=st.sampled_from([None, 5.0]),
    chunk=st.integers(1, 12),
    seed=st.integers(0, 100),
)
def test_value_and_gradients_are_those_of_the_plain_loss(
    smoothing, gamma, detached, scale, cap, chunk, seed
):
    tensors = problem(seed=seed)
    kind = TokenLoss(label_smoothing=smoothing, focal_gamma=gamma, focal_detached=detached)
    options = {"kind": kind, "shape": LogitShape(scale, cap)}
    expected = value_and_gradients(plain(*tensors, **options), *tensors[:3])
    chunked = chunked_loss(*tensors, **options, logits_at_once=9 * chunk)
    torch.testing.assert_close(value_and_gradients(chunked, *tensors[:3]), expected)
    hidden, weight, bias, labels, weights = tensors
    recomputed = recomputed_loss(
        lambda hidden: hidden @ weight.T + bias, hidden, labels, weights, vocabulary=9,
        **options, logits_at_once=9 * chunk,
    )  # fmt: skip
    torch.testing.assert_close(value_and_gradients(recomputed, *tensors[:3]), expected)


def test_gradients_follow_what_comes_after_the_loss():
    hidden, weight, bias, labels, weights = problem()
    kind = TokenLoss()
    expected = torch.autograd.grad(
        (plain(hidden, weight, bias, labels, weights, kind=kind) * 3).square(), (hidden, weight)
    )
    loss = chunked_loss(hidden, weight, bias, labels, weights, kind=kind, logits_at_once=20)
    torch.testing.assert_close(torch.autograd.grad((loss * 3).square(), (hidden, weight)), expected)


def test_a_frozen_head_passes_gradients_on_and_gets_none():
    hidden, weight, _, labels, weights = problem()
    frozen = weight.detach()
    loss = chunked_loss(hidden, frozen, None, labels, weights, kind=TokenLoss(), logits_at_once=20)
    loss.backward()
    assert hidden.grad.abs().max() > 0
    assert frozen.grad is None


def test_without_gradients_it_is_the_value_alone():
    tensors = problem()
    with torch.no_grad():
        loss = chunked_loss(*tensors, kind=TokenLoss(), logits_at_once=20)
        torch.testing.assert_close(loss, plain(*tensors, kind=TokenLoss()))
    assert not loss.requires_grad


def test_no_token_that_counts_is_a_loss_of_zero_with_gradients():
    tensors = problem(tokens=0)
    loss = chunked_loss(*tensors, kind=TokenLoss(), logits_at_once=20)
    loss.backward()
    assert loss.item() == 0
    assert tensors[1].grad.abs().max() == 0


def test_bfloat16_products_are_those_of_autocast():
    hidden, weight, bias, labels, weights = problem(width=32, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = nn.functional.linear(hidden, weight, bias)
        expected = value_and_gradients(weighted_loss(logits, labels, weights), hidden, weight, bias)
        loss = chunked_loss(
            hidden, weight, bias, labels, weights, kind=TokenLoss(), logits_at_once=20
        )
    found = value_and_gradients(loss, hidden, weight, bias)
    assert [tensor.dtype for tensor in found] == [torch.float32] * 4
    torch.testing.assert_close(found[0], expected[0], rtol=1e-6, atol=0)
    for ours, theirs in zip(found[1:], expected[1:], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-2, atol=2e-2)


def test_gradients_are_used_once():
    loss = chunked_loss(*problem(), kind=TokenLoss(), logits_at_once=20)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="used up"):
        loss.backward()


def test_recomputing_draws_the_same_dropout_again():
    hidden, weight, _, labels, weights = problem(dtype=torch.float32)
    seen = []

    def head(hidden):
        seen.append(nn.functional.dropout(hidden.detach(), 0.5))
        return nn.functional.linear(seen[-1] + 0 * hidden, weight)

    loss = recomputed_loss(
        head, hidden, labels, weights, vocabulary=9, kind=TokenLoss(), logits_at_once=1000
    )
    loss.backward()
    assert len(seen) == 2
    torch.testing.assert_close(seen[0], seen[1], rtol=0, atol=0)
