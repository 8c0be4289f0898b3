from pathlib import Path

import polars as pl
import pytest

from genrec.config import load_config
from genrec.data import Catalogue, Dataset, Interactions
from genrec.optional import MissingDependencyError
from genrec.tokenization import (
    CollaborativeConfig,
    FeaturesConfig,
    RQKMeansConfig,
    RQVAEConfig,
    SemanticTokenizer,
    TrainingConfig,
)
from genrec.tokenization.sources import TextConfig
from recipes.train_tokenizer import Config, main
from tests.tokenization.tiny_clip import save_tiny_clip

CONFIGS = sorted((Path(__file__).parents[2] / "recipes" / "configs").glob("tokenizer_*.yaml"))


def save_small_shop(folder: Path) -> Catalogue:
    things = ("soap", "comb", "lamp", "table", "chair", "scarf")
    colours = ("red", "blue", "green", "grey", "black", "white")
    titles = [f"{colour} {thing}" for thing in things for colour in colours]
    catalogue = Catalogue(
        pl.DataFrame({
            "item_id": [f"sku-{row}" for row in range(len(titles))],
            "title": titles,
            "kind": [title.split()[1] for title in titles],
        })
    )  # fmt: skip
    events = {"user": ["u", "u"], "item": ["sku-0", "sku-1"], "time": [1, 2]}
    interactions = Interactions.from_table(pl.DataFrame(events), catalogue)
    Dataset(catalogue=catalogue, interactions=interactions, name="small").save(folder)
    return catalogue


@pytest.mark.parametrize(
    ("method", "collaborative"),
    [("rqvae", None), ("rqkmeans", None), ("rqkmeans", CollaborativeConfig(dim=4))],
)
def test_it_gives_every_item_of_a_data_set_an_id(method, collaborative, tmp_path, capsys):
    catalogue = save_small_shop(tmp_path / "data")
    save_tiny_clip(tmp_path / "clip")
    config = Config(
        dataset=tmp_path / "data",
        out=tmp_path / "tokenizer",
        method=method,
        rqvae=RQVAEConfig(codebook_sizes=(6, 6), latent_dim=4, hidden_dims=(8,)),
        rqkmeans=RQKMeansConfig(codebook_sizes=(6, 6), components=4),
        training=TrainingConfig(epochs=2),
        features=FeaturesConfig(
            text=TextConfig(encoder=str(tmp_path / "clip")), collaborative=collaborative
        ),
        label="kind",
    )
    main(config)
    tokenizer = SemanticTokenizer.from_pretrained(tmp_path / "tokenizer", catalogue=catalogue)
    assert tokenizer.ids.are_unique
    assert tokenizer.feature_dim == (6 if collaborative is None else 10)
    assert tokenizer.quality.label_agreement is not None
    assert "perplexity" in capsys.readouterr().out
    page = (tmp_path / "tokenizer" / "quality.html").read_text(encoding="utf-8")
    assert "Items that begin alike" in page


def test_a_page_that_cannot_be_written_is_told_before_anything_is_encoded(tmp_path, monkeypatch):
    save_small_shop(tmp_path / "data")
    monkeypatch.setattr("genrec.optional.is_installed", lambda module: module != "jinja2")
    with pytest.raises(MissingDependencyError, match=r"--page false does without\) needs jinja2"):
        main(Config(dataset=tmp_path / "data", out=tmp_path / "tokenizer"))
    assert not list(tmp_path.glob("tokenizer*"))


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_nobody_can_withhold_all_items(share, tmp_path):
    with pytest.raises(ValueError, match="give a share from 0 to below 1"):
        Config(dataset=tmp_path, out=tmp_path, withhold=share)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_shipped_config_loads(path):
    assert load_config(Config, path).out.name.startswith("tokenizer")


def test_there_are_shipped_configs():
    assert CONFIGS
