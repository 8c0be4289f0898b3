import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import genrec.eval
from genrec.artifacts import ArtifactError
from genrec.data import Dataset, leave_one_out
from genrec.eval import evaluate, write_report
from genrec.eval.background import Background
from genrec.eval.contenders import Contender, ContestConfig, baselines
from genrec.eval.contests import contest
from genrec.eval.reported import read_report
from genrec.eval.stress import STRESSES
from tests.eval.test_answer_log import Scripted
from tests.eval.written import written

DRAW = np.random.default_rng(0)
LOG = {f"user {u}": DRAW.permutation(40)[: 4 + u % 5].tolist() for u in range(90)}
SHOP = written(
    LOG, items=40,
    ratings={user: DRAW.integers(1, 6, len(items)).tolist() for user, items in LOG.items()},
    texts={user: [f"a fine {item}th lamp" for item in items] for user, items in LOG.items()},
    queries={user: [f"lamp {item}" for item in items] for user, items in LOG.items()},
)  # fmt: skip
SPLIT = leave_one_out(SHOP.interactions)
TASKS = ("recommend", "search", "direct", "select", "rate", "explain")
SCHEMA = json.loads(Path(genrec.eval.__file__).with_name("results.schema.json").read_text())


@pytest.fixture(scope="module")
def found():
    config = ContestConfig(tasks=TASKS, k=5, candidates=4, stresses=tuple(STRESSES), timed=3)
    model = Contender(recommender=Scripted(), weights=(12, None))
    methods = {
        "ours": model,
        **dict(baselines(("popularity", "mean_rating"), {}, SHOP, SPLIT, config)),
    }
    return {
        name: contest(name, method, SHOP, SPLIT, config, is_stressed=name == "ours")
        for name, method in methods.items()
    }


@pytest.fixture(scope="module")
def report(found, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "report"
    write_report(
        folder, {name: one.results for name, one in found.items()}, SHOP,
        background=Background.of(SHOP, SPLIT.train), config={"dataset": "here"},
        stressed={name: one.stressed for name, one in found.items()},
    )  # fmt: skip
    return folder


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_results_are_as_the_schema_says(report):
    told = json.loads((report / "results.json").read_text())
    jsonschema.validate(told, SCHEMA)
    assert told["slices"]["recommend"]
    told_of = {(one["stress"], one["task"]) for one in (*told["stress"], *told["spared"])}
    assert told_of == {(stress, task) for stress in STRESSES for task in TASKS}
    assert {one["stress"] for one in told["spared"]} == {"wrong pictures"}  # there are none
    assert set(told["efficiency"]) == {"ours", "popularity"}
    assert told["efficiency"]["ours"]["parameters"] == 12
    assert told["methods"]["ours"]["recommend"]["unit"] == "user"
    beyond = told["methods"]["ours"]["recommend"]["beyond"]
    assert beyond["figures"]["coverage"] > 0
    assert all(one["gap"] == one["share"] - one["wanted"] for one in beyond["exposure"])
    for division in told["slices"]["recommend"]:
        for method, gap in division["gaps"].items():
            values = [part["values"][method]["value"] for part in division["parts"]]
            assert gap == max(values) - min(values)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told: told.pop("versions"),
        lambda told: told["methods"]["ours"]["rate"]["metrics"]["mae"].pop("low"),
        lambda told: told["comparisons"]["popularity"]["recommend"]["ndcg@5"].update(
            verdict="good"
        ),
        lambda told: told["methods"]["ours"]["rate"]["counts"].update(requests=1.5),
    ],
)
def test_the_schema_refuses_what_is_not_whole(report, spoil):
    told = json.loads((report / "results.json").read_text())
    spoil(told)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(told, SCHEMA)


def test_a_report_is_scored_again_as_it_was(report, found):
    read = read_report(report, SHOP, methods=tuple(found))
    for name, one in found.items():
        assert set(read[name].tasks) == set(one.results.tasks)
        for task, result in one.results.tasks.items():
            again = read[name][task]
            assert again.event_E.tolist() == result.event_E.tolist()
            assert again.counts == result.counts
            assert str(again.statistics.values) == str(result.statistics.values)


def test_the_subject_is_read_where_no_method_is_named(report):
    assert list(read_report(report, SHOP)) == ["ours"]


def test_a_report_of_other_data_is_refused(report):
    other = Dataset(SHOP.catalogue, written({"ann": [3, 1, 4]}, items=40).interactions, "other")
    with pytest.raises(ArtifactError, match="data set"):
        read_report(report, other)
    with pytest.raises(ArtifactError, match="no method 'theirs'; it has ours, popularity"):
        read_report(report, SHOP, methods=("theirs",))


def test_a_report_of_another_version_is_refused(report, tmp_path):
    told = json.loads((report / "results.json").read_text())
    (tmp_path / "results.json").write_text(json.dumps(told | {"schema": 1}))
    with pytest.raises(ArtifactError, match="has the schema 1"):
        read_report(tmp_path, SHOP)


def test_methods_are_asked_what_they_answer_and_no_more(found):
    assert list(found["popularity"].results.tasks) == ["recommend", "search", "direct"]
    assert list(found["mean_rating"].results.tasks) == ["rate"]
    assert found["mean_rating"].results.efficiency is None
    assert not found["popularity"].stressed


def test_stress_asks_about_the_users_that_were_asked_for():
    config = ContestConfig(stresses=("shuffled history",), stress_users=20, timed=0, k=5)
    _, stressed = contest(
        "ours", Contender(recommender=Scripted()), SHOP, SPLIT, config, is_stressed=True
    )
    (one,) = stressed
    assert len(one.before.event_E) == len(one.after.event_E) == 20
    plain = evaluate(Scripted(), SHOP, one.before.event_E, k=5)
    assert one.before.metrics == plain.metrics
