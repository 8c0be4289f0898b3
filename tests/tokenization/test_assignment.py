from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.tokenization.assignment import AssignmentConfig, append_level, assign, reassign
from genrec.tokenization.rqkmeans import RQKMeans, RQKMeansConfig
from genrec.tokenization.streaming import FeatureFile, quantize_rows


def quantizer(sizes: tuple[int, ...], seed: int = 0) -> RQKMeans:
    """Make residual codebooks on a plane with random centres, finer at every level."""
    model = RQKMeans(RQKMeansConfig(codebook_sizes=sizes, separate=False), 2)
    generator = torch.Generator().manual_seed(seed)
    model.basis_FD.copy_(torch.eye(2))
    with torch.no_grad():
        for level, codebook_KD in enumerate(model.codebooks.levels):
            codebook_KD.copy_(torch.randn(codebook_KD.shape, generator=generator) / 3**level)
    return model


def line(*levels: list[float]) -> RQKMeans:
    """Make codebooks whose centres lie on a line."""
    config = RQKMeansConfig(codebook_sizes=tuple(map(len, levels)), separate=False)
    model = RQKMeans(config, 1)
    model.basis_FD.fill_(1)
    with torch.no_grad():
        for codebook_KD, centres in zip(model.codebooks.levels, levels, strict=True):
            codebook_KD.copy_(torch.tensor(centres)[:, None])
    return model


def most_on_an_id(codes_NL: np.ndarray) -> int:
    return max(Counter(map(tuple, codes_NL.tolist())).values())


@st.composite
def crowds(draw: st.DrawFn):
    """Draw a quantizer, items in a few heaps, and how many of them an ID may hold."""
    sizes = tuple(draw(st.lists(st.integers(2, 4), min_size=1, max_size=3)))
    items_per_id = draw(st.integers(1, 3))
    count = draw(st.integers(1, min(60, int(np.prod(sizes)) * items_per_id)))
    heaps, seed = draw(st.integers(1, 4)), draw(st.integers(0, 9999))
    generator = torch.Generator().manual_seed(seed)
    heap_N = torch.randint(heaps, (count,), generator=generator)
    x_NF = torch.randn(heaps, 2, generator=generator)[heap_N]
    x_NF = x_NF + 0.1 * torch.randn(count, 2, generator=generator)
    return quantizer(sizes, seed), x_NF, items_per_id


@given(crowds(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_reassigned_ids_never_hold_more_items_than_allowed(crowd, transport):
    model, x_NF, items_per_id = crowd
    codes_NL = model.quantize(x_NF)
    found = reassign(codes_NL, x_NF, model, items_per_id=items_per_id, transport=transport)
    assert most_on_an_id(found.ids.codes_NL) <= items_per_id


@given(crowds(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_items_without_collision_keep_their_codes(crowd, transport):
    model, x_NF, items_per_id = crowd
    codes_NL = model.quantize(x_NF)
    counts = Counter(map(tuple, codes_NL.tolist()))
    found = reassign(codes_NL, x_NF, model, items_per_id=items_per_id, transport=transport)
    for before, after in zip(codes_NL.tolist(), found.ids.codes_NL.tolist(), strict=True):
        if counts[tuple(before)] <= items_per_id:
            assert before == after


@given(crowds())
@settings(max_examples=100, deadline=None)
def test_moved_are_the_rows_whose_codes_changed(crowd):
    model, x_NF, items_per_id = crowd
    codes_NL = model.quantize(x_NF)
    found = reassign(codes_NL, x_NF, model, items_per_id=items_per_id)
    changed_N = (found.ids.codes_NL != codes_NL.numpy()).any(axis=1)
    assert found.moved.tolist() == np.flatnonzero(changed_N).tolist()


@given(crowds())
@settings(max_examples=100, deadline=None)
def test_an_extra_level_holds_exactly_what_is_allowed_and_keeps_all_codes(crowd):
    model, x_NF, items_per_id = crowd
    codes_NL = model.quantize(x_NF)
    ids = append_level(codes_NL, model.codebook_sizes, items_per_id=items_per_id)
    assert most_on_an_id(ids.codes_NL) <= items_per_id
    assert np.array_equal(ids.codes_NL[:, :-1], codes_NL.numpy())


def test_the_extra_level_counts_in_the_order_of_rows():
    codes_NL = torch.tensor([[1, 0], [2, 2], [1, 0], [1, 0], [2, 2]])
    ids = append_level(codes_NL, (3, 3))
    assert ids.codes_NL[:, 2].tolist() == [0, 0, 1, 2, 1]
    assert ids.codebook_sizes == (3, 3, 3)


def test_the_closest_item_stays_and_the_others_take_the_next_best_codes():
    model = line([0.0, 10.0], [-1.0, 0.0, 1.0])
    x_NF = torch.tensor([[0.4], [0.1], [-0.3], [10.0]])
    found = reassign(model.quantize(x_NF), x_NF, model)
    # All three want code 1 of level 1: 0.1 is the closest, 0.4 moves up and -0.3 moves down.
    assert found.ids.codes_NL.tolist() == [[0, 2], [0, 1], [0, 0], [1, 1]]
    assert found.moved.tolist() == [0, 2]


def test_a_contest_for_a_free_code_goes_to_the_closest():
    model = line([0.0, 50.0], [0.0, 1.0, 3.0])
    x_NF = torch.tensor([[0.0], [0.1], [0.4]])
    found = reassign(model.quantize(x_NF), x_NF, model)
    # 0.1 and 0.4 both find code 1 next best; 0.4 is closer to it, so 0.1 goes on to code 2.
    assert found.ids.codes_NL.tolist() == [[0, 0], [0, 2], [0, 1]]


def test_transport_seats_a_crowd_where_it_costs_least_in_all():
    model = line([0.0, 50.0], [0.0, 1.0, 2.0])
    x_NF = torch.tensor([[0.0], [0.45], [-0.1]])
    # One after the other: 0 stays, 0.45 moves to 1 and -0.1 to 2, at 0 + 0.30 + 4.41. Together it
    # is best that 0 moves too: 0.1^2 + 1^2 + 1.55^2 = 3.41.
    fair = reassign(model.quantize(x_NF), x_NF, model)
    best = reassign(model.quantize(x_NF), x_NF, model, transport=True)
    assert fair.ids.codes_NL.tolist() == [[0, 0], [0, 1], [0, 2]]
    assert best.ids.codes_NL.tolist() == [[0, 1], [0, 2], [0, 0]]


@given(crowds(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_seating_a_few_prefixes_at_a_time_changes_nothing(crowd, transport):
    model, x_NF, items_per_id = crowd
    codes_NL = model.quantize(x_NF)
    options = {"items_per_id": items_per_id, "transport": transport}
    whole = reassign(codes_NL, x_NF, model, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("genrec.tokenization.assignment.ROWS_TOGETHER", 2)
        parts = reassign(codes_NL, x_NF, model, **options)
    if transport:  # the mean cost, by which prices are blurred, is that of the part
        assert most_on_an_id(parts.ids.codes_NL) <= items_per_id
    else:
        assert parts.ids == whole.ids


def test_rows_are_read_from_a_file_as_from_memory(tmp_path):
    model = quantizer((4, 8))
    x_NF = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    np.save(tmp_path / "features.npy", x_NF.numpy())
    file = FeatureFile(tmp_path / "features.npy")
    codes_NL = torch.from_numpy(quantize_rows(model, file))
    assert torch.equal(codes_NL.long(), model.quantize(x_NF))
    assert reassign(codes_NL, file, model).ids == reassign(codes_NL, x_NF, model).ids


def test_a_full_branch_overflows_at_the_level_above():
    model = line([0.0, 10.0], [0.0, 1.0])
    x_NF = torch.tensor([[0.0], [0.2], [0.4]])
    found = reassign(model.quantize(x_NF), x_NF, model)
    # A branch holds two items; 0.4 is the worst described by centre 0 and moves to centre 10.
    assert found.ids.codes_NL.tolist() == [[0, 0], [0, 1], [1, 0]]


def test_identical_items_get_different_ids():
    model = quantizer((4, 4))
    x_NF = torch.ones(16, 2)
    assert reassign(model.quantize(x_NF), x_NF, model).ids.are_unique


def test_more_items_than_ids_are_refused():
    model, x_NF = quantizer((2, 2)), torch.zeros(5, 2)
    with pytest.raises(ValueError, match=r"5 items do not fit 4 IDs of 1 item\(s\) each"):
        reassign(model.quantize(x_NF), x_NF, model)


def test_the_config_chooses_the_strategy():
    model, x_NF = quantizer((4, 4)), torch.ones(3, 2)
    codes_NL = model.quantize(x_NF)
    extra = assign(codes_NL, x_NF, model, AssignmentConfig(strategy="extra_level"))
    moved = assign(codes_NL, x_NF, model, AssignmentConfig(strategy="reassign"))
    assert (extra.ids.levels, len(extra.moved)) == (3, 0)
    assert (moved.ids.levels, len(moved.moved)) == (2, 2)


def test_an_id_holds_at_least_one_item():
    with pytest.raises(ValueError, match="items_per_id is 0"):
        AssignmentConfig(items_per_id=0)
