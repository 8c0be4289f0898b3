import json

import numpy as np
import pytest

from genrec.artifacts import ArtifactError
from genrec.data import DataError, leave_one_out
from genrec.semantic_ids import SemanticIds
from recipes.benchmarks.generator import GeneratorConfig
from recipes.benchmarks.semantic_ids import Config, dealt, main, make_ids, statistics
from tests.small_shop import small_dataset


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("semantic_ids")


def run(folder, capsys, **more):
    folders = {"out": folder / "runs", "features": folder / "features"}
    main(Config(seeds=(0, 1), quick=True, **folders, **more))
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

    with pytest.raises(ArtifactError, match="holds a run with another config"):
        run(folder, capsys, generator=GeneratorConfig(beams=10))


def test_an_index_of_other_items_is_refused(tmp_path):
    dataset = small_dataset()
    index = tmp_path / "letter.index.json"
    index.write_text('{"0": ["<a_1>", "<b_2>", "<c_3>", "<d_4>"]}', encoding="utf-8")
    split = leave_one_out(dataset.interactions)
    with pytest.raises(DataError, match=r"letter IDs of 1 items, but .* has 12 items"):
        make_ids("letter", dataset, split, Config(data=tmp_path), seed=0)


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
