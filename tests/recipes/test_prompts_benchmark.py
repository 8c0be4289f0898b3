import json

from genrec.data.toy_shop import ToyShopConfig, toy_shop
from recipes.benchmarks import prompts


def test_it_prints_one_line_of_what_it_measured(tmp_path, capfd):
    toy_shop(ToyShopConfig(categories=4, users=20)).dataset.save(tmp_path / "shop")
    prompts.main(prompts.Config(dataset=tmp_path / "shop", examples=300, processes=1, steps=1))
    (line,) = [line for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    result = json.loads(line)
    for name in ("examples_per_second", "tokens_per_second", "train_tokens_per_second"):
        assert result[name] > 0
    assert result["peak_mb_per_million"] >= 0
    assert (result["processes"], result["examples"]) == (1, 300)
