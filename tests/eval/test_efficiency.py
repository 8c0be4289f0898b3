import sys
import time

import numpy as np
import pytest

from genrec.eval.efficiency import measure_efficiency
from genrec.eval.trackers import flat_metrics, track
from genrec.recommender import Request
from tests.eval.test_answer_log import Scripted, run
from tests.eval.written import Oracle


def test_every_answer_is_timed_alone_after_a_first_one():
    class Slow(Oracle):
        def recommend(self, requests, k):
            time.sleep(0.05 if requests[0].history == (1,) else 0.0)
            return super().recommend(requests, k)

    slow = Slow(ranking=lambda request: [2])
    requests = [Request(history=(1,))] + [Request(history=(3,))] * 9
    found = measure_efficiency(slow, requests, 5, prompt_tokens=lambda r: 7, parameters=9)
    assert [len(request.history) for request in slow.requests] == [1] * 11
    assert found.median_ms < 25 < found.p99_ms
    assert (found.requests, found.parameters, found.trained_parameters) == (10, 9, None)
    assert 0 < found.tokens_per_second < 70 / 0.05
    assert found.peak_memory_mib > 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux sets the mark back")
def test_memory_is_that_of_the_answers_not_of_what_ran_before():
    class Greedy(Oracle):
        def recommend(self, requests, k):
            np.ones(300 << 17).sum()  # 300 MiB
            return super().recommend(requests, k)

    greedy, modest = (
        measure_efficiency(kind(ranking=lambda request: [2]), [Request()], 5)
        for kind in (Greedy, Oracle)
    )
    assert greedy.peak_memory_mib - modest.peak_memory_mib > 250


def test_nothing_to_time_is_refused():
    with pytest.raises(ValueError, match="no request"):
        measure_efficiency(Oracle(), [], 5)


def test_trackers_get_every_metric_that_has_a_value(tmp_path):
    results = {"ours": run(Scripted())}
    told = flat_metrics(results)
    assert told["ours/recommend/ndcg@5"] == results["ours"]["recommend"].metrics["ndcg@5"].value
    assert "ours/explain/distinct-1" in told
    track(results, ("tensorboard",), tmp_path, config={"k": 5})
    assert list(tmp_path.rglob("events.out.tfevents.*"))
