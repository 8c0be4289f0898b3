import numpy as np
import pytest

from genrec.eval.intervals import Statistics, compare
from genrec.eval.seeds import across_seeds, mean_of_runs


def of(scores):
    return Statistics.of_means({"score": np.array(scores, dtype=float)}, np.arange(len(scores)))


def test_students_interval_by_hand():
    # 1, 2, 3: mean 2, deviation 1, and t(2) of 0.975 is 4.3027.
    found = across_seeds([1.0, 2.0, 3.0])
    assert (found.interval.value, found.deviation, found.runs) == (2, 1, 3)
    assert found.interval.half_width == pytest.approx(4.302653 / np.sqrt(3), abs=1e-6)


def test_one_run_tells_nothing_of_seeds():
    with pytest.raises(ValueError, match="at least 2"):
        across_seeds([1.0])


def test_runs_are_averaged_event_by_event():
    mean = mean_of_runs([of([0, 1, 1]), of([1, 1, 0])])
    assert mean.values["score"] == pytest.approx(2 / 3)
    assert mean.stat_ES[:, 0].tolist() == [0.5, 1, 0.5]
    assert compare(mean, of([0.5, 1, 0.5]))["score"].difference == (0, 0, 0)


def test_runs_on_other_events_are_refused():
    with pytest.raises(ValueError, match="3 events and another 2"):
        mean_of_runs([of([0, 1, 1]), of([1, 1])])
