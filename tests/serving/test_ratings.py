"""From probabilities of ratings to ratings, by hand and against plants whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.serving import Calibration, fit_calibration
from genrec.serving.ratings import LEAST_MASS

SCALE = (1.0, 2.0, 3.0, 4.0, 5.0)


def planted(events, *, temperature, biases, seed=0):
    """Draw ratings from known chances, and make a model that is over-confident and biased."""
    rng = np.random.default_rng(seed)
    share_ES = rng.dirichlet([1, 1, 2, 3, 6], size=events)
    rating_E = np.array([rng.choice(SCALE, p=share_S) for share_S in share_ES])
    log_prob_ES = temperature * (np.log(share_ES) - biases)
    log_prob_ES -= np.log(np.exp(log_prob_ES).sum(axis=1, keepdims=True))
    return log_prob_ES, rating_E, share_ES


def test_the_expected_rating_is_the_mean_and_the_likeliest_the_mode():
    shares = np.array([[0.0, 0.1, 0.2, 0.3, 0.4], [0.5, 0, 0, 0.25, 0.25]])
    with np.errstate(divide="ignore"):
        ratings = Calibration(scale=SCALE).ratings(np.log(shares))
    assert [rating.expected for rating in ratings] == pytest.approx([4.0, 2.75])
    assert [rating.likeliest for rating in ratings] == [5.0, 1.0]


def test_probabilities_are_shares_of_what_all_ratings_get():
    log_prob_ES = np.log(np.array([[0.02, 0, 0, 0, 0.06]]) + 1e-12)
    assert Calibration(scale=SCALE).ratings(log_prob_ES)[0].expected == pytest.approx(4.0)


def test_a_model_that_hardly_answers_in_ratings_rates_nothing():
    little = np.log(np.full((1, 5), LEAST_MASS / 6))
    rating = Calibration(scale=SCALE).ratings(little)[0]
    assert np.isnan([rating.expected, rating.likeliest]).all()


def test_temperature_and_biases_by_hand():
    calibration = Calibration(scale=(0.0, 1.0), temperature=2.0, biases=(0.0, np.log(3)))
    share_S = calibration.shares(np.log([[0.8, 0.2]]))[0]
    assert share_S[1] / share_S[0] == pytest.approx(3 * np.sqrt(0.2 / 0.8))


def test_a_fit_finds_the_temperature_and_biases_that_were_planted():
    biases = np.array([0.4, 0.0, -0.2, 0.3, -0.5])
    log_prob_ES, rating_E, share_ES = planted(20_000, temperature=2.5, biases=biases)
    calibration = fit_calibration(log_prob_ES, rating_E, SCALE)
    assert calibration.temperature == pytest.approx(2.5, rel=0.1)
    assert np.abs(calibration.shares(log_prob_ES) - share_ES).max() < 0.03
    assert calibration.events == 20_000


@given(seed=st.integers(0, 2**16))
@settings(deadline=None, max_examples=10)
def test_the_mean_of_the_expected_ratings_is_that_of_the_ratings(seed):
    log_prob_ES, rating_E, _ = planted(500, temperature=1.5, biases=np.zeros(5), seed=seed)
    calibration = fit_calibration(log_prob_ES, rating_E, SCALE)
    expected_E = [rating.expected for rating in calibration.ratings(log_prob_ES)]
    assert np.mean(expected_E) == pytest.approx(rating_E.mean(), abs=0.02)


def test_the_expected_rating_errs_less_than_the_likeliest_and_than_the_mean():
    log_prob_ES, rating_E, _ = planted(4_000, temperature=3.0, biases=np.zeros(5))
    calibration = fit_calibration(log_prob_ES[:2_000], rating_E[:2_000], SCALE)
    rating_E2 = np.array(calibration.ratings(log_prob_ES[2_000:]))
    expected, likeliest = np.square(rating_E2 - rating_E[2_000:, None]).mean(axis=0)
    assert expected < likeliest
    assert expected < np.square(rating_E[:2_000].mean() - rating_E[2_000:]).mean()


def test_a_model_that_is_wrong_all_the_time_is_hardly_listened_to():
    log_prob_ES, rating_E, _ = planted(2_000, temperature=1.0, biases=np.zeros(5))
    calibration = fit_calibration(-log_prob_ES, rating_E, SCALE)
    assert calibration.temperature == pytest.approx(100)
    expected = [rating.expected for rating in calibration.ratings(-log_prob_ES)]
    answered = [number for number in expected if not np.isnan(number)]
    assert np.ptp(answered) < 0.5


def test_a_rating_that_never_came_has_a_finite_bias():
    calibration = fit_calibration(np.log(np.full((50, 5), 0.2)), np.full(50, 5.0), SCALE)
    assert np.isfinite(calibration.biases).all()
    assert calibration.biases[4] == max(calibration.biases)


@pytest.mark.parametrize(
    ("log_prob_ES", "ratings", "message"),
    [
        (np.zeros((0, 5)), [], "give one row per rating and at least one"),
        (np.zeros((2, 5)), [1.0], "give one row per rating"),
        (np.zeros((1, 4)), [1.0], "on a scale of 5"),
        (np.zeros((1, 5)), [3.5], "3.5 is not on the scale"),
    ],
)
def test_what_does_not_fit_is_refused(log_prob_ES, ratings, message):
    with pytest.raises(ValueError, match=message):
        fit_calibration(log_prob_ES, ratings, SCALE)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"temperature": 0.0}, "above 0"), ({"biases": (0.1,)}, "1 biases do not fit 5 ratings")],
)
def test_a_calibration_that_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Calibration(scale=SCALE, **wrong)
