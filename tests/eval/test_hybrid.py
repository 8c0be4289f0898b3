import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data import leave_one_out
from genrec.eval import HybridConfig, HybridRecommender, tune_hybrid
from genrec.recommender import Ranking, Request
from tests.eval.written import written

ITEMS = 8


class Scores:
    """Ranks all items by fixed scores, as far as a request allows."""

    def __init__(self, scores_N):
        self.scores_N = np.asarray(scores_N, dtype=np.float64)
        self.asked: list[list[Request]] = []

    def recommend(self, requests, k):
        self.asked.append(list(requests))
        return [self._rank(request, k) for request in requests]

    def generate(self, requests):
        return ["words"] * len(requests)

    def _rank(self, request, k):
        allowed = [i for i in range(len(self.scores_N)) if i not in request.exclude]
        if request.only is not None:
            allowed = [i for i in allowed if i in request.only]
        best = sorted(allowed, key=lambda i: (-self.scores_N[i], i))[:k]
        return Ranking(np.array(best), self.scores_N[best].astype(np.float32))


def hybrid(model, helper, **settings):
    return HybridRecommender(model, helper, HybridConfig(**settings))


def test_a_mixture_worked_by_hand():
    model = Scores(np.log([0.5, 0.3, 0.15, 0.05]))
    helper = Scores([0.0, 1.0, 0.0, 3.0])
    (found,) = hybrid(model, helper, weight=0.5).recommend([Request()], 4)
    assert found.items.tolist() == [3, 1, 0, 2]
    assert np.exp(found.scores) == pytest.approx([0.4, 0.275, 0.25, 0.075], abs=1e-6)


@given(
    st.lists(st.floats(0.01, 1), min_size=ITEMS, max_size=ITEMS),
    st.lists(st.integers(0, 9), min_size=ITEMS, max_size=ITEMS),
    st.floats(0, 1),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.sets(st.integers(0, ITEMS - 1), max_size=ITEMS - 1),
)
def test_where_all_is_in_reach_it_is_the_mixture_over_all_items(p_N, h_N, weight, power, banned):
    p_N, h_N = np.array(p_N) / sum(p_N), np.array(h_N, dtype=np.float64)
    request = Request(exclude=tuple(banned))
    mixed = hybrid(Scores(np.log(p_N)), Scores(h_N), weight=weight, power=power)
    (found,) = mixed.recommend([request], ITEMS)
    allowed = [item for item in range(ITEMS) if item not in banned]
    share_N = h_N**power / max((h_N[allowed] ** power).sum(), 1e-300)
    expected = sorted((1 - weight) * p_N[allowed] + weight * share_N[allowed], reverse=True)
    assert sorted(found.items.tolist()) == allowed
    assert np.exp(found.scores) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_items_of_the_helper_alone_get_the_model_s_own_probability():
    model, helper = Scores(np.log([0.4, 0.3, 0.2, 0.06, 0.04])), Scores([0, 0, 0, 1, 4])
    (found,) = hybrid(model, helper, weight=0.1, reach=2).recommend([Request(), Request()], 2)[:1]
    assert model.asked[1][0].only == (3, 4)
    assert found.items.tolist() == [0, 1]
    pool = hybrid(model, helper).pools([Request()], 2)[0]
    assert sorted(pool.items_X.tolist()) == [0, 1, 3, 4]
    assert dict(zip(pool.items_X.tolist(), np.exp(pool.log_prob_X), strict=True)) == pytest.approx(
        {0: 0.4, 1: 0.3, 3: 0.06, 4: 0.04}, abs=1e-6
    )


def test_without_weight_it_is_the_model_and_with_all_of_it_the_helper():
    model, helper = Scores(np.log([0.4, 0.3, 0.2, 0.1])), Scores([1.0, 2, 3, 4])
    assert hybrid(model, helper, weight=0).recommend([Request()], 4)[0].items.tolist() == [
        0,
        1,
        2,
        3,
    ]
    assert hybrid(model, helper, weight=1).recommend([Request()], 4)[0].items.tolist() == [
        3,
        2,
        1,
        0,
    ]


def test_tuning_finds_who_is_right():
    dataset = written({f"u{user}": [user % 3, 4, 5, 6] for user in range(6)})
    right, wrong = np.full(12, 0.01), np.full(12, 0.01)
    right[5] = wrong[7] = 0.5  # the validation item is 5
    split = leave_one_out(dataset.interactions)
    trusts_helper = tune_hybrid(Scores(np.log(wrong)), Scores(right), dataset, split)
    trusts_model = tune_hybrid(Scores(np.log(right)), Scores(wrong), dataset, split)
    assert trusts_helper.weight > 0.3
    assert trusts_model.weight < trusts_helper.weight


def test_what_cannot_be_mixed_is_refused():
    fine = Scores(np.log([0.5, 0.5]))
    with pytest.raises(ValueError, match="the helper scores item 1 with -2"):
        hybrid(fine, Scores([1.0, -2.0])).recommend([Request()], 2)

    class Short(Scores):
        def _rank(self, request, k):
            return Ranking(*(part[:1] for part in super()._rank(request, k)))

    with pytest.raises(ValueError, match="asked to rank 1 items of the helper, such as 2, and"):
        hybrid(Short(np.log([0.5, 0.3, 0.2])), Scores([0.0, 1, 2])).recommend([Request()], 3)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"weight": 1.5}, "weight is 1.5"),
        ({"power": 0.0}, "power is 0"),
        ({"reach": 0}, "reach is 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        HybridConfig(**settings)
