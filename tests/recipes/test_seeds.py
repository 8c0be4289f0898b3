import json
from pathlib import Path

import pytest

from genrec.config import load_config
from recipes.benchmarks.seeds import CHAIN, Config, main
from tests.small_shop import small_dataset

CONFIGS = Path(__file__).parents[2] / "recipes" / "configs"

PARTS = {
    "tokenizer": "tokenizer_beauty_together", "sasrec": "sasrec_beauty",
    "model": "finetune_beauty_together", "report": "evaluate_beauty_together",
}  # fmt: skip
SMALL = {
    "tokenizer": (
        "--rqkmeans.codebook_sizes=[4,4,4]", "--rqkmeans.components=2", "--features.text=null",
        "--features.collaborative.dim=4", "--label=null",
    ),
    "sasrec": ("--training.epochs=1", "--model.dim=8", "--model.hidden_dim=8"),
    "model": (
        "--training.steps=2", "--training.warmup_steps=1", "--training.validate_every=2",
        "--training.rows_per_step=2", "--training.micro_rows=2", "--training.mixed_precision=no",
        "--validation_users=5", "--backbone.tiny.layers=1",
    ),
}  # fmt: skip
REPORT = """
dataset: data
out: report
baselines: [item_knn, sasrec]
hybrids: [sasrec+item_knn]
settings: {item_knn: {window: 3}}
timed: 0
"""


@pytest.mark.parametrize("name", ["seeds_beauty", "seeds_toys"])
def test_the_shipped_configs_name_configs_and_their_methods(name):
    config = load_config(Config, CONFIGS / f"{name}.yaml")
    assert len(config.seeds) == 3
    told = (CONFIGS / f"{config.configs['report']}.yaml").read_text()
    assert all(method == "genrec" or method in told for method in config.methods)
    assert all((CONFIGS / f"{config.configs[part]}.yaml").is_file() for part in CHAIN)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"configs": {"tokenizer": "t"}}, "configs names tokenizer; name tokenizer, sasrec"),
        ({"options": {"modle": ()}}, "not for \\['modle'\\]"),
        ({"seeds": ()}, "at least one seed"),
        ({"methods": ("genrec", "genrec")}, "every method once"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, told):
    right = {"dataset": "d", "out": "o", "configs": PARTS, "methods": ("genrec",)}
    with pytest.raises(ValueError, match=told):
        Config(**{**right, **settings})


@pytest.mark.slow
def test_every_seed_is_made_by_the_recipes_and_all_are_told_as_one(tmp_path, capsys):
    small_dataset(users=12).save(tmp_path / "data")
    (tmp_path / "small.yaml").write_text(REPORT)
    config = Config(
        dataset=tmp_path / "data", out=tmp_path / "runs", options=SMALL,
        configs={**PARTS, "report": str(tmp_path / "small")}, seeds=(0, 1),
        methods=("genrec", "sasrec+item_knn", "item_knn"),
    )  # fmt: skip
    main(config)
    lines = capsys.readouterr().out.splitlines()
    summary = json.loads(lines[-1])
    assert summary["users"] == 12
    for method in config.methods:
        assert any(line.startswith(method) for line in lines)
        told = summary[method]["ndcg@10"]
        reports = [tmp_path / "runs" / seed / "report" / "results.json" for seed in ("0", "1")]
        each = [json.loads(report.read_text())["methods"][method] for report in reports]
        values = [one["recommend"]["metrics"]["ndcg@10"]["value"] for one in each]
        assert told["seeds"] == pytest.approx(values)
        assert told["value"] == pytest.approx(sum(values) / 2)
    knn = summary["item_knn"]
    assert knn["gaps"]["ndcg@10"]["value"] == pytest.approx(
        summary["genrec"]["ndcg@10"]["value"] - knn["ndcg@10"]["value"]
    )
    assert knn["p_adjusted"]["ndcg@10"] >= 1 / 2001
    weights = {
        (tmp_path / "runs" / seed / "model" / "model.safetensors").read_bytes() for seed in "01"
    }
    assert len(weights) == 2  # the seeds differ

    kept = (tmp_path / "runs" / "0" / "report" / "results.json").stat().st_mtime_ns
    main(config)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == summary
    assert (tmp_path / "runs" / "0" / "report" / "results.json").stat().st_mtime_ns == kept
