import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.tokenization.assignment import reassign
from genrec.tokenization.seating import seat


class Line:
    """Codes on a line: the first says which ten, the second which one; costs are distances."""

    codebook_sizes = (3, 4)

    def quantize(self, features_NF, prefix_NP=None):
        codes_NP = torch.empty(len(features_NF), 0, dtype=torch.long)
        codes_NP = codes_NP if prefix_NP is None else prefix_NP
        while codes_NP.shape[1] < 2:
            code_N = self.costs(features_NF, codes_NP).argmin(dim=1, keepdim=True)
            codes_NP = torch.cat([codes_NP, code_N], dim=1)
        return codes_NP

    def costs(self, features_NF, codes_NP):
        if codes_NP.shape[1] == 0:
            return (features_NF - 10 * torch.arange(3)).square()
        return (features_NF - 10 * codes_NP[:, :1] - torch.arange(4)).square()

    def reconstruct(self, codes_NL):
        return (10 * codes_NL[:, :1] + codes_NL[:, 1:2]).float()


def find(points: list[float], taken: list[list[int]], sizes=(3, 4), **options):
    x_MF = torch.tensor(points)[:, None]
    taken_NL = np.array(taken, dtype=np.int32).reshape(len(taken), len(sizes))
    codes_ML, moved_M = seat(Line().quantize(x_MF), x_MF, Line(), taken_NL, sizes, **options)
    return codes_ML.tolist(), moved_M.tolist()


def test_a_free_id_is_taken():
    assert find([12.0], [[1, 1], [0, 2]]) == ([[1, 2]], [False])


def test_a_taken_id_sends_to_the_cheapest_free_one_beside():
    assert find([11.8], [[1, 2]]) == ([[1, 1]], [True])
    assert find([12.2], [[1, 2]]) == ([[1, 3]], [True])


def test_a_full_branch_sends_to_the_next_branch():
    full = [[1, code] for code in range(4)]
    assert find([12.0], full) == ([[2, 0]], [True])
    assert find([9.6], full) == ([[0, 3]], [True])


def test_the_closest_of_two_new_items_wins():
    assert find([12.4, 12.1], []) == ([[1, 3], [1, 2]], [True, False])


def test_an_id_holds_as_many_as_allowed():
    codes, moved = find([12.0, 12.0, 12.0], [[1, 2]], items_per_id=2)
    assert codes.count([1, 2]) == 1
    assert moved == [False, True, True]


def test_a_level_that_counts_goes_on_counting():
    taken = [[1, 2, 0], [1, 2, 2]]
    assert find([12.0], taken, sizes=(3, 4, 3)) == ([[1, 2, 1]], [False])


def test_where_counting_ends_the_item_moves():
    taken = [[1, 2, 0], [1, 2, 1]]
    assert find([12.2], taken, sizes=(3, 4, 2)) == ([[1, 3, 0]], [True])


def test_more_items_than_free_ids_are_refused():
    everything = [[first, second] for first in range(3) for second in range(4)]
    with pytest.raises(ValueError, match="1 new items do not fit the 0 places that are free"):
        find([1.0], everything)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-5, 30, width=32), min_size=1, max_size=12),
    st.sets(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=12),
    st.integers(1, 3),
)
def test_nobody_shares_more_than_allowed_and_only_crowded_items_move(points, taken, per_id):
    if len(points) > 12 * per_id - len(taken):
        return
    codes, moved = find(points, sorted(taken), items_per_id=per_id)
    everyone = [*map(tuple, codes), *taken]
    assert max(everyone.count(code) for code in everyone) <= per_id
    nearest = Line().quantize(torch.tensor(points)[:, None]).tolist()
    for code, first, away in zip(codes, nearest, moved, strict=True):
        assert away == (code != first)
        assert not away or everyone.count(tuple(first)) == per_id


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-5, 30, width=32), min_size=1, max_size=12))
def test_an_empty_shop_moves_as_few_as_assigning_all_at_once(points):
    x_NF = torch.tensor(points)[:, None]
    whole = reassign(Line().quantize(x_NF), x_NF, Line())
    assert sum(find(points, [])[1]) <= len(whole.moved)
