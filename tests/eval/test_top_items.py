import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.eval.top_items import tie_breaks, top_items
from genrec.recommender import Request, Subset

rows = st.sets(st.integers(0, 7)).map(tuple)


@given(st.permutations(range(8)), rows, st.none() | rows, st.integers(1, 9))
def test_the_best_allowed_items_come_first(score_N, exclude, only, k):
    request = Request(exclude=exclude, only=only)
    allowed = (set(range(8)) if only is None else set(only)) - set(exclude)
    if not allowed:
        with pytest.raises(ValueError, match="request 0 allows no item"):
            top_items(np.array([score_N], dtype=float), [request], k)
        return
    ranking = top_items(np.array([score_N], dtype=float), [request], k)[0]
    assert ranking.items.tolist() == sorted(allowed, key=lambda item: -score_N[item])[:k]
    assert ranking.scores.tolist() == [score_N[item] for item in ranking.items]


def test_every_request_has_its_own_rules():
    score_BN = np.tile([3.0, 2.0, 1.0], (2, 1))
    rankings = top_items(score_BN, [Request(exclude=(0,)), Request(only=(2, 0))], 2)
    assert [ranking.items.tolist() for ranking in rankings] == [[1, 2], [0, 2]]
    assert score_BN.tolist() == [[3.0, 2.0, 1.0]] * 2


def test_a_shared_set_holds_and_what_only_models_know_is_refused():
    score_BN, within = np.array([[3.0, 2.0, 1.0]]), Subset(np.array([False, True, True]))
    ranking = top_items(score_BN, [Request(within=within, exclude=(2,))], 3)[0]
    assert ranking.items.tolist() == [1]
    with pytest.raises(ValueError, match="request 0 asks for boosts, but a ranking by scores"):
        top_items(score_BN, [Request(boosts=((1, 2.0),))], 3)


def test_k_below_1_is_refused():
    with pytest.raises(ValueError, match="k is 0"):
        top_items(np.zeros((1, 3)), [Request()], 0)


def test_the_seed_decides_ties():
    assert tie_breaks(9, 1).tolist() == tie_breaks(9, 1).tolist() != tie_breaks(9, 2).tolist()
