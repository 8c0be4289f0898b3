import math

import numpy as np
import pytest

from genrec.eval.ratings import parse_rating, rating_statistics, reliability


@pytest.mark.parametrize(
    ("text", "rating"), [("4", 4.0), (" 4.5\n", 4.5), ("3.", 3.0), ("-1", -1.0), ("12", 12.0)]
)
def test_a_number_alone_is_a_rating(text, rating):
    assert parse_rating(text) == rating


@pytest.mark.parametrize(
    "text", ["", "four", "4 stars", "4/5", "4,5", "nan", "inf", "1e3", "1_0", "\u0664", "<a_4>"]
)
def test_anything_else_is_no_rating(text):
    assert math.isnan(parse_rating(text))


def test_errors_of_three_predictions():
    predicted_E, target_E = np.array([4.0, 2.0, 5.0]), np.array([5.0, 2.0, 3.0])
    statistics = rating_statistics(predicted_E, target_E, np.arange(3))
    errors = {"mae": 1.0, "rmse": math.sqrt(5 / 3)}
    twice = {f"{name}-likeliest": error for name, error in errors.items()}
    # The bins are [2, 2.3), [3.8, 4.1), [4.7, 5]: off by 0, -1 and +2.
    assert statistics.values == pytest.approx(errors | twice | {"calibration": 1.0})


def test_the_likeliest_rating_has_errors_of_its_own():
    predicted_E, likeliest_E, target_E = (
        np.array([4.5, 2.0]),
        np.array([5, 1.0]),
        np.array([5, 3.0]),
    )
    values = rating_statistics(predicted_E, target_E, np.arange(2), likeliest_E=likeliest_E).values
    assert values == pytest.approx({
        "calibration": 0.75, "mae-likeliest": 1, "rmse-likeliest": math.sqrt(2), "mae": 0.75,
        "rmse": math.sqrt(0.625),
    })  # fmt: skip


def test_what_is_no_number_is_left_out_of_the_errors():
    predicted_E, target_E = np.array([4.0, np.nan]), np.array([5.0, 1.0])
    values = rating_statistics(predicted_E, target_E, np.arange(2)).values
    assert (values["mae"], values["rmse"]) == (1, 1)


def test_no_number_at_all_gives_no_error_value():
    values = rating_statistics(np.array([np.nan]), np.array([5.0]), np.arange(1)).values
    assert all(math.isnan(value) for value in values.values())


def test_a_bin_is_off_by_the_distance_of_its_means():
    # Twice 4.8, given 5 and 3: the errors of -0.2 and 1.8 partly cancel, in the mean to 0.8.
    values = rating_statistics(np.array([4.8, 4.8]), np.array([5.0, 3.0]), np.arange(2)).values
    assert values["calibration"] == pytest.approx(0.8)


def test_who_predicts_the_mean_is_calibrated_whatever_it_errs():
    target_E = np.array([1.0, 5.0, 5.0, 1.0])
    values = rating_statistics(np.full(4, 3.0), target_E, np.arange(4)).values
    assert (values["calibration"], values["mae"]) == (0, 2)


def test_reliability_tells_the_means_of_each_bin():
    predicted_E = np.array([1.1, 1.2, 4.9, np.nan, 7.0])
    found = reliability(predicted_E, np.array([1.0, 2.0, 5.0, 3.0, 4.0]))
    assert [part.events for part in found] == [2, 2]
    assert found[0][:2] == pytest.approx((1.15, 1.5))
    assert found[1][:2] == pytest.approx((5.95, 4.5))
