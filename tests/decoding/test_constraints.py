import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.decoding import Constraints, ItemSet, TokenTrie
from tests.decoding.tiny import random_ids

TRIE = TokenTrie.from_semantic_ids(random_ids(12, (3, 4, 3)), 40)


def allowed_ranks(constraints: Constraints, request: int) -> list[int]:
    """Ask for every rank by itself whether it is allowed."""
    bounds = torch.arange(13).expand(len(constraints), -1)
    return constraints.count(bounds)[request].nonzero().flatten().tolist()


def ranks_of(items) -> list[int]:
    return sorted(TRIE.rank_N[list(items)].tolist())


def test_exclude_allows_all_other_items():
    constraints = Constraints.from_items(TRIE, exclude=[[3, 5, 3], []])
    assert allowed_ranks(constraints, 0) == ranks_of(set(range(12)) - {3, 5})
    assert allowed_ranks(constraints, 1) == list(range(12))


def test_only_allows_no_other_item():
    constraints = Constraints.from_items(TRIE, only=[[7, 2, 7], None])
    assert allowed_ranks(constraints, 0) == ranks_of({2, 7})
    assert allowed_ranks(constraints, 1) == list(range(12))


def test_both_allow_only_minus_exclude():
    constraints = Constraints.from_items(TRIE, exclude=[[1, 2], [0]], only=[[2, 3, 4], None])
    assert allowed_ranks(constraints, 0) == ranks_of({3, 4})
    assert allowed_ranks(constraints, 1) == ranks_of(set(range(12)) - {0})


def test_arrays_and_sets_name_items_too():
    constraints = Constraints.from_items(TRIE, exclude=[np.array([3, 5], dtype=np.int32), {1}])
    assert allowed_ranks(constraints, 0) == ranks_of(set(range(12)) - {3, 5})
    assert allowed_ranks(constraints, 1) == ranks_of(set(range(12)) - {1})


@settings(deadline=None)
@given(data=st.data(), is_only=st.booleans())
def test_counting_agrees_with_a_list(data, is_only):
    items = data.draw(st.sets(st.integers(0, 11), min_size=int(is_only), max_size=11))
    named = {"only": [items]} if is_only else {"exclude": [items]}
    constraints = Constraints.from_items(TRIE, **named)
    free = ranks_of(items if is_only else set(range(12)) - items)
    for first in range(13):
        behind = [rank for rank in free if rank >= first]
        for end in range(first, 13):
            count = constraints.count(torch.tensor([[first, end]]))
            assert count.item() == sum(rank < end for rank in behind)


@settings(deadline=None)
@given(data=st.data())
def test_what_is_asked_for_together_holds_together(data):
    subsets = st.sets(st.integers(0, 11))
    banned, wanted = data.draw(subsets), data.draw(st.none() | subsets)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=12, max_size=12).filter(any)))
    left = set(np.flatnonzero(mask)) - banned
    left = left if wanted is None else left & wanted
    ask = {"exclude": [banned, ()], "only": [wanted, None]}
    within = [ItemSet.from_mask(TRIE, mask), None]
    if not left:
        with pytest.raises(ValueError, match="request 0: "):
            Constraints.from_items(TRIE, **ask, within=within)
        return
    constraints = Constraints.from_items(TRIE, **ask, within=within)
    assert allowed_ranks(constraints, 0) == ranks_of(left)
    assert allowed_ranks(constraints, 1) == list(range(12))
    assert allowed_ranks(constraints.of(torch.tensor([1, 0])), 1) == ranks_of(left)


def test_requests_share_a_set_that_is_counted_once():
    stock = ItemSet.from_mask(TRIE, np.arange(12) < 4)
    constraints = Constraints.from_items(TRIE, within=[stock, None, stock])
    assert constraints.below_SN1.shape == (2, 13)
    assert constraints.shared_B.tolist() == [0, 1, 0]
    assert len(stock) == 4


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones(11, dtype=bool), "the mask has the shape"),
        (np.zeros(12, dtype=bool), "the set of items is empty"),
    ],
)
def test_sets_that_do_not_fit_or_hold_nothing_are_refused(mask, message):
    with pytest.raises(ValueError, match=message):
        ItemSet.from_mask(TRIE, mask)


def test_sets_can_be_picked_by_request():
    constraints = Constraints.from_items(TRIE, exclude=[[], [4], []], only=[[1], None, [2]])
    picked = constraints.of(torch.tensor([2, 1, 1]))
    assert [allowed_ranks(picked, row) for row in (0, 1)] == [
        ranks_of({2}),
        ranks_of(set(range(12)) - {4}),
    ]
    assert len(picked) == 3


@pytest.mark.parametrize(
    ("exclude", "only", "message"),
    [
        ([[], range(12)], None, "request 1: `exclude` leaves no item"),
        (None, [[1], []], "request 1: `only` is empty"),
        ([[], [1, 2]], [[1], [2, 1]], "request 1: `only` minus `exclude` leaves no item"),
        ([[12]], None, "request 0: `exclude` names item 12, but the catalogue has the items 0 to"),
        (None, [[3, -1]], "request 0: `only` names item -1"),
        ([[1]], [None, None], "different numbers of requests: `exclude` for 1 and `only` for 2"),
    ],
)
def test_sets_that_cannot_be_answered_are_refused(exclude, only, message):
    with pytest.raises(ValueError, match=message):
        Constraints.from_items(TRIE, exclude=exclude, only=only)


@pytest.mark.parametrize(
    ("exclude", "only", "history", "message"),
    [
        (range(12), None, range(12), "request 0: the history leaves no item: .*`repeat` allows"),
        (range(12), None, range(3), "`exclude` with the history leaves no item: .*`repeat`"),
        (range(12), None, [], "request 0: `exclude` leaves no item$"),
        ([1, 2], [2], [1, 2], "request 0: `only` minus the history leaves no item: .*`repeat`"),
        ([1, 2], [1, 2], [2], "`only` minus `exclude` with the history leaves no item: "),
        ([1, 2], [2], [1], "request 0: `only` minus `exclude` leaves no item$"),
    ],
)
def test_what_leaves_no_item_is_named(exclude, only, history, message):
    given = None if only is None else [only]
    with pytest.raises(ValueError, match=message):
        Constraints.from_items(TRIE, exclude=[exclude], only=given, histories=[history])


def test_a_history_bans_nothing_by_itself():
    plain = Constraints.from_items(TRIE, exclude=[[3]])
    told = Constraints.from_items(TRIE, exclude=[[3]], histories=[[3, 4]])
    assert told.rank_BX.equal(plain.rank_BX)
