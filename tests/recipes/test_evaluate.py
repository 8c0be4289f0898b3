import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import polars as pl
import pytest

from genrec.artifacts import ArtifactError
from genrec.config import ConfigError, load_config
from genrec.data.toy_shop import ToyShopConfig, toy_shop
from genrec.eval import TaskError
from genrec.models import TinyConfig, build_tiny
from genrec.serving import save_bundle
from recipes.evaluate import Config, main
from tests.small_shop import small_dataset, small_renderer

CONFIGS = sorted((Path(__file__).parents[2] / "recipes" / "configs").glob("evaluate_*.yaml"))


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "data"
    toy_shop(ToyShopConfig(users=150), seed=4).dataset.save(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    dataset = small_dataset()
    dataset.save(folder / "data")
    renderer = small_renderer(dataset)
    tiny = TinyConfig(hidden_size=32, layers=2, heads=2, intermediate_size=64)
    vocabulary = renderer.vocabulary
    weights = build_tiny(
        tiny, vocabulary_size=len(vocabulary), special=vocabulary.special, max_tokens=512, seed=0
    )
    save_bundle(folder / "model", weights, renderer)
    return folder


def summary(folder):
    return json.loads((folder / "results.json").read_text())["summary"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_loads(path):
    assert load_config(Config, path).out.name.startswith("report")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--k=0", "k is 0; it must be at least 1"),
        ("--candidates=1", "candidates is 1; it must be at least 2"),
        ("--users=-1", "users is -1; it must be at least 0, and 0 takes all"),
        ("--items=-1", "items is -1; it must be at least 0, and 0 takes all"),
        ("--stress_users=-5", "stress_users is -5; it must be at least 0, and 0 takes all"),
        ("--timed=-1", "timed is -1; it must be at least 0$"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(option, message):
    with pytest.raises(ConfigError, match=message):
        load_config(Config, CONFIGS[0], [option])


def test_baselines_stand_between_nothing_and_the_optimum_of_the_toy_shop(toy, tmp_path, capsys):
    tasks = ("recommend", "search", "rate", "explain")
    main(Config(dataset=toy, out=tmp_path / "report", tasks=tasks))
    told = summary(tmp_path / "report")
    assert 0 < told["ndcg@10_popularity"] < told["ndcg@10_item_knn"] < told["ndcg@10_optimum"]
    low, high = told["ndcg@10_optimum_interval"]
    assert low < told["ndcg@10_optimum"] < high
    printed = capsys.readouterr().out
    assert "item_knn\n" in printed
    assert "process" not in printed
    assert f"{tmp_path / 'report' / 'report.html'}" in printed
    assert all(f"\n{task} " in printed for task in tasks)


def test_a_model_is_the_subject_and_names_only_items_that_exist(model, tmp_path):
    out = tmp_path / "report"
    main(Config(dataset=model / "data", model=model / "model", out=out, k=5))
    assert summary(out)["invalid_rate"] == 0
    told = json.loads((out / "results.json").read_text())
    assert (told["subject"], told["optimum"]) == ("genrec", None)


def test_a_model_is_mixed_with_a_baseline_and_stands_beside_both(model, tmp_path):
    out, where = tmp_path / "report", {"dataset": model / "data", "model": model / "model"}
    main(Config(**where, out=out, k=5, baselines=("popularity",), hybrids=("genrec+popularity",)))
    told = json.loads((out / "results.json").read_text())["methods"]
    assert list(told) == ["genrec", "popularity", "genrec+popularity"]
    users = {name: one["recommend"]["counts"] for name, one in told.items()}
    assert users["genrec+popularity"] == users["genrec"]


def test_a_hybrid_names_methods_that_are_asked_and_at_least_two(tmp_path):
    where = {"dataset": tmp_path, "out": tmp_path / "report"}
    with pytest.raises(
        ValueError, match=r"'genrec\+item_knn' has the parts \['genrec'\], but only"
    ):
        Config(**where, hybrids=("genrec+item_knn",))
    with pytest.raises(ValueError, match=r"'genrec\+als' has the parts \['als'\], but only genrec"):
        Config(**where, model=tmp_path, hybrids=("genrec+als",))
    with pytest.raises(ValueError, match="'item_knn' is no mixture of two methods or more"):
        Config(**where, hybrids=("item_knn",))
    with pytest.raises(ValueError, match="no mixture"):
        Config(**where, hybrids=("item_knn+item_knn",))


def test_a_model_of_another_catalogue_is_refused(model, toy, tmp_path):
    with pytest.raises(ArtifactError, match="catalogue"):
        main(Config(dataset=toy, model=model / "model", out=tmp_path / "report"))


def test_some_users_are_drawn_by_the_seed(model, tmp_path):
    asked, data = [], model / "data"
    for seed in (0, 0, 1):
        out = tmp_path / "report"
        main(Config(dataset=data, out=out, baselines=("popularity",), users=10, seed=seed))
        lines = (out / "samples.jsonl").read_text().splitlines()
        asked.append([json.loads(line)["user"] for line in lines])
    assert len(asked[0]) == 10
    assert asked[0] == asked[1] != asked[2]


STRESSES = ("missing attributes", "shuffled history", "unseen phrasing", "injected titles")


def test_a_model_is_put_under_stress_and_weighed(model, tmp_path):
    out = tmp_path / "report"
    main(
        Config(
            dataset=model / "data", model=model / "model", out=out, k=5, baselines=("popularity",),
            tasks=("recommend", "explain_hint"), stresses=STRESSES, stress_users=4, users=8,
            timed=2, answers=tmp_path / "answers", trackers=("tensorboard",),
        )
    )  # fmt: skip
    told = json.loads((out / "results.json").read_text())
    schema = Path(__file__).parents[2] / "eval" / "results.schema.json"
    jsonschema.validate(told, json.loads(schema.read_text()))
    assert [one["stress"] for one in told["stress"]] == [name for name in STRESSES for _ in "12"]
    cost = told["efficiency"]["genrec"]
    assert cost["parameters"] > 10_000
    assert cost["tokens_per_second"] > 0
    assert "id-ndcg@5" in told["methods"]["popularity"]["recommend"]["metrics"]
    assert list((tmp_path / "tracked").rglob("events.out.tfevents.*"))
    # Each stress was really asked about: its answers are kept apart.
    kept = {path.name for path in (tmp_path / "answers" / "genrec").iterdir()}
    assert kept == {"at-ease", *(name.replace(" ", "-") for name in STRESSES)}


def test_all_that_words_tie_to_items_is_scored_in_one_report(model, tmp_path):
    talk = [
        {"speaker": "user", "text": "A red lamp?"},
        {"speaker": "recommender", "text": "Take this one.", "items": ["sku-2"]},
    ]
    (tmp_path / "talks.jsonl").write_text(json.dumps({"turns": talk}) + "\n")
    tasks = (
        "converse", "reply", "title_to_item", "item_to_title", "attribute", "history_to_title",
        "titles_to_item", "query_to_item",
    )  # fmt: skip
    out = tmp_path / "report"
    main(
        Config(
            dataset=model / "data", model=model / "model", out=out, k=5, tasks=tasks, items=7,
            dialogues=tmp_path / "talks.jsonl", baselines=(), users=4, timed=0,
            stresses=("missing attributes", "unseen phrasing", "shuffled history"),
            stress_users=4, answers=tmp_path / "answers",
        )
    )  # fmt: skip
    told = json.loads((out / "results.json").read_text())
    schema = Path(__file__).parents[2] / "eval" / "results.schema.json"
    jsonschema.validate(told, json.loads(schema.read_text()))
    found = told["methods"]["genrec"]
    assert set(found) == set(tasks)
    assert found["title_to_item"]["counts"]["requests"] == 7
    assert found["title_to_item"]["counts"]["invalid"] == 0
    assert (found["converse"]["unit"], found["attribute"]["unit"]) == ("dialogue", "item")
    scored, spared = (
        {(one["stress"], one["task"]) for one in told[what]} for what in ("stress", "spared")
    )
    assert spared == {("shuffled history", task) for task in tasks[:5]}
    assert scored | spared == {
        (stress, task) for stress in told["config"]["stresses"] for task in tasks
    }
    of_titles = [one for one in told["stress"] if one["task"] == "title_to_item"]
    assert [one["requests"] + one["left_out"] for one in of_titles] == [4, 4]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (("recommend", "title_to_item"), "nothing here answers 'title_to_item'"),
        (("converse",), "nothing here answers 'converse'"),
    ],
)
def test_a_task_that_no_method_answers_is_refused(model, tmp_path, tasks, message):
    with pytest.raises(TaskError, match=message):
        main(
            Config(
                dataset=model / "data", out=tmp_path, tasks=tasks, baselines=("popularity",),
            )
        )  # fmt: skip


def test_rankings_of_another_system_stand_beside_the_others(toy, tmp_path):
    ranked = pl.DataFrame({"user": ["user-00000"], "item": ["item-00001"], "score": [1.0]})
    ranked.write_csv(tmp_path / "theirs.csv")
    main(
        Config(
            dataset=toy, out=tmp_path / "report", baselines=("popularity",), timed=0,
            rankings={"theirs": tmp_path / "theirs.csv"},
        )
    )  # fmt: skip
    told = json.loads((tmp_path / "report" / "results.json").read_text())
    assert told["subject"] == "theirs"
    assert told["methods"]["theirs"]["recommend"]["counts"]["named"] == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"baselines": ("popularty",)}, "did you mean 'popularity'"),
        ({"stresses": ("noise",)}, "there is no stress 'noise'"),
        ({"settings": {"sasrec": {}}}, "settings for 'sasrec'"),
        ({"tasks": ("imagine",)}, "'imagine' is answered by a picture"),
    ],
)
def test_a_wrong_name_is_refused_before_anything_is_loaded(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        Config(dataset=tmp_path, out=tmp_path, **wrong)


@pytest.mark.slow
def test_two_processes_count_each_user_once(toy, tmp_path):
    main(Config(dataset=toy, out=tmp_path / "alone", baselines=("popularity",), timed=0))
    recipe = Path(__file__).parents[2] / "recipes" / "evaluate.py"
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2",
        "--main_process_port=0", str(recipe), f"--dataset={toy}", "--baselines=[popularity]",
        f"--out={tmp_path / 'both'}", "--timed=0", f"--answers={tmp_path / 'answers'}",
    ]  # fmt: skip
    subprocess.run(command, check=True, env=os.environ | {"ACCELERATE_USE_CPU": "true"})
    alone, both = (
        json.loads((tmp_path / name / "results.json").read_text())["methods"]["popularity"]
        for name in ("alone", "both")
    )
    assert both["recommend"]["metrics"] == alone["recommend"]["metrics"]
    parts = sorted((tmp_path / "answers" / "popularity").rglob("*.jsonl"))
    assert [len(part.read_text().splitlines()) for part in parts] == [75, 75]
