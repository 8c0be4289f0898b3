import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.eval.intervals import Statistics, bootstrap, compare, holm

scores = st.lists(st.integers(0, 4), min_size=1, max_size=40).map(np.array)


def of(score_E, user_E=None, **other):
    user_E = np.arange(len(score_E)) if user_E is None else np.asarray(user_E)
    means = Statistics.of_means({"score": np.asarray(score_E, dtype=float)}, user_E)
    return Statistics(means.names, means.stat_ES, means.user_E, means.combine, **other)


@given(scores)
@settings(deadline=None, max_examples=50)
def test_the_interval_holds_the_mean(score_E):
    interval = bootstrap(of(score_E), resamples=200)["score"]
    assert interval.value == pytest.approx(score_E.mean())
    assert interval.low - 1e-12 <= interval.value <= interval.high + 1e-12


@given(scores, st.randoms())
@settings(deadline=None, max_examples=30)
def test_the_order_of_users_does_not_matter(score_E, random):
    shuffled = list(score_E)
    random.shuffle(shuffled)
    assert bootstrap(of(score_E), resamples=50) == bootstrap(of(shuffled), resamples=50)


def test_the_interval_of_a_coin_is_that_of_the_normal_law():
    score_E = np.arange(2500) % 2
    interval = bootstrap(of(score_E), resamples=4000)["score"]
    assert interval.half_width == pytest.approx(1.96 * 0.5 / math.sqrt(2500), rel=0.05)


def test_resampling_by_kind_is_resampling_by_user():
    score_E = np.random.default_rng(1).exponential(size=60)
    rng = np.random.default_rng(2)
    mean_R = score_E[rng.integers(60, size=(20_000, 60))].mean(axis=1)
    interval = bootstrap(of(score_E), resamples=20_000)["score"]
    assert interval[1:] == pytest.approx(np.quantile(mean_R, [0.025, 0.975]), rel=0.02)


def test_events_of_one_user_are_drawn_together():
    score_E = np.repeat([0.0, 1.0], 50)
    together = bootstrap(of(score_E, np.repeat([0, 1], 50)))["score"]
    assert (together.low, together.high) == (0.0, 1.0)
    apart = bootstrap(of(score_E))["score"]
    assert 0.35 < apart.low < apart.high < 0.65


def test_the_seed_decides_the_interval():
    score_E = np.random.default_rng(0).random(30)
    assert bootstrap(of(score_E), seed=1) == bootstrap(of(score_E), seed=1)
    assert bootstrap(of(score_E), seed=1) != bootstrap(of(score_E), seed=2)


def test_no_events_are_refused():
    with pytest.raises(ValueError, match="no events"):
        bootstrap(of([]))


def test_a_run_does_not_differ_from_itself():
    score_E = np.random.default_rng(0).random(50)
    comparison = compare(of(score_E), of(score_E))["score"]
    assert comparison.difference == (0.0, 0.0, 0.0)
    assert comparison.p_value == 1.0
    assert comparison.verdict == "cannot tell"


def test_a_small_gap_that_all_users_share_is_told_from_noise():
    score_E = np.random.default_rng(0).random(50)
    comparison = compare(of(score_E + 0.01), of(score_E))["score"]
    assert comparison.difference == pytest.approx((0.01, 0.01, 0.01))
    assert comparison.verdict == "better"
    assert comparison.p_value == pytest.approx(1 / 2001)


def test_swapped_runs_swap_the_verdict():
    low_E = np.zeros(30)
    assert compare(of(low_E), of(low_E + 1))["score"].verdict == "worse"


def test_the_lower_error_is_better():
    low_E, other = np.zeros(30), {"goals": {"score": "lower"}}
    assert compare(of(low_E, **other), of(low_E + 1, **other))["score"].verdict == "better"


def test_the_interval_of_a_difference_is_narrower_than_that_of_each_run():
    easy_E = np.random.default_rng(0).random(200)
    first, second = of(easy_E), of(easy_E + np.random.default_rng(1).normal(0, 0.01, 200))
    difference = compare(first, second)["score"].difference
    assert difference.half_width < bootstrap(first)["score"].half_width / 5


def test_what_float32_rounds_is_no_difference():
    rating_E = 1 + np.arange(40) / 10
    (rounded,) = compare(of(rating_E), of(rating_E * (1 - 1e-7))).values()
    assert rounded.difference.low > 0  # in every resample, and yet:
    assert (rounded.p_value, rounded.verdict) == (1.0, "cannot tell")
    (real,) = compare(of(rating_E), of(rating_E * (1 - 1e-4))).values()
    assert real.verdict == "better"


def test_runs_on_other_users_cannot_be_paired():
    with pytest.raises(ValueError, match="cannot be paired"):
        compare(of([1.0, 0.0]), of([1.0, 0.0, 1.0]))


def test_holm_by_hand():
    # In rising order .01, .02, .03, .04 times 4, 3, 2, 1; never below the one before.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_never_lowers(values):
    adjusted = holm(values)
    assert all(value <= corrected <= 1 for value, corrected in zip(values, adjusted, strict=True))
    order = sorted(range(len(values)), key=lambda i: values[i])
    assert [adjusted[i] for i in order] == sorted(adjusted)


def test_the_p_value_is_that_of_all_swaps():
    # Of the 2 ** 8 ways to swap 8 users, only swapping none or all is as extreme: 2 / 256.
    first, second = of(np.arange(1.0, 9.0)), of(np.zeros(8))
    found = compare(first, second, resamples=40_000)["score"].p_value
    assert found == pytest.approx(2 / 256, rel=0.15)


def test_chance_is_called_a_difference_as_rarely_as_the_level_says():
    verdicts = []
    for seed in range(200):
        draw = np.random.default_rng(seed)
        first, second = of(draw.integers(0, 2, 60)), of(draw.integers(0, 2, 60))
        verdicts.append(compare(first, second, resamples=400)["score"].verdict)
    assert 0 < sum(verdict != "cannot tell" for verdict in verdicts) < 20


def test_a_metric_without_better_and_worse_is_higher_or_lower():
    low_E, other = np.zeros(30), {"goals": {"score": "none"}}
    assert compare(of(low_E, **other), of(low_E + 1, **other))["score"].verdict == "lower"


def test_what_has_no_value_cannot_be_told_apart():
    nothing = of(np.full(5, np.nan))
    assert compare(nothing, of(np.ones(5)))["score"].verdict == "cannot tell"


def test_some_of_the_events_and_one_of_the_metrics():
    both = Statistics.of_means({"a": np.arange(4.0), "b": np.ones(4)}, np.arange(4))
    assert both.where(np.array([True, False, False, True])).values == {"a": 1.5, "b": 1.0}
    assert both.only("b").values == {"b": 1.0}
