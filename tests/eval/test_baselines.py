import itertools
from dataclasses import replace

import numpy as np
import pytest

from genrec.data import SequencesConfig, leave_one_out, load_sequences
from genrec.eval import (
    ItemKNNConfig,
    ItemKNNRecommender,
    MeanRatingConfig,
    MeanRatingRecommender,
    PopularityRecommender,
    evaluate,
    tune_item_knn,
)
from genrec.eval.baselines import GlobalMeanRecommender, tune_mean_rating
from genrec.recommender import Diversity, Recommender, Request, Subset
from tests.eval.written import written
from tests.real_data import real_data


def all_events(dataset):
    return np.ones(len(dataset.interactions), dtype=bool)


def random_log(users=40, items=12, seed=0):
    rng = np.random.default_rng(seed)
    return written(
        {f"user {u}": rng.integers(items, size=rng.integers(3, 9)).tolist() for u in range(users)},
        items=items,
    )


@pytest.fixture(scope="module")
def beauty():
    folder = real_data("amazon-beauty")
    files = {"sequences": folder / "sequences.tsv", "items": folder / "items.jsonl"}
    return load_sequences(SequencesConfig(**files), name="beauty")


@pytest.mark.parametrize("kind", [PopularityRecommender, ItemKNNRecommender])
def test_a_ranker_follows_the_protocol_and_refuses_to_write(kind):
    dataset = random_log()
    recommender = kind(dataset, all_events(dataset))
    assert isinstance(recommender, Recommender)
    with pytest.raises(NotImplementedError, match="only ranks items"):
        recommender.generate([Request(task="explain", item=3)])


@pytest.mark.parametrize("kind", [PopularityRecommender, ItemKNNRecommender])
def test_a_ranking_names_only_what_is_allowed_each_item_once(kind):
    dataset = random_log()
    request = Request(history=(1, 2), exclude=(1, 2, 5), only=(0, 1, 5, 7, 9))
    held = replace(request, within=Subset(np.arange(len(dataset.catalogue)) < 8))
    recommender = kind(dataset, all_events(dataset))
    free, within = recommender.recommend([request, held], 10)
    assert sorted(free.items.tolist()) == [0, 7, 9]
    assert sorted(within.items.tolist()) == [0, 7]
    with pytest.raises(ValueError, match="request 0 asks for diversity"):
        recommender.recommend([replace(request, diversity=Diversity(at_most=1))], 10)


@pytest.mark.parametrize("kind", [PopularityRecommender, ItemKNNRecommender])
def test_a_request_that_allows_nothing_is_refused(kind):
    dataset = random_log()
    with pytest.raises(ValueError, match="allows no item"):
        kind(dataset, all_events(dataset)).recommend([Request(exclude=(3,), only=(3,))], 5)


def test_popularity_ranks_by_train_events_only():
    dataset = written({"ann": [3, 3, 3, 1, 1], "bob": [2, 2, 2, 2, 5]}, items=6)
    train = np.array([1, 1, 1, 1, 1, 1, 1, 0, 0, 0], dtype=bool)
    ranking = PopularityRecommender(dataset, train).recommend([Request()], 3)[0]
    assert ranking.items[0] == 3
    assert set(ranking.items[1:].tolist()) == {1, 2}
    assert ranking.scores.tolist() == pytest.approx([3 / 7, 2 / 7, 2 / 7])


def test_equally_popular_items_do_not_stand_in_the_order_of_the_catalogue():
    dataset = written({"ann": list(range(12))})
    items = PopularityRecommender(dataset, all_events(dataset)).recommend([Request()], 12)[0].items
    assert sorted(items.tolist()) == list(range(12)) != items.tolist()


def test_item_knn_by_hand():
    # 0 then 1 then 2; from 0: item 1 is 1 apart and item 2 is 2 apart; 3 is near nothing.
    dataset = written({"ann": [0, 1, 2]}, items=4)
    config = ItemKNNConfig(window=5, distance_power=1.0, backward=0.5, popularity_power=0.0)
    recommender = ItemKNNRecommender(dataset, all_events(dataset), config)
    ranking = recommender.recommend([Request(history=(0,), exclude=(0,))], 3)[0]
    assert ranking.items.tolist() == [1, 2, 3]
    assert ranking.scores.tolist() == pytest.approx([1.0, 0.5, 0.0], abs=1e-6)
    backwards = recommender.recommend([Request(history=(2,), exclude=(2,))], 1)[0]
    assert backwards.items.tolist() == [1]
    assert backwards.scores.tolist() == pytest.approx([0.5])


def test_item_knn_is_the_double_sum_of_its_docstring():
    dataset = random_log()
    train = leave_one_out(dataset.interactions).train
    config = ItemKNNConfig(window=3, decay=0.7, last=2, popularity_power=0.3)
    log = dataset.interactions
    kept = [log.item[(log.user_of == user) & train].tolist() for user in range(log.user_count)]
    near, count = np.zeros((12, 12)), np.bincount(list(itertools.chain(*kept)), minlength=12)
    for items in kept:
        for (a, first), (b, second) in itertools.permutations(enumerate(items), 2):
            if abs(a - b) <= 3:
                near[first, second] += (1 if b > a else config.backward) / abs(a - b) ** 0.5
    near /= np.maximum(np.outer(count, count), 1) ** 0.3
    expected = near[4] + 0.7 * near[7]
    request = Request(history=(1, 7, 4))
    ranking = ItemKNNRecommender(dataset, train, config).recommend([request], 12)[0]
    assert ranking.scores.tolist() == pytest.approx(expected[ranking.items].tolist(), abs=1e-6)
    assert (np.diff(ranking.scores) <= 0).all()


def test_tuning_finds_that_only_the_last_step_matters():
    walks = {f"user {u}": [(u + 5 * step) % 12 for step in range(8)] for u in range(60)}
    dataset = written(walks)
    split = leave_one_out(dataset.interactions)
    config = tune_item_knn(dataset, split)
    recommender = ItemKNNRecommender(dataset, split.train, config)
    assert evaluate(recommender, dataset, split.test).metrics["hr@1"].value == 1.0


def test_mean_ratings_by_hand():
    dataset = written({"ann": [0, 1], "bob": [0, 1]}, ratings={"ann": [5, 3], "bob": [4, 2]})
    config = MeanRatingConfig(item_shrinkage=0, user_shrinkage=0)
    recommender = MeanRatingRecommender(dataset, all_events(dataset), config)
    # The mean is 3.5, item 0 is 1 above it, item 1 is 1 below; ann is 0.5 above both.
    ann = Request(task="rate", history=(0,), ratings=(5.0,), item=1)
    stranger = Request(task="rate", item=1)
    assert recommender.generate([ann, stranger]) == ["3.0000", "2.5000"]


def test_an_item_without_ratings_gets_the_mean_of_all():
    dataset = written({"ann": [0, 1]}, ratings={"ann": [5, 3]})
    recommender = MeanRatingRecommender(dataset, all_events(dataset))
    assert recommender.generate([Request(task="rate", item=7)]) == ["4.0000"]


def test_tuning_trusts_the_biases_that_predict():
    draw = np.random.default_rng(0)
    kind = draw.integers(1, 6, size=12)  # each item has its rating, whoever asks
    met = {f"user {u}": draw.permutation(12)[:6].tolist() for u in range(40)}
    dataset = written(met, ratings={user: kind[items].tolist() for user, items in met.items()})
    config = tune_mean_rating(dataset, leave_one_out(dataset.interactions))
    assert config.item_shrinkage == 3
    assert config.user_shrinkage >= 100


def test_mean_ratings_refuse_to_rank_and_to_explain():
    dataset = written({"ann": [0, 1]}, ratings={"ann": [5, 3]})
    recommender = MeanRatingRecommender(dataset, all_events(dataset))
    with pytest.raises(NotImplementedError, match="rank no items"):
        recommender.recommend([Request()], 10)
    with pytest.raises(NotImplementedError, match="not 'explain'"):
        recommender.generate([Request(task="explain", item=1)])


@pytest.mark.parametrize("kind", [MeanRatingRecommender, GlobalMeanRecommender])
def test_data_without_ratings_have_no_mean(kind):
    dataset = written({"ann": [0, 1]})
    with pytest.raises(ValueError, match="no train event of written has a rating"):
        kind(dataset, all_events(dataset))


def test_the_global_mean_is_that_of_the_train_ratings_for_everybody():
    dataset = written({"ann": [0, 1, 2], "bob": [3]}, ratings={"ann": [5, None, 3], "bob": [1]})
    train = np.array([True, True, True, False])
    recommender = GlobalMeanRecommender(dataset, train)
    requests = [Request(task="rate", item=3), Request(task="preference", review="awful")]
    assert recommender.generate(requests) == ["4.0000", "4.0000"]
    with pytest.raises(NotImplementedError, match="not 'explain'"):
        recommender.generate([Request(task="explain", item=0)])
    with pytest.raises(NotImplementedError, match="ranks no items"):
        recommender.recommend([Request()], 3)


@pytest.mark.parametrize(
    ("kind", "recall", "ndcg"),
    [(PopularityRecommender, 0.0114, 0.0054), (ItemKNNRecommender, 0.0851, 0.0524)],
)
def test_beauty_gives_the_numbers_of_an_independent_script(beauty, kind, recall, ndcg):
    split = leave_one_out(beauty.interactions)
    recommender = kind(beauty, split.train)
    metrics = evaluate(recommender, beauty, split.test, train=split.train).metrics
    assert metrics["recall@10"].value == pytest.approx(recall, rel=0.02)
    assert metrics["ndcg@10"].value == pytest.approx(ndcg, rel=0.02)
