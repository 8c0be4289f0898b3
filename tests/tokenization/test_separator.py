import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.tokenization.residual import ResidualCodebooks
from genrec.tokenization.separator import Separator, separating_cuts, separating_direction


def parted(position_N: np.ndarray, prefix_N: np.ndarray, cuts_C: np.ndarray) -> bool:
    """Tell whether no two different items of one prefix lie in the same cell."""
    cell_N = np.searchsorted(cuts_C, position_N)
    return all(
        cell_N[a] != cell_N[b] or position_N[a] == position_N[b]
        for a, b in itertools.combinations(range(len(position_N)), 2)
        if prefix_N[a] == prefix_N[b]
    )


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_one_cut_parts_two_pairs_that_overlap():
    # Pairs (0, 4) and (3, 9) have 3..4 in common.
    cuts_C = separating_cuts(array(0, 4, 3, 9), np.array([0, 0, 1, 1]), 1)
    assert cuts_C.tolist() == [3.5]


def test_pairs_far_from_each_other_need_a_cut_each():
    position_N = array(0, 1, 10, 12)
    cuts_C = separating_cuts(position_N, np.array([0, 0, 1, 1]), 2)
    assert cuts_C.tolist() == [0.5, 11.0]


def test_cuts_to_spare_halve_the_fullest_cell():
    position_N = array(0, 1, 2, 3, 4, 5, 6, 7)
    cuts_C = separating_cuts(position_N, np.arange(8), 3)
    assert cuts_C.tolist() == [1.5, 3.5, 5.5]


def test_too_few_cuts_part_what_they_can():
    position_N = array(*range(8))
    cuts_C = separating_cuts(position_N, np.zeros(8, dtype=np.int64), 3)
    assert np.bincount(np.searchsorted(cuts_C, position_N)).max() <= 4


def test_equal_items_leave_codes_unused_and_break_nothing():
    cuts_C = separating_cuts(array(1, 1, 1), np.zeros(3, dtype=np.int64), 3)
    assert len(cuts_C) == 3
    assert len(set(np.searchsorted(cuts_C, array(1, 1, 1)))) == 1


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 6)), min_size=1, max_size=25))
@settings(max_examples=150, deadline=None)
def test_enough_cuts_part_every_prefix(items):
    position_N = array(*(place for place, _ in items))
    prefix_N = np.array([prefix for _, prefix in items])
    cuts_C = separating_cuts(position_N, prefix_N, 30)
    assert len(cuts_C) == 30
    assert (np.diff(cuts_C) >= 0).all()
    assert parted(position_N, prefix_N, cuts_C)


@given(
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2)), min_size=2, max_size=8, unique=True)
)
@settings(max_examples=60, deadline=None)
def test_no_fewer_cuts_would_do(items):
    position_N = array(*(place for place, _ in items))
    prefix_N = np.array([prefix for _, prefix in items])
    between = np.arange(7, dtype=np.float32) + 0.5
    fewest = next(
        count
        for count in range(8)
        if any(
            parted(position_N, prefix_N, np.array(cuts, dtype=np.float32))
            for cuts in itertools.combinations(between, count)
        )
    )
    if fewest > 0:
        assert parted(position_N, prefix_N, separating_cuts(position_N, prefix_N, fewest))


def test_the_direction_is_that_of_near_duplicates():
    generator = torch.Generator().manual_seed(0)
    heaps_ND = 10 * torch.randn(50, 3, generator=generator)
    twins_ND = heaps_ND + torch.tensor([0.0, 0.01, 0.0])
    direction_D = separating_direction(torch.cat([heaps_ND, twins_ND]), np.tile(np.arange(50), 2))
    torch.testing.assert_close(direction_D, torch.tensor([0.0, 1.0, 0.0]), atol=1e-3, rtol=0)


def test_without_shared_prefixes_the_widest_direction_stands_in():
    x_ND = torch.randn(80, 3, generator=torch.Generator().manual_seed(0))
    x_ND *= torch.tensor([1.0, 1.0, 9.0])
    direction_D = separating_direction(x_ND, np.arange(80))
    assert direction_D[2].item() == pytest.approx(1, abs=0.05)


def test_the_cost_is_the_squared_distance_to_a_cell():
    level = Separator(3, 2)
    level.direction_D.copy_(torch.tensor([1.0, 0.0]))
    level.cuts_C.copy_(torch.tensor([0.0, 2.0]))
    costs_NK = level.costs(torch.tensor([[-1.0, 5.0], [0.5, 5.0], [4.0, 5.0]]))
    assert costs_NK.tolist() == [[0, 1, 9], [0.25, 0, 2.25], [16, 4, 0]]


def test_twins_get_codes_of_their_own_where_kmeans_leaves_them_together():
    generator = torch.Generator().manual_seed(0)
    x_ND = torch.randn(200, 8, generator=generator)
    x_ND = torch.cat([x_ND, x_ND + 0.1 * torch.randn(200, 8, generator=generator)])

    def ids(*, separating: bool) -> int:
        codebooks = ResidualCodebooks((16, 16, 64), 8, separating=separating)
        codebooks.fit_kmeans(x_ND, generator=torch.Generator().manual_seed(1))
        return len(codebooks.quantize(x_ND).unique(dim=0))

    assert ids(separating=True) == 400
    assert ids(separating=False) < 320


def test_the_vectors_of_the_last_level_are_the_means_of_its_cells():
    x_ND = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    codebooks = ResidualCodebooks((4, 8), 4, separating=True)
    codebooks.fit_kmeans(x_ND, generator=torch.Generator().manual_seed(1))
    codes_NL = codebooks.quantize(x_ND)
    rest_ND = x_ND - codebooks.embed(codes_NL[:, :1])
    for code in range(8):
        mean_D = rest_ND[codes_NL[:, 1] == code].mean(dim=0)
        torch.testing.assert_close(codebooks.levels[1][code].detach(), mean_D, atol=1e-5, rtol=1e-4)
