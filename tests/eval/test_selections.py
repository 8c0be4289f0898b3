import numpy as np
import pytest

from genrec.eval.selections import selection_statistics


@pytest.mark.parametrize(
    ("chosen", "fitting", "precision", "recall", "f1"),
    [
        ((1,), (1,), 1, 1, 1),
        ((1, 2), (1,), 0.5, 1, 2 / 3),
        ((1,), (1, 2, 3), 1, 1 / 3, 0.5),
        ((4, 5), (1, 2), 0, 0, 0),
        ((), (1,), 0, 0, 0),
        ((1, 1), (1,), 1, 1, 1),
    ],
)
def test_one_selection_by_hand(chosen, fitting, precision, recall, f1):
    values = selection_statistics([chosen], [fitting], np.arange(1)).values
    assert values == pytest.approx({"precision": precision, "recall": recall, "f1": f1})


def test_scores_are_means_over_the_events():
    values = selection_statistics([(1,), ()], [(1,), (2,)], np.arange(2)).values
    assert values == {"precision": 0.5, "recall": 0.5, "f1": 0.5}
