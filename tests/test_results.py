"""The published numbers say where they come from."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = json.loads((ROOT / "docs" / "results.json").read_text(encoding="utf-8"))
KEYS = {
    "dataset", "method", "recall@10", "ndcg@10", "recall@10_interval", "ndcg@10_interval", "seeds",
    "train_seconds", "machine", "command", "published",
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['dataset']}-{row['method']}")
def test_every_row_has_the_same_fields(row):
    assert set(row) >= KEYS


@pytest.mark.parametrize("row", [row for row in ROWS if not row["published"]], ids=str)
def test_what_we_measured_has_its_command_and_a_value_inside_its_interval(row):
    assert row["command"].startswith(("python recipes/", "accelerate launch recipes/"))
    assert row["machine"]
    assert row["seeds"]
    for metric in ("recall@10", "ndcg@10"):
        low, high = row[f"{metric}_interval"]
        assert low <= row[metric] <= high


@pytest.mark.parametrize("row", [row for row in ROWS if row["published"]], ids=str)
def test_what_others_published_names_its_source(row):
    assert row["source"]


def test_the_page_shows_every_number_of_the_file():
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for row in ROWS:
        for metric in ("recall@10", "ndcg@10"):
            assert f"{row[metric]:.4f}".removeprefix("0") in page
