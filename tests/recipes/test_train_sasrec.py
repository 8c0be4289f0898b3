from pathlib import Path

import pytest

from genrec.artifacts import ArtifactError, read_json
from genrec.config import load_config
from genrec.data import leave_one_out
from genrec.eval.methods import make_method
from genrec.eval.sasrec import SASRecConfig, SASRecTrainingConfig
from recipes.train_sasrec import Config, main
from tests.small_shop import small_dataset

CONFIGS = sorted((Path(__file__).parents[2] / "recipes" / "configs").glob("sasrec_*.yaml"))


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sasrec")
    small_dataset().save(folder / "data")
    config = Config(
        dataset=folder / "data",
        out=folder / "sasrec",
        model=SASRecConfig(dim=16, hidden_dim=16, layers=1, dropout=0.1),
        training=SASRecTrainingConfig(negatives=8, epochs=3, tokens=256),
    )
    main(config)
    return config


def test_the_recipe_writes_a_model_that_stands_beside_others(config, capsys):
    dataset = small_dataset()
    settings = {"path": str(config.out)}
    recommender = make_method(
        "sasrec", dataset, leave_one_out(dataset.interactions), settings=settings
    )
    assert recommender.model.config == config.model


def test_a_finished_run_is_not_trained_again(config, capsys):
    before = (config.out / "model.safetensors").read_bytes()
    main(config)
    assert (config.out / "model.safetensors").read_bytes() == before
    printed = capsys.readouterr().out
    assert "of 3 validated best" in printed
    assert "ndcg@10" in printed


def test_the_states_of_another_run_are_not_taken_over(config):
    with pytest.raises(ArtifactError, match="holds a run with another seed"):
        main(Config(dataset=config.dataset, out=config.out, model=config.model,
                    training=config.training, seed=1))  # fmt: skip
    assert read_json(config.out.with_name("sasrec-run") / "config.json")["seed"] == 0


def test_there_are_shipped_configs():
    assert CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_fits_the_recipe(path):
    config = load_config(Config, path)
    assert config.out.name == "sasrec"
