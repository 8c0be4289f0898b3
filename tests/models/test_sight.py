"""Grouped attention against masks written out, and who sees what, worked out by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.models.flamingo.fusion import GatedCrossAttention, LateFusion
from genrec.models.flamingo.sight import SeenPictures, all_pictures, own_pictures
from tests.models.small_flamingo import owners

WIDTH, HEADS, LATENTS, PICTURES = 8, 2, 3, 4

owner_rows = st.integers(1, 3).flatmap(
    lambda rows: st.integers(1, 12).flatmap(
        lambda length: st.lists(
            st.lists(st.integers(-1, PICTURES - 1), min_size=length, max_size=length),
            min_size=rows, max_size=rows,
        )
    )
)  # fmt: skip


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def attention():
    torch.manual_seed(0)
    module = GatedCrossAttention(WIDTH, heads=HEADS, multiple=2)
    torch.nn.init.constant_(module.attention_gate, 0.7)
    torch.nn.init.constant_(module.feed_forward_gate, 0.4)
    return module


def naive(module, x_D, latents_YD):
    """Compute a token that sees some latents, head by head and with the softmax written out."""
    if len(latents_YD) == 0:
        return x_D
    query_D = module.query(module.norm(x_D))
    key_YD, value_YD = module.key_value(latents_YD).chunk(2, dim=-1)
    heads = []
    for head in range(HEADS):
        part = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
        scores_Y = key_YD[:, part] @ query_D[part] / (WIDTH // HEADS) ** 0.5
        heads.append(scores_Y.exp() / scores_Y.exp().sum() @ value_YD[:, part])
    x_D = x_D + torch.tanh(module.attention_gate) * module.out(torch.cat(heads))
    return x_D + torch.tanh(module.feed_forward_gate) * module.feed_forward(x_D)


@settings(max_examples=60, deadline=None)
@given(owner_rows)
def test_own_pictures_are_read_as_under_a_mask(rows):
    owner_RT = torch.tensor(rows)
    x_RTD, latents_UCD = drawn(*owner_RT.shape, WIDTH), drawn(PICTURES, LATENTS, WIDTH, seed=1)
    module = attention()
    with torch.no_grad():
        found = module(x_RTD, own_pictures(owner_RT, latents_UCD))
        for r, row in enumerate(rows):
            for t, owner in enumerate(row):
                seen = latents_UCD[owner] if owner >= 0 else latents_UCD[:0].flatten(0, 1)
                expected = naive(module, x_RTD[r, t], seen)
                torch.testing.assert_close(found[r, t], expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(found[owner_RT < 0], x_RTD[owner_RT < 0])


def occurrences(row, starts):
    """List the occurrences that each token of a row sees, example by example."""
    seen, before, sees = [], -1, []
    for owner, start in zip(row, starts, strict=True):
        if start:
            seen, before = [], -1
        if owner not in (-1, before):
            seen = [*seen, owner]
        before = owner
        sees.append(seen)
    return sees


@settings(max_examples=60, deadline=None)
@given(owner_rows, st.randoms(use_true_random=False))
def test_all_pictures_are_read_as_under_a_mask(rows, draw):
    owner_RT = torch.tensor(rows)
    starts = [[t == 0 or draw.random() < 0.2 for t in range(len(row))] for row in rows]
    position_RT = torch.zeros_like(owner_RT)
    for r, row in enumerate(starts):
        for t, start in enumerate(row):
            position_RT[r, t] = 0 if start else position_RT[r, t - 1] + 1
    x_RTD, latents_UCD = drawn(*owner_RT.shape, WIDTH), drawn(PICTURES, LATENTS, WIDTH, seed=1)
    module, late = attention(), LateFusion(WIDTH)
    torch.nn.init.constant_(late.gate, 0.7)
    with torch.no_grad():
        sight = all_pictures(owner_RT, latents_UCD, position_RT)
        found, added = module(x_RTD, sight), late(x_RTD, sight) - x_RTD
        for r, row in enumerate(rows):
            for t, seen in enumerate(occurrences(row, starts[r])):
                latents_YD = latents_UCD[torch.tensor(seen, dtype=torch.long)].flatten(0, 1)
                expected = naive(module, x_RTD[r, t], latents_YD)
                torch.testing.assert_close(found[r, t], expected, rtol=1e-5, atol=1e-5)
                mean_D = latents_YD.mean(dim=0) if seen else torch.zeros(WIDTH)
                expected = torch.tanh(late.gate) * late.project(mean_D)
                torch.testing.assert_close(added[r, t], expected, rtol=1e-4, atol=1e-5)


def test_gradients_of_the_grid_are_those_of_the_mask():
    owner_RT = owners("00.11.00 ..222.00")
    x_RTD = drawn(2, 8, WIDTH).requires_grad_()
    latents_UCD = drawn(3, LATENTS, WIDTH, seed=1).requires_grad_()
    module, weight_RTD = attention(), drawn(2, 8, WIDTH, seed=2)
    inputs = [x_RTD, latents_UCD, *module.parameters()]

    found = module(x_RTD, own_pictures(owner_RT, latents_UCD))
    expected = torch.stack([
        torch.stack([
            naive(module, x_RTD[r, t], latents_UCD[o] if o >= 0 else latents_UCD[:0].flatten(0, 1))
            for t, o in enumerate(row)
        ])
        for r, row in enumerate(owner_RT.tolist())
    ])  # fmt: skip
    for ours, theirs in zip(
        torch.autograd.grad((found * weight_RTD).sum(), inputs),
        torch.autograd.grad((expected * weight_RTD).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_runs_of_one_owner_are_the_occurrences():
    sight = own_pictures(owners("00.11.0 .2222.."), drawn(3, LATENTS, WIDTH))
    assert sight.token_N.tolist() == [0, 1, 3, 4, 6, 8, 9, 10, 11]
    assert sight.picture_O.tolist() == [0, 1, 0, 2]
    assert sight.width == 4
    assert sight.slot_N.tolist() == [0, 1, 4, 5, 8, 12, 13, 14, 15]


def test_a_run_far_longer_than_most_is_cut():
    sight = own_pictures(owners("0.1.0.1.0.2222222222222222"), drawn(3, LATENTS, WIDTH))
    assert sight.width == 8  # twice the mean of 3.5, rounded up
    assert sight.picture_O.tolist() == [0, 1, 0, 1, 0, 2, 2]
    assert sight.slot_N.tolist() == [0, 8, 16, 24, 32, *range(40, 56)]


@settings(max_examples=60, deadline=None)
@given(owner_rows)
def test_the_grid_grows_with_the_tokens_that_see(rows):
    sight = own_pictures(torch.tensor(rows), drawn(PICTURES, LATENTS, WIDTH))
    assert len(sight.picture_O) * sight.width <= 6 * len(sight.token_N)
    assert len(sight.slot_N.unique()) == len(sight.token_N)


def test_occurrences_of_packed_examples_are_counted_apart():
    position_RT = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3]])
    sight = all_pictures(owners("00.11.00"), drawn(2, LATENTS, WIDTH), position_RT)
    assert sight.picture_RP.tolist() == [[0, 1, 1, 0]]  # the restart cuts the run of 1 in two
    assert sight.first_RT.tolist() == [[0, 0, 0, 0, 2, 2, 2, 2]]
    assert sight.end_RT.tolist() == [[1, 1, 1, 2, 3, 3, 4, 4]]


def test_late_fusion_adds_the_mean_of_an_items_latents():
    latents_UCD, late = drawn(2, LATENTS, WIDTH), LateFusion(WIDTH)
    torch.nn.init.constant_(late.gate, 0.5)
    x_RTD, owner_RT = drawn(1, 4, WIDTH, seed=3), owners(".11.")
    added = late(x_RTD, own_pictures(owner_RT, latents_UCD)) - x_RTD
    pooled_D = torch.tanh(late.gate) * late.project(latents_UCD[1].mean(dim=0))
    expected = torch.stack([torch.zeros(WIDTH), pooled_D, pooled_D, torch.zeros(WIDTH)])[None]
    torch.testing.assert_close(added, expected, rtol=1e-4, atol=1e-6)


class Beside:
    is_sliding = False

    def get_mask_sizes(self, query_length):
        return query_length + 7, 0


def test_the_memory_of_pictures_follows_the_rows_of_a_cache():
    latents_UCD = drawn(3, LATENTS, WIDTH)
    memory = SeenPictures(all_pictures(owners("0.12 .2.."), latents_UCD), beside=Beside())
    memory.batch_repeat_interleave(2)
    memory.reorder_cache(torch.tensor([0, 3, 2, 1]))
    memory.batch_select_indices(torch.tensor([0, 1, 3]))
    sight = memory.sight(tokens=2)
    assert sight.picture_RP.tolist() == [[0, 1, 2], [2, 0, 0], [0, 1, 2]]
    assert sight.first_RT.tolist() == [[0, 0]] * 3
    assert sight.end_RT.tolist() == [[3, 3], [1, 1], [3, 3]]
    assert memory.get_mask_sizes(2) == (9, 0)
    assert memory.get_seq_length() == 0
    with pytest.raises(TypeError, match="no keys and values"):
        memory.update(latents_UCD, latents_UCD)
    memory.reset()
    assert not memory.sight(tokens=1).end_RT.any()


def test_a_picture_that_was_not_given_is_refused():
    for group in (own_pictures, all_pictures):
        with pytest.raises(ValueError, match="names picture 3, but only 3 pictures were given"):
            group(owners("03"), drawn(3, LATENTS, WIDTH))
