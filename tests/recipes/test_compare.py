import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genrec.artifacts import ArtifactError
from recipes.compare import Config, main
from recipes.evaluate import Config as Evaluation
from recipes.evaluate import main as evaluate
from tests.small_shop import small_dataset

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Evaluate item-kNN with three settings, the first two as if they were seeds of one run."""
    folder = tmp_path_factory.mktemp("runs")
    small_dataset(users=60).save(folder / "data")
    for name, knn in (("a0", {"window": 3}), ("a1", {"window": 2}), ("b", {"decay": 0.01})):
        evaluate(
            Evaluation(
                dataset=folder / "data", out=folder / name / "report", settings={"item_knn": knn},
                baselines=("item_knn", "popularity"), timed=0, k=5,
            )
        )  # fmt: skip
    return folder


def test_the_command_compares_user_by_user(runs):
    command = [
        sys.executable, str(ROOT / "recipes" / "compare.py"), str(runs / "a0" / "report"),
        str(runs / "b" / "report"),
    ]  # fmt: skip
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    head, _, first, second = printed.splitlines()[-4:]
    assert head.startswith("recommend: ndcg@5")
    assert first.split()[0] == "a0"
    assert second.split()[0] == "b"
    assert second.endswith(("better", "worse", "cannot tell"))


def test_runs_whose_directories_are_called_alike_are_told_apart_by_paths(runs, tmp_path, capsys):
    other = tmp_path / "a0"
    shutil.copytree(runs / "b", other)
    compared = (str(runs / "a0" / "report"), str(other / "report"))
    main(Config(runs=compared))
    rows = capsys.readouterr().out.splitlines()[-2:]
    assert [row.split()[0] for row in rows] == list(compared)
    with pytest.raises(ValueError, match="named twice"):
        Config(runs=compared[:1] * 2)


def test_seeds_are_averaged_and_told_apart(runs, capsys):
    seeds = ",".join(str(runs / name / "report") for name in ("a0", "a1"))
    out = runs / "compared"
    main(Config(runs=(seeds, str(runs / "b" / "report")), out=out))
    values = [
        json.loads((runs / name / "report" / "results.json").read_text())
        ["methods"]["item_knn"]["recommend"]["metrics"]["ndcg@5"]["value"]
        for name in ("a0", "a1")
    ]  # fmt: skip
    row = next(line for line in capsys.readouterr().out.splitlines() if "(2)" in line)
    assert row.split()[1] == f"{sum(values) / 2:.4f}"
    told = json.loads((out / "results.json").read_text())
    assert (told["subject"], list(told["methods"])) == ("a0", ["a0", "b"])
    assert list(told["summary"]) == ["recommend: ndcg@5 against b"]
    assert (out / "report.html").is_file()


def test_any_method_of_a_report_can_be_compared(runs, capsys):
    report = runs / "b" / "report"
    main(
        Config(runs=(str(runs / "a0" / "report"), str(report)), methods=("item_knn", "popularity"))
    )
    told = json.loads((report / "results.json").read_text())["methods"]["popularity"]
    value = told["recommend"]["metrics"]["ndcg@5"]["value"]
    assert capsys.readouterr().out.splitlines()[-1].split()[1] == f"{value:.4f}"


def test_the_methods_of_one_report_are_compared_with_the_first(runs, capsys):
    main(Config(runs=(str(runs / "b" / "report"),), methods=("popularity", "item_knn")))
    first, second = (line.split() for line in capsys.readouterr().out.splitlines()[-2:])
    told = json.loads((runs / "b" / "report" / "results.json").read_text())["methods"]
    for row in (first, second):
        value = told[row[0]]["recommend"]["metrics"]["ndcg@5"]["value"]
        assert row[1] == f"{value:.4f}"
    assert (first[0], second[0]) == ("popularity", "item_knn")
    assert float(second[3]) == pytest.approx(float(first[1]) - float(second[1]), abs=1e-4)
    with pytest.raises(ValueError, match="a method is named twice"):
        Config(runs=("a",), methods=("popularity", "popularity"))


def test_one_run_is_not_compared(runs):
    with pytest.raises(ValueError, match="at least two runs"):
        Config(runs=("a",))
    with pytest.raises(ValueError, match="one method for each of the 2"):
        Config(runs=("a", "b"), methods=("popularity",))
    with pytest.raises(ArtifactError, match=r"none/results\.json does not exist"):
        main(Config(runs=(str(runs / "none"), str(runs / "b" / "report"))))
