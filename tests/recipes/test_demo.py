"""The promises of the README: the demo reaches what it says, and the example runs as written."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from genrec.artifacts import read_json

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run the demo in a folder of its own."""
    folder = tmp_path_factory.mktemp("demo")
    subprocess.run([sys.executable, str(ROOT / "recipes" / "demo.py")], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def summary(demo):
    return read_json(demo / "runs" / "demo" / "report" / "results.json")["summary"]


def test_a_step_that_fails_ends_the_demo_in_one_line(tmp_path):
    (tmp_path / "data").mkdir()  # an empty one: the tokenizer finds no data set in it
    command = [sys.executable, str(ROOT / "recipes" / "demo.py"), f"--run={tmp_path}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith("\ndemo: step 2 failed; the command above repeats it alone\n")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_every_beam_names_an_item_that_exists(summary):
    assert summary["invalid_rate"] == 0


@pytest.mark.slow
def test_the_model_is_far_above_popularity(summary):
    assert summary["ndcg@10"] >= 2.5 * summary["ndcg@10_popularity"]


@pytest.mark.slow
def test_the_model_is_above_item_knn_with_intervals_apart(summary):
    low, _ = summary["ndcg@10_interval"]
    _, high = summary["ndcg@10_item_knn_interval"]
    assert low > high


@pytest.mark.slow
def test_nothing_is_above_the_best_achievable(summary):
    assert summary["ndcg@10"] < summary["ndcg@10_optimum"]


@pytest.mark.slow
def test_the_report_shows_every_prompt_beam_and_target(demo):
    report = demo / "runs" / "demo" / "report"
    samples = [json.loads(line) for line in (report / "samples.jsonl").read_text().splitlines()]
    tasks = {sample["task"] for sample in samples}
    assert tasks == {"recommend", "search", "rate", "explain"}
    assert all(sample["prompt"] for sample in samples)
    assert "data:image" in (report / "report.html").read_text()


@pytest.mark.slow
def test_started_again_it_does_nothing_twice(demo):
    done = subprocess.run(
        [sys.executable, str(ROOT / "recipes" / "demo.py")],
        cwd=demo, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.count("is there already") == 4


@pytest.mark.slow
def test_the_example_of_the_readme_runs_as_written(demo):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        subprocess.run([sys.executable, "-c", block], cwd=demo, check=True)
