import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.serving.batches import cut_batches


def cost(batches, lengths, worth):
    return sum(len(rows) * max(lengths[row] for row in rows) + worth for rows in batches)


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 50), max_size=9),
    batch_size=st.integers(1, 5),
    worth=st.integers(0, 60),
)
def test_no_cut_of_the_sorted_prompts_is_cheaper(lengths, batch_size, worth):
    batches = cut_batches(lengths, batch_size=batch_size, worth=worth)
    order = [row for rows in batches for row in rows]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[row] for row in order] == sorted(lengths, reverse=True)
    assert all(1 <= len(rows) <= batch_size for rows in batches)
    every_cut = (
        [order[start:end] for start, end in itertools.pairwise((0, *cuts, len(order)))]
        for number in range(len(order))
        for cuts in itertools.combinations(range(1, len(order)), number)
    )
    allowed = [cut for cut in every_cut if all(len(rows) <= batch_size for rows in cut)]
    assert cost(batches, lengths, worth) == min(
        (cost(cut, lengths, worth) for cut in allowed), default=0
    )


@pytest.mark.parametrize(
    ("worth", "expected"), [(0, [[1], [3], [0, 2]]), (30, [[1, 3], [0, 2]]), (999, [[1, 3, 0, 2]])]
)
def test_a_batch_is_cut_where_padding_costs_more(worth, expected):
    assert cut_batches([10, 100, 10, 90], batch_size=4, worth=worth) == expected
