"""Choosing among configs by a recommender that is as good as its config says."""

import numpy as np
import pytest

from genrec.data import leave_one_out
from genrec.eval.tuning import tune
from genrec.recommender import Ranking
from tests.eval.written import written

# Everybody meets items 0, 1, 2 and 3 in turn: 2 validates, 3 tests.
DATASET = written({f"user {user}": [0, 1, 2, 3] for user in range(4)})


class Guesses:
    """Ranks one item first, whoever asks, or gives one rating."""

    tasks = ("recommend", "rate")

    def __init__(self, guess):
        self.guess = guess

    def recommend(self, requests, k):
        order = [self.guess, *(item for item in range(k) if item != self.guess)]
        return [Ranking(np.array(order), -np.arange(k, dtype=np.float32)) for _ in requests]

    def generate(self, requests):
        return [f"{self.guess:.4f}" for _ in requests]


def choose(configs, dataset=DATASET, *, task="recommend", metric="ndcg@10"):
    split = leave_one_out(dataset.interactions)
    return tune(configs, Guesses, dataset, split, task=task, metric=metric, users=100, seed=0)


def test_the_validation_events_decide_and_not_the_test_events():
    assert choose([3, 2, 5]) == 2


def test_of_an_error_the_lowest_wins():
    met = {f"user {user}": [0, 1, 2, 3] for user in range(4)}
    rated = written(met, ratings={user: [1, 1, 4, 1] for user in met})
    assert choose([1.0, 3.5, 5.0], rated, task="rate", metric="rmse") == 3.5


def test_of_equals_the_first_wins():
    assert choose([5, 7]) == 5


def test_the_choice_is_logged(caplog):
    with caplog.at_level("INFO"):
        choose([2])
    assert "2 validates best, with a ndcg@10 of 1.0000" in caplog.text


def test_nothing_to_choose_from_is_refused():
    with pytest.raises(ValueError, match="no config to choose from"):
        choose([])
