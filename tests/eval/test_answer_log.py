import json
import threading

import numpy as np
import pytest

from genrec.artifacts import ArtifactError
from genrec.data import leave_one_out
from genrec.eval import evaluate
from genrec.eval.processes import Processes
from genrec.recommender import Rating
from tests.eval.written import Oracle, written

HISTORIES = {f"user {u}": np.random.default_rng(u).permutation(12)[:5].tolist() for u in range(20)}
SHOP = written(
    HISTORIES,
    ratings={user: [1.0, 2.0, 3.0, 4.0, 5.0] for user in HISTORIES},
    texts={user: ["", "", "", "", f"so {user}"] for user in HISTORIES},
)
LAST = leave_one_out(SHOP.interactions).test
TASKS = ("recommend", "rate", "explain", "select")


class Scripted(Oracle):
    """Answers every task, and counts how often it is asked."""

    def __init__(self, dies_after=10**9):
        super().__init__(
            ranking=lambda r: [i for i in range(12) if i not in r.history][:5],
            text=lambda r: f"so {r.item}",
        )
        self._left = dies_after

    def _live(self, requests):
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt

    def recommend(self, requests, k):
        self._live(requests)
        return super().recommend(requests, k)

    def generate(self, requests):
        self._live(requests)
        return super().generate(requests)

    def rate(self, requests):
        self._live(requests)
        self.requests += requests
        return [Rating(np.nan if r.item == 3 else 3.5, 4.0) for r in requests]

    def select(self, requests):
        self._live(requests)
        self.requests += requests
        return [r.candidates[:2] for r in requests]


def run(recommender, **options):
    return evaluate(recommender, SHOP, LAST, tasks=TASKS, k=5, batch_size=6, **options)


def told(results):
    return {
        task: (found.metrics, dict(found.counts), dict(found.figures))
        for task, found in results.tasks.items()
    }


@pytest.fixture(scope="module")
def expected():
    return told(run(Scripted()))


@pytest.mark.parametrize("parts", [0, 1, 3, 7, 13])
def test_a_killed_evaluation_goes_on_where_it_stopped(tmp_path, expected, parts):
    with pytest.raises(KeyboardInterrupt):
        run(Scripted(dies_after=parts), answers=tmp_path / "answers")
    again = Scripted()
    assert str(told(run(again, answers=tmp_path / "answers"))) == str(expected)
    done = sum(min(6, 20 - 6 * (part % 4)) for part in range(parts))
    assert len(again.requests) == 80 - done


def test_a_line_that_a_kill_cut_is_asked_for_again(tmp_path, expected):
    run(Scripted(), answers=tmp_path)
    path = tmp_path / "rate.00000.jsonl"
    whole = path.read_bytes()
    for keep in (len(whole) - 4, 5):  # within the last line, and within the first
        path.write_bytes(whole[:keep])
        assert str(told(run(Scripted(), answers=tmp_path))) == str(expected)
        assert path.read_bytes().count(b"\n") == 20


def test_a_finished_evaluation_asks_nothing(tmp_path, expected):
    run(Scripted(), answers=tmp_path)
    nobody = Scripted(dies_after=0)
    assert str(told(run(nobody, answers=tmp_path))) == str(expected)


@pytest.mark.parametrize(
    ("options", "name"), [({"about": {"model": "b"}}, "model"), ({"candidates": 5}, "candidates")]
)
def test_answers_of_something_else_are_refused(tmp_path, options, name):
    run(Scripted(), answers=tmp_path, about={"model": "a"})
    with pytest.raises(ArtifactError, match=f"holds answers with {name} = "):
        run(Scripted(), answers=tmp_path, **({"about": {"model": "a"}} | options))


def test_processes_share_the_questions_and_agree_on_the_results(tmp_path, expected):
    barrier, results, asked = threading.Barrier(3), {}, {}

    def work(rank):
        asked[rank] = Scripted()
        processes = Processes(rank, 3, barrier.wait)
        results[rank] = told(run(asked[rank], answers=tmp_path, processes=processes))

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(str(results[rank]) == str(expected) for rank in range(3))
    assert sorted(len(found.requests) for found in asked.values()) == [24, 28, 28]
    lines = [line for path in tmp_path.glob("recommend.*") for line in path.open()]
    assert sorted(json.loads(line)[0] for line in lines) == sorted(LAST.tolist())


def test_processes_without_a_folder_are_refused():
    with pytest.raises(ValueError, match="3 processes share this evaluation through files"):
        run(Scripted(), processes=Processes(0, 3))
