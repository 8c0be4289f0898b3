import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from genrec.eval.ranking import (
    METRICS,
    MISSED,
    hit_rate_at,
    mrr_at,
    ndcg_at,
    ranking_statistics,
    recall_at,
)

ranks = st.integers(-1, 20)


@pytest.mark.parametrize(
    ("rank", "recall", "ndcg", "mrr"),
    [
        (0, 1.0, 1.0, 1.0),
        (1, 1.0, 0.63093, 0.5),
        (4, 1.0, 0.38685, 0.2),
        (5, 0.0, 0.0, 0.0),
        (MISSED, 0.0, 0.0, 0.0),
    ],
)
def test_at_5(rank, recall, ndcg, mrr):
    rank_E = np.array([rank])
    assert hit_rate_at(rank_E, 5).item() == recall
    assert recall_at(rank_E, 5).item() == recall
    assert ndcg_at(rank_E, 5).item() == pytest.approx(ndcg, abs=1e-5)
    assert mrr_at(rank_E, 5).item() == mrr


@given(ranks)
def test_at_1_all_metrics_say_whether_the_first_item_is_right(rank):
    scores = {score_at(np.array([rank]), 1).item() for score_at in METRICS.values()}
    assert scores == {float(rank == 0)}


@given(ranks, st.integers(1, 20))
def test_a_longer_cut_never_scores_less(rank, k):
    rank_E = np.array([rank])
    for score_at in METRICS.values():
        assert score_at(rank_E, k).item() <= score_at(rank_E, k + 1).item()


@given(ranks, st.integers(1, 20))
def test_a_hit_scores_most_by_hit_rate_and_least_by_reciprocal_rank(rank, k):
    rank_E = np.array([rank])
    mrr, ndcg, hit = (score(rank_E, k).item() for score in (mrr_at, ndcg_at, hit_rate_at))
    assert 0 <= mrr <= ndcg <= hit <= 1


def test_ndcg_agrees_with_scikit_learn_on_random_rankings():
    rng = np.random.default_rng(0)
    score_EN = rng.random((200, 30))
    target_E = rng.integers(30, size=200)
    rank_E = (score_EN > score_EN[np.arange(200), target_E][:, None]).sum(axis=1)
    expected = ndcg_score(np.eye(30)[target_E], score_EN, k=10)
    assert ndcg_at(rank_E, 10).mean() == pytest.approx(expected, abs=1e-12)


def test_statistics_carry_the_means_by_name():
    statistics = ranking_statistics(np.array([0, 1, MISSED]), np.arange(3), cutoffs=(1, 3))
    assert statistics.values == pytest.approx({
        "hr@1": 1 / 3, "recall@1": 1 / 3, "ndcg@1": 1 / 3, "mrr@1": 1 / 3,
        "hr@3": 2 / 3, "recall@3": 2 / 3, "ndcg@3": 1.63093 / 3, "mrr@3": 0.5,
    }, abs=1e-5)  # fmt: skip


def test_k_below_1_is_refused():
    with pytest.raises(ValueError, match="k is 0"):
        ndcg_at(np.array([0]), 0)
