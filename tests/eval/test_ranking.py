import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score, roc_auc_score

from genrec.eval.ranking import (
    METRICS,
    MISSED,
    auc,
    hit_rate_at,
    map_at,
    mrr_at,
    ndcg_at,
    precision_at,
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
    assert mrr_at(rank_E, 5).item() == map_at(rank_E, 5).item() == mrr
    assert precision_at(rank_E, 5).item() == recall / 5


@given(ranks)
def test_at_1_all_metrics_say_whether_the_first_item_is_right(rank):
    scores = {score_at(np.array([rank]), 1).item() for score_at in METRICS.values()}
    assert scores == {float(rank == 0)}


@given(ranks, st.integers(1, 20))
def test_a_longer_cut_never_scores_less(rank, k):
    rank_E = np.array([rank])
    for score_at in set(METRICS.values()) - {precision_at}:
        assert score_at(rank_E, k).item() <= score_at(rank_E, k + 1).item()


@given(ranks, st.integers(1, 20))
def test_a_hit_scores_most_by_hit_rate_and_least_by_reciprocal_rank(rank, k):
    rank_E = np.array([rank])
    mrr, ndcg, hit = (score(rank_E, k).item() for score in (mrr_at, ndcg_at, hit_rate_at))
    assert 0 <= mrr <= ndcg <= hit <= 1


def random_rankings(events=1000, items=30):
    rng = np.random.default_rng(0)
    score_EN, target_E = rng.random((events, items)), rng.integers(items, size=events)
    rank_E = (score_EN > score_EN[np.arange(events), target_E][:, None]).sum(axis=1)
    return score_EN, np.eye(items)[target_E], rank_E


def test_1000_random_rankings_score_as_in_scikit_learn():
    score_EN, right_EN, rank_E = random_rankings()
    for k in (1, 5, 10):
        assert ndcg_at(rank_E, k).mean() == pytest.approx(
            ndcg_score(right_EN, score_EN, k=k), abs=1e-9
        )
    expected = label_ranking_average_precision_score(right_EN, score_EN)
    assert map_at(rank_E, 30).mean() == pytest.approx(expected, abs=1e-9)
    full_E = np.full(1000, 30)
    expected = [
        roc_auc_score(right, score) for right, score in zip(right_EN, score_EN, strict=True)
    ]
    np.testing.assert_allclose(auc(rank_E, full_E, full_E), expected, atol=1e-9)


def test_1000_random_rankings_score_as_in_ranx(monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")  # compiling takes a minute and a half
    ranx = pytest.importorskip("ranx", reason="ranx is only compared with")
    score_EN, right_EN, rank_E = random_rankings()
    names = [str(n) for n in range(score_EN.shape[1])]
    users = [str(e) for e in range(len(rank_E))]
    truth = ranx.Qrels({u: {names[r.argmax()]: 1} for u, r in zip(users, right_EN, strict=True)})
    run = ranx.Run(
        {u: dict(zip(names, s, strict=True)) for u, s in zip(users, score_EN, strict=True)}
    )
    theirs = {"hr": "hit_rate", "mrr": "mrr", "ndcg": "ndcg", "map": "map"}
    for name, score_at in METRICS.items():
        for k in (1, 5, 10):
            expected = ranx.evaluate(truth, run, f"{theirs.get(name, name)}@{k}")
            assert score_at(rank_E, k).mean() == pytest.approx(expected, abs=1e-9), (name, k)


@pytest.mark.parametrize(
    ("rank", "named", "expected"),
    [(0, 5, 1.0), (4, 5, 0.0), (1, 5, 0.75), (1, 2, 0.75), (MISSED, 2, 0.25), (MISSED, 0, 0.5)],
)
def test_auc_of_5_candidates_some_of_them_not_named(rank, named, expected):
    assert auc(np.array([rank]), np.array([named]), np.array([5])).item() == expected


def test_ids_that_several_items_share_are_scored_beside_the_items():
    statistics = ranking_statistics(
        np.array([2, MISSED]), np.arange(2), cutoffs=(1,), id_rank_E=np.array([0, MISSED])
    )
    assert (statistics.values["hr@1"], statistics.values["id-hr@1"]) == (0, 0.5)


def test_statistics_carry_the_means_by_name():
    statistics = ranking_statistics(np.array([0, 1, MISSED]), np.arange(3), cutoffs=(1, 3))
    assert statistics.values == pytest.approx({
        "hr@1": 1 / 3, "recall@1": 1 / 3, "precision@1": 1 / 3, "ndcg@1": 1 / 3, "mrr@1": 1 / 3,
        "map@1": 1 / 3, "hr@3": 2 / 3, "recall@3": 2 / 3, "precision@3": 2 / 9,
        "ndcg@3": 1.63093 / 3, "mrr@3": 0.5, "map@3": 0.5,
    }, abs=1e-5)  # fmt: skip


def test_k_below_1_is_refused():
    with pytest.raises(ValueError, match="k is 0"):
        ndcg_at(np.array([0]), 0)
