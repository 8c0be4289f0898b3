import json
from pathlib import Path

import pytest

from genrec.config import load_config
from recipes.benchmarks.ablations import Config, Way, main
from tests.small_shop import small_dataset

CONFIGS = Path(__file__).parents[2] / "recipes" / "configs"

SMALL = (
    "--rqkmeans.codebook_sizes=[4,4,4]", "--rqkmeans.components=2", "--features.text=null",
    "--features.collaborative.dim=4", "--label=null",
)  # fmt: skip
TINY = ("--training.rows_per_step=2", "--training.micro_rows=2", "--training.mixed_precision=no")


def test_the_shipped_config_loads_and_starts_with_the_whole_recipe():
    config = load_config(Config, CONFIGS / "ablations_beauty.yaml")
    first, *others = config.ways.items()
    assert first == ("whole", Way())
    assert all(way.tokenizer or way.model for _, way in others)
    for name in (config.tokenizer, config.model):
        assert (CONFIGS / f"{name}.yaml").is_file()


def test_a_way_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"only names \['half'\]; ways has whole"):
        Config(
            dataset="d", out="o", tokenizer="t", model="m", ways={"whole": Way()}, only=("half",)
        )


@pytest.mark.slow
def test_every_way_is_made_by_the_recipes_and_compared_with_the_first(tmp_path, capsys):
    small_dataset().save(tmp_path / "data")
    config = Config(
        dataset=tmp_path / "data", out=tmp_path / "runs", tokenizer="tokenizer_beauty_together",
        model="finetune_beauty_together", quick=True, users=0,
        ways={
            "whole": Way(tokenizer=SMALL, model=TINY),
            "one layer": Way(tokenizer=SMALL, model=(*TINY, "--backbone.tiny.layers=1")),
        },
    )  # fmt: skip
    main(config)
    lines = capsys.readouterr().out.splitlines()
    summary = json.loads(lines[-1])
    assert summary["whole"]["gap"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    for name in ("whole", "one layer"):
        (each,) = summary[name]["each"]
        assert summary[name]["ndcg@10"]["value"] == pytest.approx(each["ndcg@10"])
        assert any(line.startswith(name) for line in lines)
    told = json.loads((tmp_path / "runs" / "one-layer-0" / "model" / "config.json").read_text())
    assert told["num_hidden_layers"] == 1

    kept = (tmp_path / "runs" / "whole-0" / "model" / "model.safetensors").stat().st_mtime_ns
    main(config)
    again = capsys.readouterr().out.splitlines()
    assert json.loads(again[-1]) == summary
    after = (tmp_path / "runs" / "whole-0" / "model" / "model.safetensors").stat().st_mtime_ns
    assert after == kept  # nothing is trained twice
