import json

import numpy as np
import pytest

from genrec.semantic_ids import SemanticIds
from recipes.benchmarks.semantic_ids import Config, dealt, main, statistics


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("semantic_ids")


def run(folder, capsys):
    main(Config(out=folder / "runs", features=folder / "features", seeds=(0, 1), quick=True))
    return capsys.readouterr().out.splitlines()


def test_quick_it_compares_ours_with_random_ones_and_keeps_its_runs(folder, capsys):
    lines = run(folder, capsys)
    summary = json.loads(lines[-1])
    assert summary["seeds"] == [0, 1]
    assert set(summary["ours"]) == {"recall@10", "ndcg@10", "each"}
    gap = summary["ours_over_random"]["recall@10"]
    assert gap["low"] <= gap["value"] <= gap["high"]
    means = [np.mean(summary[name]["each"]) for name in ("ours", "random")]
    assert gap["value"] == pytest.approx(means[0] - means[1])
    assert sum("seed" in line for line in lines[:-1]) == 4 + 1  # four runs and the table's head
    assert sorted(path.name for path in (folder / "runs").glob("*.json")) == [
        "ours-0.json", "ours-1.json", "random-0.json", "random-1.json"
    ]  # fmt: skip

    again = run(folder, capsys)
    assert again[-1] == lines[-1]
    assert sum("seed" in line for line in again[:-1]) == 1  # nothing is trained twice


def test_dealt_ids_are_the_same_ids_for_other_items():
    ids = SemanticIds(np.arange(40).reshape(20, 2), (40, 40))
    random = dealt(ids, seed=1)
    assert random.codebook_sizes == ids.codebook_sizes
    assert random != ids
    assert sorted(random.codes_NL.tolist()) == ids.codes_NL.tolist()
    assert dealt(ids, seed=1) == random
    assert dealt(ids, seed=2) != random


def test_a_user_scores_the_mean_over_the_seeds():
    ranks = [np.array([0, 2, -1]), np.array([-1, 2, 10])]
    scores = statistics(ranks, user_E=np.arange(3)).values
    assert scores["recall@10"] == pytest.approx((0.5 + 1 + 0) / 3)
    assert scores["ndcg@10"] == pytest.approx((0.5 + 0.5 + 0) / 3)
