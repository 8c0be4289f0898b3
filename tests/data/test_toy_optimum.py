import dataclasses
import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data.toy_optimum import ToyOptimum
from genrec.data.toy_process import (
    RATING_SHARES,
    ToyProcess,
    ToyShopConfig,
    plant,
    sample_log,
)
from genrec.data.toy_queries import ToyQueries
from genrec.recommender import Recommender, Request

SMALL = ToyOptimum(
    plant(
        ToyShopConfig(categories=3, items_per_category=5, fewest_events=2, most_events=4, brands=2),
        np.random.default_rng(3),
    )
)
"""The optimum of a shop of 15 items, which brute force can check."""


class Sample(NamedTuple):
    optimum: ToyOptimum
    requests: list[Request]
    target_B: np.ndarray
    in_pictures_B: np.ndarray


@pytest.fixture(scope="module")
def sample() -> Sample:
    """Ask for the last purchases of the users of a shop of the usual size."""
    process = plant(ToyShopConfig(users=3000), np.random.default_rng(0))
    log = sample_log(process, np.random.default_rng(1))
    requests = [
        Request(history=tuple(item_E[: events - 1]), ratings=tuple(rating_E[: events - 1]))
        for item_E, rating_E, events in zip(log.item_UE, log.rating_UE, log.events_U, strict=True)
    ]
    target_B = log.item_UE[np.arange(len(requests)), log.events_U - 1]
    return Sample(
        ToyOptimum(process), requests, target_B, process.tastes.in_pictures_T[log.taste_U]
    )


def wishes_met(process: ToyProcess, taste: int, item: int) -> dict[str, bool]:
    items, tastes = process.items, process.tastes
    seen = bool(items.has_picture_N[item])
    return {
        "brand": tastes.brand_T[taste] == items.brand_N[item],
        "tier": tastes.tier_T[taste] == items.tier_N[item],
        "colour": seen and tastes.colour_T[taste] == items.colour_N[item],
        "pattern": seen and tastes.pattern_T[taste] == items.pattern_N[item],
    }


def purchase_chance(process: ToyProcess, taste: int, before: tuple[int, ...], item: int) -> float:
    """Follow the equations of the toy shop, one item at a time."""
    if item in before:
        return 0.0

    def weight(other: int) -> float:
        met = wishes_met(process, taste, other)
        utility = process.items.appeal_N[other]
        utility += sum(getattr(process.config, f"{wish}_weight") for wish in met if met[wish])
        return math.exp(utility)

    category_N = process.items.category_N
    category = category_N[item]
    unsold = [i for i in range(len(category_N)) if category_N[i] == category and i not in before]
    chance = weight(item) / sum(weight(other) for other in unsold)
    if not before:
        return chance / process.config.categories
    return chance * float(process.next_CC[category_N[before[-1]], category])


def rating_chance(process: ToyProcess, taste: int, item: int, rating: float | None) -> float:
    if rating is None:
        return 1.0
    return float(RATING_SHARES[sum(wishes_met(process, taste, item).values()), int(rating) - 1])


def enumerate_tastes(process: ToyProcess, request: Request) -> list[float]:
    """Multiply prior and likelihood of a whole history for every taste."""
    joint = []
    ratings = request.ratings or (None,) * len(request.history)
    for taste, prior in enumerate(process.tastes.prior_T):
        chance = float(prior)
        for place, (item, rating) in enumerate(zip(request.history, ratings, strict=True)):
            chance *= purchase_chance(process, taste, request.history[:place], item)
            chance *= rating_chance(process, taste, item, rating)
        joint.append(chance)
    return [chance / sum(joint) for chance in joint]


histories = st.lists(st.integers(0, 14), max_size=4, unique=True).map(tuple)


@given(history=histories, data=st.data())
def test_predictions_equal_enumeration(history, data):
    rating = st.none() | st.integers(1, 5).map(float)
    ratings = data.draw(st.lists(rating, min_size=len(history), max_size=len(history)).map(tuple))
    request = Request(history=history, ratings=data.draw(st.sampled_from([(), ratings])))
    process = SMALL.process
    posterior = enumerate_tastes(process, request)
    np.testing.assert_allclose(SMALL.posterior([request])[0], posterior, atol=1e-12)
    expected_N = [
        sum(
            chance * purchase_chance(process, taste, history, item)
            for taste, chance in enumerate(posterior)
        )
        for item in range(15)
    ]
    np.testing.assert_allclose(SMALL.predict([request])[0], expected_N, atol=1e-12)
    assert sum(expected_N) == pytest.approx(1)


@given(history=histories)
def test_a_query_multiplies_the_prediction_by_its_likelihood(history):
    searching = Request(task="search", history=history, query="calder phone things")
    likelihood_N = ToyQueries(SMALL.process).likelihood("calder phone things")
    product_N = SMALL.predict([Request(history=history)])[0] * likelihood_N
    np.testing.assert_allclose(SMALL.predict([searching])[0], product_N / product_N.sum())


@given(several=st.lists(histories, min_size=1, max_size=5))
def test_a_prediction_does_not_depend_on_the_other_requests(several):
    requests = [Request(history=history) for history in several]
    alone_BN = np.concatenate([SMALL.predict([request]) for request in requests])
    np.testing.assert_allclose(SMALL.predict(requests), alone_BN, rtol=1e-12)


def test_predicted_probabilities_are_calibrated(sample):
    chance_BN = sample.optimum.predict(sample.requests)
    happened_BN = np.zeros_like(chance_BN)
    happened_BN[np.arange(len(chance_BN)), sample.target_B] = 1
    bin_BN = np.digitize(chance_BN, [1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.2, 0.3, 0.5])
    for number in range(10):
        chance_P, happened_P = chance_BN[bin_BN == number], happened_BN[bin_BN == number]
        deviation = math.sqrt((chance_P * (1 - chance_P)).sum())
        assert abs(happened_P.sum() - chance_P.sum()) < 4 * deviation + 1e-9


@pytest.mark.parametrize(
    "change",
    [
        {"brand_weight": 2.0},
        {"brand_weight": 4.0},
        {"tier_weight": 0.5},
        {"colour_weight": 2.0},
        {"pattern_weight": 3.0},
        {"wander": 0.3},
        {"usual_share": 0.5},
    ],
)
def test_a_perturbed_process_explains_the_purchases_less_well(sample, change):
    process = sample.optimum.process
    perturbed = dataclasses.replace(process, config=dataclasses.replace(process.config, **change))
    rows = np.arange(len(sample.requests))
    ours, theirs = (
        np.log(optimum.predict(sample.requests)[rows, sample.target_B]).mean()
        for optimum in (sample.optimum, ToyOptimum(perturbed))
    )
    assert ours > theirs


def ndcg_at_10(sample: Sample, score_BN: np.ndarray) -> float:
    rows = np.arange(len(score_BN))
    rank_B = (score_BN > score_BN[rows, sample.target_B][:, None]).sum(axis=1)
    return float(np.where(rank_B < 10, 1 / np.log2(rank_B + 2), 0).mean())


@pytest.mark.parametrize(
    "blind_to",
    [
        ("brand_weight", "tier_weight"),
        ("colour_weight", "pattern_weight"),
        ("brand_weight", "tier_weight", "colour_weight", "pattern_weight"),
        ("habits",),
    ],
)
def test_who_knows_habits_and_all_tastes_ranks_far_better_than_who_misses_some(sample, blind_to):
    process = sample.optimum.process
    change = {"wander": 1.0} if blind_to == ("habits",) else dict.fromkeys(blind_to, 0.0)
    blind = dataclasses.replace(process, config=dataclasses.replace(process.config, **change))
    ours = ndcg_at_10(sample, sample.optimum.predict(sample.requests))
    assert 0.35 < ours < 0.5
    assert ndcg_at_10(sample, ToyOptimum(blind).predict(sample.requests)) < 0.75 * ours


def test_neither_popularity_nor_neighbours_come_near_the_optimum(sample):
    count = len(sample.optimum.process.items)
    sold_N, near_NN = np.zeros(count), np.zeros((count, count))
    for request in sample.requests:
        sold_N[list(request.history)] += 1
        for place, item in enumerate(request.history):
            for distance, later in enumerate(request.history[place + 1 :], start=1):
                near_NN[item, later] += 1 / distance
    popular_BN = np.tile(sold_N, (len(sample.requests), 1))
    neighbours_BN = 1e-9 * popular_BN
    for row, request in enumerate(sample.requests):
        for age, item in enumerate(reversed(request.history)):
            neighbours_BN[row] += 0.3**age * near_NN[item]
        popular_BN[row, list(request.history)] = neighbours_BN[row, list(request.history)] = -1
    optimum = ndcg_at_10(sample, sample.optimum.predict(sample.requests))
    assert ndcg_at_10(sample, popular_BN) < 0.05
    assert 0.05 < ndcg_at_10(sample, neighbours_BN) < 0.5 * optimum


def test_rankings_are_predictions_in_order_with_their_logarithms():
    requests = [Request(history=(3,)), Request(history=(0, 8), ratings=(5.0, None))]
    for ranking, chance_N in zip(
        SMALL.recommend(requests, k=6), SMALL.predict(requests), strict=True
    ):
        assert ranking.items.tolist() == np.argsort(-chance_N, kind="stable")[:6].tolist()
        np.testing.assert_allclose(ranking.scores, np.log(chance_N[ranking.items]), rtol=1e-5)


def test_rankings_honour_exclude_and_only():
    everything = SMALL.recommend([Request()], k=15)[0].items.tolist()
    excluding, within, both = SMALL.recommend(
        [
            Request(exclude=(everything[0], everything[2])),
            Request(only=(1, 9, 4)),
            Request(only=(1, 9, 4), exclude=(9,)),
        ],
        k=15,
    )
    assert excluding.items.tolist() == [everything[1], *everything[3:]]
    assert within.items.tolist() == [item for item in everything if item in (1, 4, 9)]
    assert both.items.tolist() == [item for item in everything if item in (1, 4)]


def test_what_cannot_happen_is_ranked_last_with_a_finite_score():
    ranking = SMALL.recommend([Request(history=(5, 2))], k=15)[0]
    assert sorted(ranking.items[-2:].tolist()) == [2, 5]
    assert np.isfinite(ranking.scores).all()


def test_many_requests_are_answered_like_few():
    requests = [Request(history=(item,)) for item in range(15)] * 80
    for number, ranking in enumerate(SMALL.recommend(requests, k=3)):
        alone = SMALL.recommend([requests[number % 15]], k=3)[0]
        assert ranking.items.tolist() == alone.items.tolist()


def test_a_rating_is_the_rounded_mean_given_history_and_purchase():
    process, request = SMALL.process, Request(task="rate", history=(2, 6), item=11)
    bought = Request(history=(2, 6, 11))
    mean = sum(
        chance * rating * rating_chance(process, taste, 11, rating)
        for taste, chance in enumerate(enumerate_tastes(process, bought))
        for rating in range(1, 6)
    )
    assert SMALL.generate([request]) == [str(round(mean))]
    assert SMALL.rate([request])[0].expected == pytest.approx(mean)


def test_ratings_are_better_predicted_than_by_their_mean(sample):
    asked = [
        Request(task="rate", history=request.history[:-1], item=request.history[-1])
        for request in sample.requests
    ]
    given_B = np.array([request.ratings[-1] for request in sample.requests])
    answer_B = np.array([int(answer) for answer in sample.optimum.generate(asked)])
    assert np.square(answer_B - given_B).mean() < 0.8 * given_B.var()


def test_an_explanation_gives_the_likeliest_reason_and_the_habit():
    process = SMALL.process
    items = process.items
    wanted = [int(i) for i in np.flatnonzero((items.brand_N == 0) & (items.tier_N == 2))]
    *history, item = sorted(wanted, key=lambda i: items.category_N[i])
    request = Request(
        task="explain", history=tuple(history), ratings=(5.0,) * len(history), item=item, rating=5.0
    )
    posterior_T = SMALL.posterior([Request(history=(*history, item))])[0]
    assert posterior_T[process.tastes.brand_T == 0].sum() > 0.5
    assert "Northwind" in SMALL.generate([request])[0]


def test_the_optimum_is_a_recommender():
    assert isinstance(SMALL, Recommender)
    assert SMALL.recommend([], k=3) == []
    assert SMALL.generate([]) == []


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(history=(1, 2, 3, 4, 5)), r"has 5 items, .* give at most the last 4"),
        (Request(history=(1, 1)), "nobody buys an item of the toy shop twice"),
        (Request(history=(15,)), "there is no item 15; there are 15"),
        (Request(history=(1,), ratings=(4.5,)), "nobody rates 4.5"),
    ],
)
def test_histories_outside_the_process_are_refused(request_, message):
    with pytest.raises(ValueError, match=message):
        SMALL.recommend([request_], k=1)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(task="rate"), "the task 'rate' needs the item"),
        (Request(task="select", item=3), "cannot generate for 'select'"),
    ],
)
def test_tasks_without_an_answer_are_refused(request_, message):
    with pytest.raises(ValueError, match=message):
        SMALL.generate([request_])
