import numpy as np
import pytest

from genrec.data import leave_one_out
from genrec.eval import evaluate
from genrec.recommender import Recommender, Request
from tests.eval.written import written

pytest.importorskip("implicit")
from genrec.eval.factorization import ALSConfig, ALSRecommender, tune_als

CONFIG = ALSConfig(factors=2, last=50)


def two_tastes(users=20):
    """Users who buy four of the items 0 to 5, or four of the items 6 to 11."""
    draw = np.random.default_rng(0)
    return written({
        f"user {user}": (6 * (user % 2) + draw.permutation(6)[:4]).tolist() for user in range(users)
    })  # fmt: skip


def everything(dataset):
    return np.ones(len(dataset.interactions), dtype=bool)


def test_it_recommends_what_people_of_the_same_taste_buy():
    dataset = two_tastes()
    split = leave_one_out(dataset.interactions)
    recommender = ALSRecommender(dataset, split.train, CONFIG)
    metrics = evaluate(recommender, dataset, split.test, k=6, train=split.train).metrics
    assert metrics["recall@6"].value == 1


def test_a_user_is_the_solution_of_the_weighted_least_squares():
    dataset = two_tastes()
    config = ALSConfig(factors=4, regularization=0.3, confidence=2.0, last=50)
    recommender = ALSRecommender(dataset, everything(dataset), config)
    item_NF = recommender._model.item_factors.astype(np.float64)
    history = (2, 5, 5)
    confidence_N = np.ones(12)
    confidence_N[2], confidence_N[5] = 2.0, 4.0
    met_N = np.isin(np.arange(12), history)
    gram_FF = (item_NF * confidence_N[:, None]).T @ item_NF + 0.3 * np.eye(4)
    user_F = np.linalg.solve(gram_FF, item_NF.T @ (confidence_N * met_N))
    ranking = recommender.recommend([Request(history=history)], 12)[0]
    assert ranking.scores == pytest.approx((item_NF @ user_F)[ranking.items], abs=1e-4)


def test_only_the_end_of_the_history_counts_and_no_order():
    dataset = two_tastes()
    config = ALSConfig(factors=4, last=2)
    recommender = ALSRecommender(dataset, everything(dataset), config)
    histories = [(9, 0, 1), (1, 0), (0, 9)]
    requests = [Request(history=history, exclude=(4,)) for history in histories]
    long, turned, other = recommender.recommend(requests, 5)
    assert long.items.tolist() == turned.items.tolist() != other.items.tolist()
    alone = recommender.recommend(requests[:1], 5)[0]
    assert alone.scores == pytest.approx(long.scores, abs=1e-6)
    assert 4 not in long.items


def test_nobody_knows_what_a_user_without_history_likes():
    dataset = two_tastes()
    ranking = ALSRecommender(dataset, everything(dataset), CONFIG).recommend([Request()], 12)[0]
    assert sorted(ranking.items.tolist()) == list(range(12))
    assert ranking.scores == pytest.approx(np.zeros(12), abs=1e-6)


def test_the_seed_decides():
    dataset = two_tastes()
    request = [Request(history=(1, 2))]
    config = ALSConfig(factors=4, iterations=1)
    scores = [
        ALSRecommender(dataset, everything(dataset), config, seed=seed)
        .recommend(request, 6)[0]
        .scores.tolist()
        for seed in (0, 0, 1)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    assert scores[0] != pytest.approx(scores[2], abs=1e-5)


def test_tuning_chooses_by_validation(caplog):
    dataset = two_tastes()
    with caplog.at_level("INFO"):
        config = tune_als(dataset, leave_one_out(dataset.interactions))
    assert isinstance(config, ALSConfig)
    assert f"{config} validates best, with a ndcg@10 of " in caplog.text


def test_it_is_a_recommender_that_only_ranks():
    dataset = two_tastes()
    recommender = ALSRecommender(dataset, everything(dataset), CONFIG)
    assert isinstance(recommender, Recommender)
    with pytest.raises(NotImplementedError, match="only ranks items"):
        recommender.generate([Request(task="rate")])


@pytest.mark.parametrize("wrong", [{"factors": 0}, {"confidence": 0.0}, {"regularization": -1.0}])
def test_a_config_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="it must be"):
        ALSConfig(**wrong)
