import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from genrec.artifacts import ArtifactError
from genrec.config import load_config
from genrec.data import Catalogue, DataError, Dataset, Interactions
from genrec.prompts import PromptConfig, Renderer, Tasks, Vocabulary
from genrec.prompts import train_tokenizer as train_tokenizer_of_text
from genrec.serving import GenRec, save_bundle
from genrec.tokenization import (
    CollaborativeConfig,
    FeaturesConfig,
    RQKMeansConfig,
    SemanticTokenizer,
)
from genrec.tokenization.sources import PictureConfig, TextConfig
from recipes import train_tokenizer, update_catalogue
from tests.small_shop import small_model
from tests.tokenization.tiny_clip import save_tiny_clip

CONFIGS = sorted((Path(__file__).parents[2] / "recipes" / "configs").glob("update_*.yaml"))
COLOURS = ("red", "blue", "green", "grey", "black", "white", "orange", "purple")
THINGS = ("soap", "comb", "lamp", "chair", "scarf")


def png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, format="PNG")
    return file.getvalue()


def save_shop(folder: Path) -> Catalogue:
    rows = [(colour, thing) for thing in THINGS for colour in COLOURS]
    catalogue = Catalogue(
        pl.DataFrame({
            "item_id": [f"{colour}-{thing}" for colour, thing in rows],
            "title": [thing for _, thing in rows],
            "picture": [png(colour) if colour != "white" else None for colour, _ in rows],
        })
    )  # fmt: skip
    events = {
        "user": [f"u{user}" for user in range(40) for _ in range(4)],
        "item": [
            catalogue.item_ids[(7 * user + step) % 40] for user in range(40) for step in range(4)
        ],
        "time": [step for _ in range(40) for step in range(4)],
    }
    interactions = Interactions.from_table(pl.DataFrame(events), catalogue)
    Dataset(catalogue=catalogue, interactions=interactions, name="small").save(folder)
    return catalogue


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Train a tokenizer that does not know a fifth of the items."""
    folder = tmp_path_factory.mktemp("shop")
    catalogue = save_shop(folder / "data")
    save_tiny_clip(folder / "clip")
    features = FeaturesConfig(
        text=TextConfig(encoder=str(folder / "clip")),
        pictures=PictureConfig(encoder="thumbnail"),
        collaborative=CollaborativeConfig(dim=4),
    )
    config = train_tokenizer.Config(
        dataset=folder / "data", out=folder / "tokenizer", method="rqkmeans", features=features,
        rqkmeans=RQKMeansConfig(codebook_sizes=(6, 6, 6), components=6), withhold=0.2,
    )  # fmt: skip
    train_tokenizer.main(config)
    return folder, catalogue


def update(folder: Path, **options) -> None:
    update_catalogue.main(
        update_catalogue.Config(
            dataset=folder / "data", tokenizer=folder / "tokenizer", **options
        )
    )  # fmt: skip


def test_withheld_items_are_added_and_a_version_is_brought_back(shop, tmp_path, capsys):
    folder, catalogue = shop
    first = SemanticTokenizer.from_pretrained(folder / "tokenizer")
    assert 25 <= len(first.ids) < 40
    update(folder, out=tmp_path / "grown")
    told = capsys.readouterr().out
    assert f"version 2: added {40 - len(first.ids)}, removed 0; 40 items" in told
    assert "99th percentile" in told
    grown = SemanticTokenizer.from_pretrained(tmp_path / "grown", catalogue=catalogue)
    assert grown.ids.are_unique
    assert grown.ledger.item_ids == catalogue.item_ids
    known = [catalogue.item_ids.index(item_id) for item_id in first.ledger.item_ids]
    np.testing.assert_array_equal(grown.ids.codes_NL[known], first.ids.codes_NL)
    log = json.loads((tmp_path / "grown" / "versions.json").read_text())["versions"]
    assert log[1]["catalogue"] == catalogue.fingerprint

    back = update_catalogue.Config(
        dataset=folder / "data", tokenizer=tmp_path / "grown", rollback=1
    )
    update_catalogue.main(back)
    assert SemanticTokenizer.from_pretrained(tmp_path / "grown").ids == first.ids


def test_a_trained_model_follows(shop, tmp_path):
    folder, catalogue = shop
    first = SemanticTokenizer.from_pretrained(folder / "tokenizer")
    known = [catalogue.item_ids.index(item_id) for item_id in first.ledger.item_ids]
    tasks = Tasks.load()
    words = [prompt for task in tasks.values() for prompt in task.prompts]
    renderer = Renderer(
        vocabulary=Vocabulary.extend(train_tokenizer_of_text(words, size=400), first.ids),
        ids=first.ids, catalogue=catalogue.select(known), tasks=tasks, config=PromptConfig(),
    )  # fmt: skip
    save_bundle(tmp_path / "model", small_model(renderer), renderer)
    update(folder, out=tmp_path / "grown", model=tmp_path / "model")
    rec = GenRec.from_pretrained(tmp_path / "model", device="cpu")
    assert {item for item, _ in rec.recommend([], k=40)} == set(catalogue.item_ids)
    back = update_catalogue.Config(
        dataset=folder / "data", tokenizer=tmp_path / "grown", model=tmp_path / "model", rollback=1
    )
    with pytest.raises(ArtifactError, match=r"catalogue of .*data is .* the tokenizer is"):
        update_catalogue.main(back)


def test_nothing_new_is_no_trouble(shop, tmp_path):
    folder, catalogue = shop
    update(folder, out=tmp_path / "grown")
    again = update_catalogue.Config(dataset=folder / "data", tokenizer=tmp_path / "grown")
    update_catalogue.main(again)
    grown = SemanticTokenizer.from_pretrained(tmp_path / "grown", catalogue=catalogue)
    assert grown.ledger.versions[-1].change == "added 0, removed 0"


def test_a_version_that_never_was_is_refused(shop, tmp_path):
    with pytest.raises(DataError, match="there is no version 9"):
        update(shop[0], rollback=9, out=tmp_path / "grown")
    assert not (tmp_path / "grown").exists()


def test_a_tokenizer_of_unknown_features_is_refused(shop, tmp_path):
    folder, catalogue = shop
    features_NF = np.random.default_rng(0).normal(size=(39, 5)).astype(np.float32)
    SemanticTokenizer.train(
        features_NF, RQKMeansConfig(codebook_sizes=(6, 6, 6), components=4),
        catalogue=catalogue.select(range(39)), source={"text": {"encoder": str(folder / "clip")}},
    ).save_pretrained(tmp_path / "bare")  # fmt: skip
    config = update_catalogue.Config(dataset=folder / "data", tokenizer=tmp_path / "bare")
    with pytest.raises(ArtifactError, match="does not say how its features were made"):
        update_catalogue.main(config)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_shipped_config_loads(path):
    assert load_config(update_catalogue.Config, path).tokenizer.name.startswith("tokenizer")


def test_there_are_shipped_configs():
    assert CONFIGS
